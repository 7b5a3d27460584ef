"""Figures of place recognition: recall at several numbers and distances, meters, doubt, with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .place_recall import (
    AREA_LIMIT_M,
    RECALL_AT,
    THRESHOLDS_M,
    Judged,
    Recall,
    error_area,
    error_m,
    interval_of,
    judge,
    judge_within,
)
from .place_trial import Answers, PlaceTrial
from .place_uncertainty import RiskCoverage, least_area, risk_coverage
from .surface import Floats


@dataclass(frozen=True, eq=False)
class PlaceFigures:
    """All figures of one way of recognizing places.

    Attributes:
        name: of the way.
        recalls: by the truth asked for, as asked about groups.
        otherwise: the same with groups collapsed if they were not, and the other way round; none where
            the gallery has no groups.
        within_m: recall by meters, for each of `THRESHOLDS_M`; none where places are not known.
        error_m: of the first answer to each query that counts, (Q,); None likewise.
        parts: for each part such as "year" and each of its values, the queries and their recall@1.
        risk: for each sign of doubt.
        n_wrong: queries whose first answer is wrong, of those that count.
        n_counted: queries that count.
        seconds: per query beside reading and embedding it.
        looked_at: share of queries that had a second look.
    """

    name: str
    recalls: list[Recall]
    otherwise: list[Recall]
    within_m: dict[float, list[Recall]]
    error_m: Floats | None
    parts: dict[str, dict[str, tuple[int, float, float, float]]]
    risk: dict[str, RiskCoverage]
    n_wrong: int
    n_counted: int
    seconds: float
    looked_at: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; what is not known is None."""
        told: dict[str, Any] = {
            "name": self.name,
            "recall": [_plain(one) for one in self.recalls],
            "recall_otherwise": [_plain(one) for one in self.otherwise],
            "within_m": {
                f"{meters:g}": [_plain(one) for one in some] for meters, some in self.within_m.items()
            },
            "parts": {
                part: {
                    value: {"n": n, "recall_at_1": share, "low": low, "high": high}
                    for value, (n, share, low, high) in some.items()
                }
                for part, some in self.parts.items()
            },
            "aurc": {
                sign: {"area": one.area, "low": one.interval[0], "high": one.interval[1]}
                for sign, one in self.risk.items()
            },
            "aurc_least": least_area(self.n_wrong, self.n_counted),
            "error_rate": self.n_wrong / self.n_counted,
            "seconds_per_query": self.seconds,
            "looked_at_again": self.looked_at,
        }
        if self.error_m is not None:
            told["median_m"], told["mean_m"] = self.middle_m
            told["error_area"] = error_area(self.error_m)
            told["error_area_limit_m"] = AREA_LIMIT_M
        return told

    @property
    def middle_m(self) -> tuple[float | None, float | None]:
        """Median and mean error of the first answer, meters; None where an answer is missing."""
        if self.error_m is None:
            return None, None
        middle, mean = float(np.median(self.error_m)), float(self.error_m.mean())
        return (middle if np.isfinite(middle) else None), (mean if np.isfinite(mean) else None)


def _plain(recall: Recall) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in asdict(recall).items()}


def figures_of(trial: PlaceTrial, answers: Answers) -> PlaceFigures:
    """Judge answers by the trial's truth.

    Raises:
        WrongPhotoSet: no query counts.
    """
    queries, gallery = trial.queries.photos, trial.gallery.photos
    judged = _judged(trial, answers, collapses=trial.collapses)
    counted = judged.counted
    otherwise: list[Recall] = []
    if gallery.has_groups:
        otherwise = _judged(trial, answers, collapses=not trial.collapses).recalls(seed=trial.seed)
    recalls = judged.recalls(seed=trial.seed)
    is_placed = all(np.isfinite(photos.lonlat).all() for photos in (queries, gallery))
    wrong = judged.first_hit[counted] > 0.0
    return PlaceFigures(
        name=answers.name,
        recalls=recalls,
        otherwise=otherwise,
        within_m=_by_meters(trial, answers) if is_placed else {},
        error_m=error_m(answers.neighbors, queries.lonlat, gallery.lonlat)[counted] if is_placed else None,
        parts=_by_part(trial, judged),
        risk={
            sign: risk_coverage(doubt[counted], wrong, place=trial.place[counted], seed=trial.seed)
            for sign, doubt in answers.doubt.items()
        },
        n_wrong=int(wrong.sum()),
        n_counted=int(counted.sum()),
        seconds=answers.seconds,
        looked_at=answers.looked_at,
    )


