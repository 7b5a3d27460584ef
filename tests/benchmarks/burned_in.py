"""Does `burned_in` find coordinates written into photos, and does it leave other photos alone?

    python tests/benchmarks/burned_in.py PHOTOS.csv --group-column place --others FOLDER --out burned_in.json

Each photo is enlarged to 1,280 pixels, and a line as dashcams write it (time, speed, coordinates) is drawn
at its upper or lower edge, in five styles: white, yellow, white with a black outline, white on a black bar,
and half transparent; em size 2 to 5 % of the height; six DejaVu fonts. Then it is a JPEG of quality 90. A
photo without text is judged twice: enlarged likewise, and as it is, which is sharper and harder.

The least number of glyphs that makes a photo suspicious is chosen on half of the groups, as the lowest that
calls at most 3 % of their photos without text suspicious, and measured on the other half; then the
halves are exchanged. Beside it stands the plain way, how sharply the brightness changes along the busiest
row of the same strips, with a threshold chosen alike. Intervals of 95 % are of a bootstrap over groups. In
OTHERS, folders or tables, nothing is drawn; what is called suspicious there may be signs that are really in
the photo.
"""

import argparse
import io
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from placeprint.encoders.burned_in import LONGEST, MIN_GLYPHS, STRIP, glyphs_in_line
from placeprint.encoders.photo import open_photo
from placeprint.indexer.sources import list_source

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif",
         "DejaVuSerif-Bold")  # fmt: skip
STYLES = ("white", "yellow", "outlined", "on a bar", "half transparent")
SIZES = (0.02, 0.025, 0.03, 0.04, 0.05)  # of the picture's height
SIDE, QUALITY = 1280, 90
MOST_FALSE, N_DRAWS = 0.03, 2000

Counts = NDArray[np.int64]


def line_of(rng: random.Random) -> str:
    """What a dashcam might write."""
    lat, lon, speed = rng.uniform(-60, 70), rng.uniform(-179, 179), rng.randint(0, 120)
    day = f"{rng.randint(2012, 2024)}/{rng.randint(1, 12):02}/{rng.randint(1, 28):02}"
    clock = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    return rng.choice(
        [
            f"N{abs(lat):.4f} E{abs(lon):.4f} {day} {speed}km/h",
            f"{day} {clock} {lat:.5f} {lon:.5f}",
            f"{speed} KM/H N{abs(lat):.6f} W{abs(lon):.6f}",
            f"{day} {clock} N:{abs(lat):.4f} W:{abs(lon):.4f} {speed} MPH",
        ]
    )


def with_text(photo: Image.Image, style: str, size: float, font: str, rng: random.Random) -> Image.Image:
    """The photo with a line at its upper or lower edge: left, middle or right."""
    em = round(size * photo.height)
    face = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")), em)
    text = line_of(rng)
    while face.getlength(text) > 0.98 * photo.width and " " in text:
        text = text.rpartition(" ")[0]
    room = photo.width - face.getlength(text)
    x = rng.choice([0.01 * photo.width, room / 2.0, room - 0.01 * photo.width])
    margin = rng.uniform(0.005, 0.03) * photo.height
    y = margin if rng.random() < 0.5 else photo.height - margin - 1.2 * em
    layer = Image.new("RGBA", photo.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    if style == "on a bar":
        draw.rectangle([0, y - 0.2 * em, photo.width, y + 1.3 * em], fill=(0, 0, 0, 255))
    fill = {"yellow": (255, 255, 0, 255), "half transparent": (255, 255, 255, 160)}.get(style, (255,) * 4)
    outline = max(1, round(em / 12)) if style == "outlined" else 0
    draw.text((x, y), text, font=face, fill=fill, stroke_width=outline, stroke_fill=(0, 0, 0, 255))
    return Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB")


def as_jpeg(photo: Image.Image) -> Image.Image:
    """The photo as it comes out of a file."""
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=QUALITY)
    return Image.open(file).convert("RGB")


def enlarged(photo: Image.Image) -> Image.Image:
    """The photo with a longer side of 1,280 pixels."""
    scale = SIDE / max(photo.size)
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)


