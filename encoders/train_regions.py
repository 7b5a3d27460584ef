"""One run that learns regions: held out by sub-areas, held out at random beside it, then learned from all.

The folder of a run holds ``run.json`` (settings, data), ``folds/`` (what each fold was answered), and at the
end ``region-head.safetensors`` (for `RegionHead.load`), ``held-out.npz`` (for `read_answers`) and
``report.json``.

A run that was killed goes on from the last fold that was finished.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array_files import read_arrays, write_arrays
from .errors import DamagedCheckpoint
from .location_files import write_atomically
from .region_head import RegionHead
from .region_learning.figures import (
    Resamples,
    confused_pairs,
    confusion_of,
    figures_of,
    interval,
    stated_figures,
)
from .region_learning.fitting import fit_path
from .region_learning.folds import at_random, by_areas
from .region_learning.held_out import BASELINES, Fold, HeldOut, answer_fold, gather, shared, with_parts
from .region_learning.material import RegionPhotos, learnable
from .region_learning.settings import RegionRun
from .run_folder import claim
from .sphere import great_circle_km, lonlat_of, unit_vectors

HEAD_FILE, ANSWERS_FILE, REPORT_FILE = "region-head.safetensors", "held-out.npz", "report.json"
SPLITS = ("areas", "random")

Show = Callable[[str, int, int], None]
"""Told what is being done, how many of it are done, and how many there are."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Flagged:
    """What a closer look at N photos gave.

    Attributes:
        parts: embeddings of parts of each photo, (N, K, D), NaN where there are none; None without any.
        kinds: photos that show no place, by kind (`settings.LEAVE_OUT`), (N,) each.
    """

    parts: NDArray[np.float32] | None = None
    kinds: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """What photos were answered while they were held out with their sub-area, N of them, R regions.

    Attributes:
        ids: of the photos, N.
        names: of the regions, R.
        region: of each photo, (N,).
        area: name of the sub-area of each, (N,).
        log_p: calibrated log-probabilities, (N, R) float32.
    """

    ids: list[str]
    names: list[str]
    region: NDArray[np.intp]
    area: list[str]
    log_p: NDArray[np.float32]


def run_regions(
    photos: RegionPhotos,
    run: RegionRun,
    out: Path,
    *,
    look: Callable[[], Flagged] = Flagged,
    is_resumed: bool = False,
    source: Mapping[str, Any] | None = None,
    show: Show = lambda what, done, total: None,
) -> dict[str, Any]:
    """Learn regions, and find out how well that went.

    Args:
        photos: with their regions and sub-areas; of regions too small, none are used.
        run: the settings.
        out: folder of the run, made if needed.
        look: takes a closer look at all `photos`, once the folder is known to be free.
        is_resumed: go on with the folder's run, or begin where there is none.
        source: what the photos are, JSON facts for the card.
        show: told of progress.

    Returns:
        The report, as in ``report.json``.

    Raises:
        TooFewPairs: fewer than two regions can be learned.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        InvalidOption: `torchrun` started several processes.
        UnwritableFile: the folder is full or not ours to write to.
    """
    learnable(photos, run)  # before anything is written
    identity = {"settings": run.to_dict(), "data": photos.digest, "model": {"encoder": photos.encoder}}
    claim(out, identity, {"photos": len(photos), "regions": list(photos.names)}, is_resumed=is_resumed)
    flagged = look()
    kept = np.ones(len(photos), dtype=np.bool_)
    for kind in run.leave_out:
        kept &= ~flagged.kinds[kind]
    used, left_out = learnable(photos.take(np.flatnonzero(kept)), run)
    found = flagged.parts
    if found is not None:
        place = {id: row for row, id in enumerate(photos.ids)}
        found = found[[place[id] for id in used.ids]]
    held_out = {split: _held_out(used, found, split, run, out, show) for split in SPLITS}
    report = report_of(used, run, held_out) | {
        "left_out": left_out,
        "flagged": {
            kind: [photos.ids[row] for row in np.flatnonzero(is_such)]
            for kind, is_such in flagged.kinds.items()
        },
        "source": dict(source or {}),
    }
    show("learning from all", 0, 1)
    head = learn(used, found, held_out["areas"], run, card=report)
    show("learning from all", 1, 1)
    head.save(out / HEAD_FILE)
    write_arrays(
        out / ANSWERS_FILE,
        ids=used.ids,
        names=used.names,
        region=used.region,
        area=[used.area_names[one] for one in used.area],
        log_p=held_out["areas"].log_p.astype(np.float32),
    )
    write_atomically(out / REPORT_FILE, json.dumps(report, indent=1).encode())
    return report