def _judged(trial: PlaceTrial, answers: Answers, *, collapses: bool) -> Judged:
    return judge(
        answers.neighbors, trial.positives, place=trial.place, are_all_counted=trial.are_all_counted,
        gallery_group=trial.gallery.photos.group if collapses else None,
    )  # fmt: skip


def _by_meters(trial: PlaceTrial, answers: Answers) -> dict[float, list[Recall]]:
    """Every query counts: those without a right photo are others at each distance."""
    return {
        meters: judge_within(
            answers.neighbors, trial.queries.photos.lonlat, trial.gallery.photos.lonlat, meters,
            place=trial.place, gallery_group=trial.gallery_group,
        ).recalls(seed=trial.seed)
        for meters in THRESHOLDS_M
    }  # fmt: skip


def _by_part(trial: PlaceTrial, judged: Judged) -> dict[str, dict[str, tuple[int, float, float, float]]]:
    parts: dict[str, dict[str, tuple[int, float, float, float]]] = {}
    for part, values in trial.queries.photos.parts.items():
        for value in np.unique(values):
            rows = (values == value) & judged.counted
            if rows.any():
                hit = (judged.first_hit[rows] == 0.0).astype(np.float64)
                low, high = interval_of(hit, judged.place[rows], seed=trial.seed)
                told = (int(rows.sum()), float(hit.mean()), low, high)
                parts.setdefault(part, {})[str(value) or "unknown"] = told
    return parts


@dataclass(frozen=True, eq=False)
class PlaceEvaluation:
    """A trial's figures, of each way that was tried.

    Attributes:
        trial: what was tried on.
        rows: figures of each way.
        facts: what else a reader must know: encoder, input size, licences, seconds of an embedding.
        notes: a sentence each.
    """

    trial: PlaceTrial
    rows: list[PlaceFigures]
    facts: Mapping[str, Any]
    notes: Sequence[str] = ()

    @property
    def n_without(self) -> int:
        """Queries of which the gallery has no right photo."""
        return int((self.trial.positives.counts == 0).sum())

    def headline(self) -> str:
        """What every figure must be read with: the truth, the groups, and the queries that count."""
        trial = self.trial
        groups = "not told" if not trial.gallery.photos.has_groups else "on" if trial.collapses else "off"
        counted = "count as failures" if trial.are_all_counted else "are left out"
        return (
            f"{len(trial.queries.photos):,} queries, {len(trial.gallery.photos):,} photos in the gallery; "
            f"right: {trial.truth.name}; one answer for each group: {groups}; "
            f"queries without a right photo: {self.n_without:,}, which {counted}"
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types."""
        trial = self.trial
        right = trial.positives.counts
        return {
            "n_queries": len(trial.queries.photos),
            "n_gallery": len(trial.gallery.photos),
            "truth": trial.truth.name,
            "one_answer_for_each_group": trial.collapses,
            "n_queries_without_right_photo": self.n_without,
            "such_queries_are_failures": trial.are_all_counted,
            "right_photos_per_query": {
                "min": int(right.min()), "median": float(np.median(right)), "max": int(right.max())
            },
            "intervals": "95 %: Wilson, or a bootstrap over places where queries share some",
            **self.facts,
            "rows": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
        }  # fmt: skip

    def to_json(self) -> str:
        """As text."""
        return json.dumps(self.to_dict(), indent=1)


def evaluate_places(
    trial: PlaceTrial, answers: Sequence[Answers], facts: Mapping[str, Any], notes: Sequence[str] = ()
) -> PlaceEvaluation:
    """Figures of each way, and notes on what makes recall easier than it looks.

    Raises:
        WrongPhotoSet: no query counts.
    """
    told = [*notes]
    if len(trial.positives.query) == len(trial.queries.photos) * len(trial.gallery.photos):
        told.append("every photo of the gallery is right for every query: recall is 1 whatever answers")
    if trial.collapses and not trial.gallery.photos.has_groups:
        told.append(
            "nothing tells which photos of the gallery belong together, so that none were collapsed: write a "
            "column group or sequence_id"
        )
    if trial.collapses and trial.n_neighbors < len(trial.gallery.photos):
        _, size = np.unique(trial.gallery.photos.group, return_counts=True)
        if max(RECALL_AT) * int(size.max()) > trial.n_neighbors:
            told.append(
                f"of {trial.n_neighbors:,} neighbors fewer than {max(RECALL_AT)} groups may be left, so that "
                "recall of many answers can be too low"
            )
    return PlaceEvaluation(trial, [figures_of(trial, one) for one in answers], facts, told)
