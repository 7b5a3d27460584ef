"""The report on a region classifier as one HTML page: how well it tells, what it mixes up, what it looks at.

After Ogaki's "reverse street view" (M3 Tech Blog, 2021), which asked for confusions, the photos that look
most like a region, and those that look most like another; all of it here on photos that were held out with
their whole sub-area.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.region_learning.held_out import BASELINES
from ..encoders.train_regions import Answers
from .maps import percent
from .pages import data_uri, template, thumbnail

MOST_IN_MATRIX = 24  # regions; of more, a matrix cannot be read
MOST_IN_GRID = 8
N_TOP, N_PAIRS, N_QUIZ, N_FLAGGED = 6, 6, 9, 12
_SIDE, _HEAT_SIDE, _QUIZ_SIDE = 240, 640, 360

ROWS = (*BASELINES, "classifier, before a temperature", "classifier")
SPLIT_TITLES = {"areas": "sub-areas held out", "random": "photos held out at random"}

Read = Callable[[str], bytes | None]
"""The file of a photo by its id; None where it is not at hand."""


@dataclass(frozen=True, kw_only=True)
class Heat:
    """What in a photo spoke for its region.

    Attributes:
        id: of the photo.
        picture: PNG as from `draw_heat`.
        words: the same in words.
    """

    id: str
    picture: bytes
    words: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Elsewhere:
    """How the classifier did on photos of another gallery.

    Attributes:
        gallery: its name.
        n: photos of it in the classifier's regions.
        figures: as `stated_figures`.
    """

    gallery: str
    n: int
    figures: Mapping[str, Any] = field(default_factory=dict)


def top_photos(answers: Answers, region: int, *, n: int = N_TOP) -> list[int]:
    """Rows of the photos of a region that look most like it, one of each sub-area while there are such."""
    return _spread(answers, np.flatnonzero(answers.region == region), region, n)


def most_like(answers: Answers, looks: int, inside: int) -> int | None:
    """Row of the photo taken in one region that looks most like another; None where there is none."""
    rows = np.flatnonzero(answers.region == inside)
    return None if not len(rows) else int(rows[answers.log_p[rows, looks].argmax()])


def regions_page(
    report: Mapping[str, Any],
    answers: Answers,
    read: Read,
    *,
    title: str,
    heats: Sequence[Heat] = (),
    elsewhere: Sequence[Elsewhere] = (),
) -> str:
    """The page.

    Args:
        report: of the run, as ``report.json``.
        answers: of the run, as ``held-out.npz``.
        read: files of photos.
        title: heading.
        heats: of some photos, which are shown large.
        elsewhere: figures on photos from other sources.
    """
    pictures = _Pictures(answers, read)
    names = answers.names
    areas, by_chance = (report["rows"][split]["classifier"] for split in ("areas", "random"))
    few = len(names) <= MOST_IN_GRID
    return template("regions.html.jinja").render(
        title=title,
        facts=_facts(report, areas, len(names)),
        gap={
            "random": f"{by_chance['macro_recall']:.1%}",
            "areas": f"{areas['macro_recall']:.1%}",
            "points": f"{100.0 * report['gap']['macro_recall']:.1f}",
            "interval": _points(report["gap"]["interval"]),
            "is_sure": report["gap"]["interval"][0] > 0.0,
        },
        splits=[
            {"title": SPLIT_TITLES[split], "rows": [_row(name, rows[name]) for name in ROWS]}
            for split, rows in report["rows"].items()
        ],
        elsewhere=[{"gallery": one.gallery, "n": one.n, **_row("", one.figures)} for one in elsewhere],
        recalls=_recalls(report, areas),
        matrix=_matrix(report) if len(names) <= MOST_IN_MATRIX else None,
        pairs=[_pair_of(pair, answers, pictures) for pair in report["confused"][:N_PAIRS]],
        tops=[
            {"name": name, "photos": [pictures.card(row, region) for row in top_photos(answers, region)]}
            for region, name in enumerate(names)
        ] if len(names) <= MOST_IN_MATRIX else [],
        grid=_grid(answers, pictures) if few else None,
        heats=[
            {
                "picture": data_uri(thumbnail(one.picture, side=_HEAT_SIDE)),
                "words": one.words,
                "name": names[int(answers.region[pictures.row_of(one.id)])],
            }
            for one in heats
        ],
        surest=[
            {"name": f"the surest {10 * number} %", "share": share, "percent": percent(share)}
            for number, share in enumerate(areas["of_surest"], start=1)
        ],
        trust={
            "before": _trust(report["rows"]["areas"]["classifier, before a temperature"]),
            "after": _trust(areas),
            "even": f"{areas['even_nll']:.2f}",
            "temperature": f"{report['chosen']['areas']['temperature']:.2f}",
        },
        flagged=[
            {
                "kind": kind,
                "n": len(ids),
                "is_left_out": kind in report["settings"]["leave_out"],
                "photos": [picture for id in ids[:N_FLAGGED] if (picture := pictures.of_id(id)) is not None],
            }
            for kind, ids in report["flagged"].items()
        ],
        left_out=sorted(report["left_out"].items()),
        quiz=[pictures.quiz(row) for row in _quiz(answers)],
        source=report["source"],
        settings=report["settings"],
    )  # fmt: skip


def _facts(report: Mapping[str, Any], areas: Mapping[str, Any], n: int) -> list[tuple[str, str]]:
    n_areas = sum(one["areas"] for one in report["regions"])
    recall = f"mean recall of {n} regions, {_pair(areas['macro_recall_interval'])}"
    return [
        (f"{areas['macro_recall']:.1%}", recall),
        (f"{areas['accuracy']:.1%}", f"of photos right, {_pair(areas['accuracy_interval'])}"),
        (f"{1.0 / n:.1%}", "by guessing"),
        (f"{report['photos']:,}", f"photos in {n_areas:,} sub-areas"),
    ]


class _Pictures:
    """Photos as cards, each read once."""

    def __init__(self, answers: Answers, read: Read) -> None:
        self._answers, self._read = answers, read
        self._rows = {id: row for row, id in enumerate(answers.ids)}
        self._made: dict[tuple[str, int], str | None] = {}

    def row_of(self, id: str) -> int:
        return self._rows[id]

    def of_id(self, id: str, side: int = _SIDE) -> str | None:
        if (id, side) not in self._made:
            content = self._read(id)
            small = None if content is None else thumbnail(content, side=side)
            self._made[id, side] = data_uri(small)
        return self._made[id, side]

    def card(self, row: int, region: int) -> dict[str, Any]:
        """A photo with how probable a region is by its look."""
        answers = self._answers
        said = int(answers.log_p[row].argmax())
        return {
            "picture": self.of_id(answers.ids[row]),
            "inside": answers.names[int(answers.region[row])],
            "looks": answers.names[region],
            "percent": percent(float(np.exp(answers.log_p[row, region]))),
            "said": answers.names[said] if said != region else None,
        }

    def quiz(self, row: int) -> dict[str, Any]:
        answers = self._answers
        order = np.argsort(-answers.log_p[row])[:3]
        return {
            "picture": self.of_id(answers.ids[row], _QUIZ_SIDE),
            "truth": answers.names[int(answers.region[row])],
            "said": [(answers.names[one], percent(float(np.exp(answers.log_p[row, one])))) for one in order],
        }


def _spread(answers: Answers, rows: NDArray[np.intp], region: int, n: int) -> list[int]:
    """The rows that look most like a region, first one of each sub-area, then the others."""
    ordered = rows[np.argsort(-answers.log_p[rows, region], kind="stable")].tolist()
    seen: set[str] = set()
    first, rest = list[int](), list[int]()
    for row in ordered:
        (rest if answers.area[row] in seen else first).append(row)
        seen.add(answers.area[row])
    return (first + rest)[:n]


def _quiz(answers: Answers) -> list[int]:
    """Photos to guess at, of as many regions as there are; always the same ones."""
    rng = np.random.default_rng(9)
    regions = rng.permutation(len(answers.names))
    drawn = [rng.permutation(np.flatnonzero(answers.region == one)).tolist() for one in regions]
    rounds = [row for at in range(N_QUIZ) for of in drawn for row in of[at : at + 1]]
    return sorted(rounds[:N_QUIZ], key=lambda row: answers.ids[row])


def _pair_of(pair: Sequence[int], answers: Answers, pictures: _Pictures) -> dict[str, Any]:
    a, b, n = pair
    found = [(looks, most_like(answers, looks, inside)) for looks, inside in ((a, b), (b, a))]
    return {
        "a": answers.names[a],
        "b": answers.names[b],
        "n": n,
        "photos": [pictures.card(row, looks) for looks, row in found if row is not None],
    }


def _grid(answers: Answers, pictures: _Pictures) -> list[dict[str, Any]]:
    """For each region a row: the photo in it that looks most like each region."""
    n = range(len(answers.names))
    return [
        {
            "name": answers.names[inside],
            "cells": [
                None if (row := most_like(answers, looks, inside)) is None else pictures.card(row, looks)
                for looks in n
            ],
        }
        for inside in n
    ]


def _matrix(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for one, counts in zip(report["regions"], report["confusion"], strict=True):
        total = max(sum(counts), 1)
        rows.append({"name": one["name"], "cells": [(n, n / total) for n in counts]})
    return rows


def _recalls(report: Mapping[str, Any], figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    bars = [
        {
            "name": one["name"],
            "of": f"{one['photos']:,} photos, {one['areas']:,} areas",
            "share": recall,
            "percent": percent(recall),
            "interval": _pair(interval),
        }
        for one, recall, interval in zip(
            report["regions"], figures["recall"], figures["recall_interval"], strict=True
        )
    ]
    return sorted(bars, key=lambda bar: -bar["share"])


def _row(name: str, figures: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": name,
        "macro_recall": f"{figures['macro_recall']:.1%} {_pair(figures['macro_recall_interval'])}",
        "accuracy": f"{figures['accuracy']:.1%} {_pair(figures['accuracy_interval'])}",
        "top_3": f"{figures['top_3']:.1%}" if "top_3" in figures else "",
        "nll": f"{figures['nll']:.2f}" if "nll" in figures else "",
        "ece": f"{figures['ece']:.3f}" if "ece" in figures else "",
    }


def _trust(figures: Mapping[str, Any]) -> dict[str, str]:
    return {"nll": f"{figures['nll']:.2f}", "ece": f"{figures['ece']:.3f}"}


def _pair(interval: Sequence[float]) -> str:
    return f"[{100.0 * interval[0]:.1f}, {100.0 * interval[1]:.1f}]"


def _points(interval: Sequence[float]) -> str:
    return f"{100.0 * interval[0]:.1f} to {100.0 * interval[1]:.1f}"