def halves(groups: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Which photos are in the first half of the groups, (n,)."""
    names = np.unique(groups)
    return np.isin(groups, np.random.default_rng(seed).permutation(names)[: len(names) // 2])


def busiest_row(image: Image.Image) -> int:
    """The plain way: mean step of brightness between pixels side by side, in the row that has most, × 100."""
    scale = min(1.0, LONGEST / max(image.size))
    size = [max(1, round(side * scale)) for side in image.size]
    gray = np.asarray(image.convert("L").resize(size), dtype=np.float64)
    steps = np.abs(np.diff(gray, axis=1)).mean(axis=1)
    n_rows = max(1, round(0.02 * len(steps)))
    level = np.convolve(steps, np.full(n_rows, 1.0 / n_rows), mode="same")
    strip = max(1, round(STRIP * len(steps)))
    return round(100.0 * float(np.concatenate([level[:strip], level[-strip:]]).max()))


DETECTORS = {"glyphs in a line": glyphs_in_line, "busiest row": busiest_row}


def chosen_on(clean: Counts) -> int:
    """The lowest number that so few photos without text reach; clean is (n, 2)."""
    return next(n for n in range(3, 100_000) if (clean >= n).mean(axis=0).max() <= MOST_FALSE)


def interval(values: NDArray[np.bool_], groups: Sequence[str]) -> list[float]:
    """Share, low and high; whole groups are drawn. Values are (n,) or (n, more)."""
    _, index = np.unique(groups, return_inverse=True)
    per_photo = values.reshape(len(values), -1).mean(axis=1)
    n_groups = int(index.max()) + 1
    drawn = np.random.default_rng(0).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=N_DRAWS)
    weight = drawn[:, index]
    low, high = np.quantile(weight @ per_photo / weight.sum(axis=1), (0.025, 0.975))
    return [float(per_photo.mean()), float(low), float(high)]


def measure(photos: Sequence[Image.Image], groups: Sequence[str], seed: int) -> dict[str, Any]:
    """All figures of the photos that text is drawn on; those of the plain way under "baseline"."""
    rng = random.Random(seed)
    clean: dict[str, list[Any]] = {name: [] for name in DETECTORS}
    drawn: dict[str, list[Any]] = {name: [] for name in DETECTORS}
    sizes, seconds = [], []
    for photo in photos:
        large = enlarged(photo)
        shown = as_jpeg(large)
        began = time.process_time()
        glyphs_in_line(shown)
        seconds.append(time.process_time() - began)
        sizes.append([rng.choice(SIZES) for _ in STYLES])
        pairs = zip(STYLES, sizes[-1], strict=True)
        written = [as_jpeg(with_text(large, one, size, rng.choice(FONTS), rng)) for one, size in pairs]
        for name, detector in DETECTORS.items():
            clean[name].append((detector(shown), detector(photo)))
            drawn[name].append([detector(one) for one in written])
    ours, plain = (
        figures_of(np.array(clean[name]), np.array(drawn[name]), np.array(sizes), groups, seed)
        for name in DETECTORS
    )
    baseline = {key: plain[key] for key in ("found", "found_by_style", "false_alarms")}
    return ours | {"baseline": baseline, "ms_per_photo": 1000.0 * float(np.median(seconds))}


def figures_of(
    clean: Counts, drawn: Counts, sizes: NDArray[np.float64], groups: Sequence[str], seed: int
) -> dict[str, Any]:
    """Shares called suspicious; clean is (n, 2), drawn and sizes are (n, styles)."""
    first = halves(groups, seed)
    at = np.where(first, chosen_on(clean[~first]), chosen_on(clean[first]))[:, None]
    is_found, is_false = drawn >= at, clean >= at
    by_size = {
        f"{size:g}": [float(is_found[sizes == size].mean()), int((sizes == size).sum())] for size in SIZES
    }
    return {
        "n_photos": len(clean), "n_groups": len(np.unique(groups)),
        "min_glyphs": {"chosen": sorted({int(n) for n in at[:, 0]}), "shipped": MIN_GLYPHS},
        "found": interval(is_found, groups),
        "found_by_style": {one: interval(is_found[:, n], groups) for n, one in enumerate(STYLES)},
        "found_by_size": by_size,
        "false_alarms": {
            one: interval(is_false[:, n], groups) for n, one in enumerate(("enlarged", "as it is"))
        },
        "as_shipped": {
            "found": interval(drawn >= MIN_GLYPHS, groups),
            "false_alarms": {
                one: interval(clean[:, n] >= MIN_GLYPHS, groups)
                for n, one in enumerate(("enlarged", "as it is"))
            },
        },
    }  # fmt: skip


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos")
    parser.add_argument("--group-column")
    parser.add_argument("--n", type=int, default=160)
    parser.add_argument("--others", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    items = list_source(asked.photos, group_column=asked.group_column)
    items = random.Random(asked.seed).sample(items, min(asked.n, len(items)))
    photos = [open_photo(item.read())[0] for item in items]
    told = measure(photos, [item.group or item.key for item in items], asked.seed)
    told["others"] = {}
    for other in asked.others:
        counts = np.array([glyphs_in_line(open_photo(item.read())[0]) for item in list_source(other)])
        told["others"][other] = {"n_photos": len(counts), "flagged": float((counts >= MIN_GLYPHS).mean())}
    show(told)
    if asked.out is not None:
        asked.out.write_text(json.dumps(told, indent=1))


def show(told: dict[str, Any]) -> None:
    """Print the figures."""
    table = Table("", "share", "95 %", title=f"{told['n_photos']} photos, {told['n_groups']} groups")
    rows = {"text found": told["found"]} | {f"  {k}": v for k, v in told["found_by_style"].items()}
    rows |= {f"without text, {kind}": value for kind, value in told["false_alarms"].items()}
    rows |= {"busiest row (baseline), text found": told["baseline"]["found"]}
    rows |= {f"busiest row, without text, {k}": v for k, v in told["baseline"]["false_alarms"].items()}
    rows |= {"as shipped, found": told["as_shipped"]["found"]}
    rows |= {f"as shipped, without text, {k}": v for k, v in told["as_shipped"]["false_alarms"].items()}
    for name, (share, low, high) in rows.items():
        table.add_row(name, f"{share:.1%}", f"{low:.1%}–{high:.1%}")
    for size, (share, n) in told["found_by_size"].items():
        table.add_row(f"  size {float(size):.1%} of the height", f"{share:.1%}", f"of {n}")
    for name, other in told["others"].items():
        table.add_row(
            f"flagged in {'/'.join(Path(name).parts[-2:])}",
            f"{other['flagged']:.1%}",
            f"of {other['n_photos']:,}",
        )
    Console().print(table)
    print(f"glyphs chosen: {told['min_glyphs']}; {told['ms_per_photo']:.1f} ms of one core a photo")


if __name__ == "__main__":
    main()