def learn(
    photos: RegionPhotos,
    parts: NDArray[np.float32] | None,
    held_out: HeldOut,
    run: RegionRun,
    *,
    card: Mapping[str, Any],
) -> RegionHead:
    """The classifier that learned from all photos, with what the held-out ones chose."""
    rows = np.arange(len(photos))
    embeddings, of = with_parts(photos.embeddings, parts, rows)
    upto = tuple(decay for decay in run.decays if decay >= held_out.decay)
    fits = fit_path(
        embeddings, photos.region[of], shared(photos.weights(), rows, of), len(photos.names), upto
    )
    return RegionHead(
        names=photos.names,
        weight=fits[-1].weight,
        bias=fits[-1].bias,
        temperature=held_out.temperature,
        encoder=photos.encoder,
        card=card,
    )


def report_of(photos: RegionPhotos, run: RegionRun, held_out: Mapping[str, HeldOut]) -> dict[str, Any]:
    """What ``report.json`` says: data, figures of both splits beside baselines, confusions, settings."""
    drawn = Resamples.of(photos, seed=run.seed)
    said = {split: one.log_p.argmax(axis=1) for split, one in held_out.items()}
    by_area, by_chance = (said[split] == photos.region for split in SPLITS)
    recalls = [drawn.recalls(photos, right)[1].mean(axis=1) for right in (by_chance, by_area)]
    gap = [drawn.recalls(photos, right)[0].mean() for right in (by_chance, by_area)]
    confusion = confusion_of(photos, said["areas"])
    area_region = dict(zip(photos.area.tolist(), photos.region.tolist(), strict=True))
    n_areas = np.bincount(list(area_region.values()), minlength=len(photos.names))
    return {
        "photos": len(photos),
        "regions": [
            {
                "name": name,
                "photos": int((photos.region == row).sum()),
                "areas": int(n_areas[row]),
                "radius_km": radius_km(photos.lonlat[photos.region == row]),
            }
            for row, name in enumerate(photos.names)
        ],
        "rows": {
            split: {
                name: figures_of(photos, row, drawn)
                for name, row in zip(BASELINES, one.baselines, strict=True)
            }
            | {
                "classifier, before a temperature": stated_figures(photos, one.raw, drawn),
                "classifier": stated_figures(photos, one.log_p, drawn),
            }
            for split, one in held_out.items()
        },
        "gap": {"macro_recall": float(gap[0] - gap[1]), "interval": interval(recalls[0] - recalls[1])},
        "confusion": confusion.tolist(),
        "confused": [list(pair) for pair in confused_pairs(confusion)],
        "chosen": {
            split: {
                "decay": one.decay,
                "temperature": one.temperature,
                "decays": one.decays,
                "temperatures": one.temperatures,
                "n_near": one.n_near,
            }
            for split, one in held_out.items()
        },
        "settings": run.to_dict(),
    }


def radius_km(lonlat: NDArray[np.float64]) -> float:
    """Median distance of places from their middle on the sphere, km: how much a region's name tells."""
    middle = unit_vectors(lonlat).mean(axis=0)
    return float(np.median(great_circle_km(lonlat_of(middle), lonlat)))


def read_answers(path: Path) -> Answers:
    """Read ``held-out.npz``.

    Raises:
        DamagedCheckpoint: no such file, or damaged.
    """
    try:
        found = read_arrays(path)
        return Answers(
            ids=found["ids"].tolist(),
            names=found["names"].tolist(),
            region=found["region"],
            area=found["area"].tolist(),
            log_p=found["log_p"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise DamagedCheckpoint(
            f"{path}: cannot be read ({error}); it is written at the end of `placeprint train regions`, "
            "which goes on with --resume"
        ) from None


def _held_out(
    photos: RegionPhotos,
    parts: NDArray[np.float32] | None,
    split: str,
    run: RegionRun,
    out: Path,
    show: Show,
) -> HeldOut:
    """Answer each fold, or read what was answered before an interruption."""
    is_by_areas = split == "areas"
    fold = (by_areas if is_by_areas else at_random)(photos, run.folds, seed=run.seed)
    folder = out / "folds"
    folder.mkdir(exist_ok=True)
    numbers, answers = np.unique(fold).tolist(), list[Fold]()
    for number in numbers:
        show(f"held out by {split}" if is_by_areas else "held out at random", len(answers), len(numbers))
        path = folder / f"{split}-{number}.npz"
        known = Fold.read(path)
        if known is None:
            buffer_km = run.buffer_km if is_by_areas else 0.0
            known = answer_fold(photos, parts, fold, number, run, buffer_km=buffer_km)
            known.save(path)
        answers.append(known)
    return gather(photos, fold, answers, run)
