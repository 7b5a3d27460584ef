"""``placeprint train regions``: which region was a photo taken in, learned from a gallery and boundaries."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..encoders.errors import InvalidOption
from .exits import resumable
from .options import AsJson, GalleryName, WeightsFile

if TYPE_CHECKING:  # they load torch and the store, which `--help` must not
    import numpy as np
    from numpy.typing import NDArray

    from ..encoders.image import ImageEncoder
    from ..encoders.region_learning.material import RegionPhotos
    from ..encoders.region_learning.settings import RegionRun
    from ..encoders.train_regions import Flagged
    from ..indexer.gallery import Gallery


def regions(
    gallery: GalleryName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made if it is not there.")],
    boundaries: Annotated[
        Path | None, typer.Option(help="Polygons of the regions: .geojson, .gpkg, .parquet, .shp …")
    ] = None,
    region_column: Annotated[str | None, typer.Option(help="Column of the regions' names.")] = None,
    area_column: Annotated[
        str | None, typer.Option(help="Column of the sub-areas' names; else cells of the H3 grid.")
    ] = None,
    near: Annotated[
        str, typer.Option(help="A photo outside all polygons is in the nearest one up to here.")
    ] = "1km",
    by: Annotated[
        str | None, typer.Option(help="In place of --boundaries: the payload field that names the region.")
    ] = None,
    area_by: Annotated[str | None, typer.Option(help="Payload field that names the sub-area.")] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Of H3 cells as sub-areas; by default ten for half of the regions.")
    ] = None,
    using: Annotated[
        str | None, typer.Option(help="Named vectors to learn from; by default the gallery's own.")
    ] = None,
    crops: Annotated[int, typer.Option(help="Random parts of each photo to learn from, too; 0: none.")] = 4,
    folds: Annotated[int, typer.Option(help="Parts of the sub-areas that are held out in turn.")] = 5,
    buffer: Annotated[
        str, typer.Option(help="Nothing this near to a held-out photo is learned from.")
    ] = "250m",
    least_photos: Annotated[int, typer.Option(help="A region with fewer is left out.")] = 10,
    least_areas: Annotated[int, typer.Option(help="A region with fewer sub-areas is left out.")] = 3,
    leave_out: Annotated[
        str | None, typer.Option(help="Photos to leave out: blank, indoor, or blank,indoor.")
    ] = None,
    weights: WeightsFile = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn which region a photo was taken in, and find out how well that can be told.

    Whole sub-areas of every region are held out in turn, with a margin; what a random split would have
    claimed is told beside. Regions count alike, and so do sub-areas within one. Leaves the classifier in
    OUT/region-head.safetensors; `placeprint regions report OUT` shows what it learned.

    Examples:
      placeprint train regions -g tokyo -o runs/wards --boundaries wards.gpkg --area-column town
      placeprint train regions -g trips -o runs/countries --by country
    """
    from ..encoders.region_learning.settings import RegionRun
    from .commands_maps import length_m

    run = RegionRun(
        folds=folds, buffer_km=length_m(buffer) / 1000.0, crops=crops, least_photos=least_photos,
        least_areas=least_areas, seed=seed,
        leave_out=tuple(word.strip() for word in (leave_out or "").split(",") if word.strip()),
    )  # fmt: skip
    from ..encoders.location_files import write_atomically
    from ..encoders.processes import require_one_process
    from ..encoders.run_folder import require_free
    from ..encoders.train_regions import run_regions
    from ..indexer.gallery import Gallery
    from ..indexer.region_photos import REGIONS_FILE, Regionalization, region_photos
    from ..indexer.store import VECTOR
    from .commands_vectors import encoder_using

    how = Regionalization(
        boundaries=boundaries, region_column=region_column, area_column=area_column,
        near_km=length_m(near) / 1000.0, field=by, area_field=area_by, resolution=resolution,
    )  # fmt: skip
    require_one_process("the training of regions")
    as_json = as_json or not _is_terminal()
    require_free(out, is_resumed=resume)
    chosen = using or VECTOR
    with Gallery.open(gallery) as opened:
        photos, source = region_photos(opened, how, using=chosen)
        needed = run.crops > 0 or bool(run.leave_out)
        encoder = encoder_using(opened, chosen, weights) if needed else None
        interiors = None if encoder is None else _interiors(encoder, photos, run)
        with resumable(out), _progress(as_json=as_json) as show:
            report = run_regions(
                photos, run, out,
                look=lambda: _look(opened, encoder, photos, interiors, run, out, show),
                is_resumed=resume, source=source, show=show,
            )  # fmt: skip
    write_atomically(out / REGIONS_FILE, how.to_json())
    _show(report, out, as_json=as_json)


