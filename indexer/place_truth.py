"""What counts as the right place: by meters, by frames of a walk, or by a list.

Ground truth is a policy, so that one set of photos can be judged by several, at any threshold, without
files made for each of them. Whatever the policy, it comes out as `Positives`: pairs of a query and a
gallery photo that shows its place. Thresholds are inclusive. Letters: Q queries, N photos of the
gallery, P pairs, K neighbors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..encoders.errors import InvalidOption, UnreadableSource, WrongPhotoSet
from ..encoders.sphere import chord_of_km, great_circle_km, unit_vectors
from .surface import Floats

if TYPE_CHECKING:
    from .place_sets import PlaceSet

_QUERIES_AT_ONCE = 1024  # bounds the lists that a search around many points makes


@dataclass(frozen=True, eq=False)
class Positives:
    """Which photos of a gallery are right for which query.

    Attributes:
        query: row of the query, ascending, (P,).
        reference: row of the gallery photo, ascending within a query, (P,).
        n_queries: Q.
        n_gallery: N.
    """

    query: NDArray[np.int64]
    reference: NDArray[np.int64]
    n_queries: int
    n_gallery: int

    @classmethod
    def of_pairs(
        cls, query: Iterable[int], reference: Iterable[int], n_queries: int, n_gallery: int
    ) -> Positives:
        """Pairs in any order, doubled or not."""
        keys = np.unique(_keys(np.fromiter(query, np.int64), np.fromiter(reference, np.int64), n_gallery))
        return cls(keys // max(n_gallery, 1), keys % max(n_gallery, 1), n_queries, n_gallery)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many photos are right for each query, (Q,)."""
        return np.bincount(self.query, minlength=self.n_queries)

    def of(self, query: int) -> NDArray[np.int64]:
        """The rows that are right for one query, ascending."""
        first, last = np.searchsorted(self.query, [query, query + 1])
        return self.reference[first:last]

    def hold(
        self, neighbors: NDArray[np.int64], queries: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Which neighbors are right: rows of the gallery (q, K), -1 for none -> (q, K).

        Args:
            neighbors: of each query, or of some.
            queries: which queries those are, (q,); all of them, in order, by default.
        """
        queries = np.arange(self.n_queries) if queries is None else queries
        known = _keys(self.query, self.reference, self.n_gallery)
        asked = _keys(queries[:, None], neighbors, self.n_gallery)
        if not len(known):
            return np.zeros(neighbors.shape, bool)
        at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        right: NDArray[np.bool_] = (known[at] == asked) & (neighbors >= 0)
        return right


def _keys(query: NDArray[np.int64], reference: NDArray[np.int64], n_gallery: int) -> NDArray[np.int64]:
    return query.astype(np.int64) * n_gallery + reference


class PlaceTruth(Protocol):
    """A policy that says which photos show the place of a query."""

    @property
    def name(self) -> str:
        """In words, for the heading of a table."""

    def positives(self, queries: PlaceSet, gallery: PlaceSet) -> Positives:
        """The right pairs.

        Raises:
            WrongPhotoSet: the photos do not tell what the policy needs to know.
        """


@dataclass(frozen=True)
class WithinMeters:
    """Right is what stands within a great-circle distance; 25 m is the field's habit."""

    meters: float = 25.0

    @property
    def name(self) -> str:
        """In words."""
        return f"within {self.meters:g} m"

    def positives(self, queries: PlaceSet, gallery: PlaceSet) -> Positives:
        """Pairs within the distance, found by a tree of unit vectors, decided by the exact distance."""
        query_lonlat, gallery_lonlat = queries.require_lonlat(), gallery.require_lonlat()
        tree = cKDTree(unit_vectors(gallery_lonlat))
        chord = _chord_of_m(self.meters)
        pairs = [np.empty((0, 2), np.int64)]
        for start in range(0, len(query_lonlat), _QUERIES_AT_ONCE):
            part = query_lonlat[start : start + _QUERIES_AT_ONCE]
            near = tree.query_ball_point(unit_vectors(part), chord, return_sorted=True)
            rows = np.repeat(np.arange(len(part)), [len(found) for found in near])
            found = np.concatenate([np.asarray(one, np.int64) for one in near])
            is_within = great_circle_km(part[rows], gallery_lonlat[found]) * 1000.0 <= self.meters
            pairs.append(np.column_stack([rows + start, found])[is_within])
        query, reference = np.concatenate(pairs).T
        return Positives(query, reference, len(queries), len(gallery))


def counts_within(query_lonlat: Floats, gallery_lonlat: Floats, meters: float) -> NDArray[np.int64]:
    """How many photos of the gallery lie within a distance of each query, to a micrometer, (Q,)."""
    tree = cKDTree(unit_vectors(gallery_lonlat))
    counts: NDArray[np.int64] = tree.query_ball_point(
        unit_vectors(query_lonlat), _chord_of_m(meters), return_length=True
    )
    return counts


def _chord_of_m(meters: float) -> float:
    """The chord of a distance, a micrometer longer: trees know a chord of some meters to 1e-9 m only."""
    return float(chord_of_km((meters + 1e-6) / 1000.0))


@dataclass(frozen=True)
class WithinFrames:
    """Right is what has about the same number on a walk done twice, frame beside frame."""

    frames: int = 5

    @property
    def name(self) -> str:
        """In words."""
        return f"within {self.frames} frames"

    def positives(self, queries: PlaceSet, gallery: PlaceSet) -> Positives:
        """Pairs of frames no farther apart than the tolerance."""
        query, reference = queries.require_frames(), gallery.require_frames()
        order = np.argsort(reference, kind="stable")
        first = np.searchsorted(reference[order], query - self.frames, side="left")
        last = np.searchsorted(reference[order], query + self.frames, side="right")
        rows = np.repeat(np.arange(len(query)), last - first)
        found = [order[one:end] for one, end in zip(first, last, strict=True)]
        return Positives.of_pairs(
            rows, np.concatenate(found) if found else [], len(queries), len(gallery)
        )  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """Right is what a list says: for each query's file name those of the right gallery photos."""

    references: dict[str, tuple[str, ...]]
    source: str

    @property
    def name(self) -> str:
        """In words."""
        return f"as {Path(self.source).name} lists them"

    def positives(self, queries: PlaceSet, gallery: PlaceSet) -> Positives:
        """Pairs of the list.

        Raises:
            WrongPhotoSet: a query that the list does not know, or a reference that the gallery has not.
        """
        row_of = {name: row for row, name in enumerate(gallery.names)}
        if len(row_of) < len(gallery):
            raise WrongPhotoSet(
                f"{gallery.source}: several photos have one file name, by which {self.source} lists them; "
                "rename them"
            )
        pairs: list[tuple[int, int]] = []
        for row, name in enumerate(queries.names):
            if name not in self.references:
                raise WrongPhotoSet(
                    f"{self.source}: no line for the query {name}; write its name and no reference if "
                    "nothing is right for it"
                )
            for reference in self.references[name]:
                if reference not in row_of:
                    raise WrongPhotoSet(
                        f"{self.source}: {reference}, listed for the query {name}, is not in "
                        f"{gallery.source}; look at the file's names"
                    )
                pairs.append((row, row_of[reference]))
        query, reference_rows = zip(*pairs, strict=True) if pairs else ((), ())
        return Positives.of_pairs(query, reference_rows, len(queries), len(gallery))


def read_list(path: str | Path) -> Listed:
    """Read a list of right references: a table with the columns query and references.

    Args:
        path: a CSV or another table; references are file names parted by blanks, none for a query of
            which the gallery has no photo. Of a name with folders the last part counts.

    Raises:
        UnreadableSource: no such file, or not a table.
        WrongPhotoSet: other columns, or a query that has two lines.
    """
    if not Path(path).expanduser().is_file():
        raise UnreadableSource(
            f"{path}: no such file; what is right is said by meters:25, frames:5, or a table with the "
            "columns query and references"
        )
    from .table_source import open_table  # pandas takes a second

    source = open_table(str(path))
    if missing := {"query", "references"} - set(source.schema.names):
        raise WrongPhotoSet(
            f"{path}: no column {' nor '.join(sorted(missing))}; a list of right places has the columns "
            f"query and references, this has {', '.join(source.schema.names)}"
        )
    references: dict[str, tuple[str, ...]] = {}
    for part in source.rows(16_384):
        rows = zip(part.column("query").to_pylist(), part.column("references").to_pylist(), strict=True)
        for query, told in rows:
            name = Path(str(query)).name
            if name in references:
                raise WrongPhotoSet(f"{path}: two lines for the query {name}; join them")
            references[name] = tuple(Path(one).name for one in str(told or "").split())
    return Listed(references, str(path))


def truth_of(text: str) -> PlaceTruth:
    """The policy that a word names: ``meters:25``, ``frames:5``, or a file for `read_list`.

    Raises:
        InvalidOption: a threshold that is no number, or is below zero.
        UnreadableSource: no such file.
    """
    kind, _, number = text.partition(":")
    if kind not in ("meters", "frames"):
        return read_list(text)
    try:
        value = float(number)
    except ValueError:
        value = np.nan
    if not 0.0 <= value < np.inf or (kind == "frames" and value != int(value)):
        raise InvalidOption(f"truth {text!r}: write meters:25, frames:5, or a file's name")
    return WithinMeters(value) if kind == "meters" else WithinFrames(int(value))