def _look(
    gallery: "Gallery",
    encoder: "ImageEncoder | None",
    photos: "RegionPhotos",
    interiors: "NDArray[np.bool_] | None",
    run: "RegionRun",
    out: Path,
    show: Callable[[str, int, int], None],
) -> "Flagged":
    """Parts of the photos, and which show no place."""
    from ..encoders.train_regions import Flagged
    from ..indexer.region_looks import look_closer
    from . import console

    if encoder is None:
        return Flagged()

    def count(done: int, total: int) -> None:
        show("looking at photos", done, total)

    looks = look_closer(gallery, encoder, photos.ids, out / "looks", run, count=count)
    if looks.n_missing:
        console.warn(
            f"{looks.n_missing} of {len(photos)} photos are not where they were: they are learned from as a "
            "whole, and not by their parts",
            as_json=not console.err.is_terminal,
        )
    kinds = {"blank": looks.is_blank}
    if interiors is not None:
        kinds["indoor"] = interiors
    return Flagged(parts=looks.parts if run.crops else None, kinds=kinds)


def _interiors(
    encoder: "ImageEncoder", photos: "RegionPhotos", run: "RegionRun"
) -> "NDArray[np.bool_] | None":
    """Which photos show an interior; None where the encoder understands no words and nobody asked.

    Raises:
        InvalidOption: they are to be left out, and cannot be told.
    """
    from ..indexer.region_looks import INDOOR, indoor

    try:
        found: NDArray[np.bool_] = indoor(encoder, photos.embeddings) >= INDOOR
        return found
    except InvalidOption:
        if "indoor" in run.leave_out:
            raise
        return None


def _is_terminal() -> bool:
    from . import console

    return console.out.is_terminal


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[[str, int, int], None]]:
    """What is being done, as a bar or as lines of JSON."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if as_json:
        yield lambda what, done, total: console.say("progress", doing=what, done=done, total=total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield show


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: figures on held-out photos beside baselines, both ways of holding out."""
    from rich.table import Table

    from . import console

    if as_json:
        console.say("report", out=str(out), **report)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("mean recall of regions", "sub-areas held out", "at random"):
        table.add_column(title, justify="left" if title.startswith("mean") else "right", no_wrap=True)
    areas, by_chance = report["rows"]["areas"], report["rows"]["random"]
    for name in areas:
        if "temperature" not in name:
            table.add_row(name, _recall(areas[name]), _recall(by_chance[name]))
    n_areas = sum(one["areas"] for one in report["regions"])
    console.out.print(f"{report['photos']} photos of {len(report['regions'])} regions in {n_areas} sub-areas")
    console.out.print(table)
    ours, raw = areas["classifier"], areas["classifier, before a temperature"]
    console.out.print(
        f"right {ours['accuracy']:.1%}, among the first three {ours['top_3']:.1%}; ECE {ours['ece']:.3f} "
        f"(before the temperature {raw['ece']:.3f}), NLL {ours['nll']:.2f} nats of {ours['even_nll']:.2f}",
        soft_wrap=True,
    )
    gap = report["gap"]
    console.out.print(
        f"a random split claims {100.0 * gap['macro_recall']:+.1f} points "
        f"[{100.0 * gap['interval'][0]:.1f}, {100.0 * gap['interval'][1]:.1f}]",
        soft_wrap=True,
    )
    names = [one["name"] for one in report["regions"]]
    pairs = ", ".join(f"{names[a]} and {names[b]} ({n})" for a, b, n in report["confused"][:3])
    if pairs:
        console.out.print(f"mixed up most: {pairs}", soft_wrap=True, markup=False)
    if report["left_out"]:
        console.out.print(f"left out: {len(report['left_out'])} regions with too few photos or sub-areas")
    console.out.print(f"classifier: {out / 'region-head.safetensors'}", soft_wrap=True)


def _recall(figures: dict[str, Any]) -> str:
    low, high = figures["macro_recall_interval"]
    return f"{figures['macro_recall']:.1%} [{100.0 * low:.0f}, {100.0 * high:.0f}]"
