"""Walks recognized as walks: straight lines through the matrix of differences.

One picture of a corridor looks like the next one; ten in a row seldom do. After SeqSLAM (Milford and Wyeth
2012) a query is judged together with its neighbors on its walk, whose answers must follow one another at a
constant speed. For query i, reference j and speed v the mean difference along the line

    d(i, j, v) = mean over o of D[i + o, round(j + v o)]

is taken over the offsets o of a window, and the best speed counts. Exact: every line is summed, and no
candidates are left out beforehand. Lines stay within one walk of each side; where a window sticks out at
an end of a walk, what lies inside is averaged. Letters: Q queries, N references, L length, V speeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import InvalidOption
from .surface import Floats

SPEEDS = (0.8, 0.9, 1.0, 1.1, 1.25)
"""References passed for each query."""

Window = Literal["centered", "past"]


def sequence_differences(
    difference: Floats,
    length: int,
    *,
    speeds: Sequence[float] = SPEEDS,
    both_ways: bool = False,
    window: Window = "centered",
    query_walk: NDArray[np.generic] | None = None,
    reference_walk: NDArray[np.generic] | None = None,
) -> Floats:
    """Mean differences along the best line through each pair: (Q, N) -> (Q, N).

    Args:
        difference: of each query to each reference, lower is more alike, in the order in which the
            pictures were taken, (Q, N). Not changed.
        length: L, pictures of a window; 1 changes nothing.
        speeds: references passed for each query, above 0.
        both_ways: also look for references passed backwards.
        window: the query in the middle of its window, or at its end: what a robot knows on its way.
        query_walk: label of each query's walk, (Q,); one walk by default. A walk's pictures stand together.
        reference_walk: of each reference, (N,).

    Returns:
        inf where no line through the pair has at least half of the query's window within both walks.

    Raises:
        InvalidOption: a length below 1, a speed of 0 or below, or walks whose pictures are mixed.
    """
    if length < 1 or not speeds or min(speeds) <= 0.0:
        raise InvalidOption(
            f"length {length}, speeds {tuple(speeds)}: length must be 1 or more, speeds above 0"
        )
    signed = [sign * speed for speed in speeds for sign in ((1.0, -1.0) if both_ways else (1.0,))]
    first = -(length // 2) if window == "centered" else 1 - length
    offsets = np.arange(first, first + length)
    best = np.full(difference.shape, np.inf)
    for rows in _walks(query_walk, len(difference)):
        for columns in _walks(reference_walk, difference.shape[1]):
            block = difference[rows, columns]
            for speed in signed:
                np.minimum(best[rows, columns], _along(block, offsets, speed), out=best[rows, columns])
    return best


def _along(difference: Floats, offsets: NDArray[np.intp], speed: float) -> Floats:
    """Mean differences along the lines of one speed within one pair of walks."""
    n_queries, n_references = difference.shape
    total, n = np.zeros(difference.shape), np.zeros(difference.shape)
    for offset in offsets.tolist():
        # Halves round up, so that no reference is passed over twice in a row at speed 1/2 or 3/2.
        shift = int(np.floor(speed * offset + 0.5))
        rows, columns = _overlap(n_queries, offset), _overlap(n_references, shift)
        there = difference[_moved(rows, offset), _moved(columns, shift)]
        total[rows, columns] += there
        n[rows, columns] += 1.0
    is_inside = (np.arange(n_queries)[:, None] + offsets >= 0) & (
        np.arange(n_queries)[:, None] + offsets < n_queries
    )
    enough = n >= is_inside.sum(axis=1, keepdims=True) / 2.0
    return np.where(enough & (n > 0.0), total / np.maximum(n, 1.0), np.inf)


def _overlap(n: int, shift: int) -> slice:
    """Those of n places from which a shift stays inside."""
    return slice(max(0, -shift), max(0, min(n, n - shift)))


def _moved(part: slice, shift: int) -> slice:
    return slice(part.start + shift, max(part.start, part.stop) + shift)


def _walks(label: NDArray[np.generic] | None, n: int) -> list[slice]:
    """Each walk as a stretch of rows.

    Raises:
        InvalidOption: the pictures of a walk do not stand together.
    """
    if label is None or not n:
        return [slice(0, n)]
    starts = np.flatnonzero(np.append(True, label[1:] != label[:-1]))
    if len(starts) > len(np.unique(label)):
        raise InvalidOption(
            f"the pictures of {len(np.unique(label))} walks are mixed: sort them by walk and time"
        )
    return [slice(int(a), int(b)) for a, b in zip(starts, np.append(starts[1:], n), strict=True)]


def local_contrast(difference: Floats, *, window: int = 20) -> Floats:
    """Each difference against those of references near it on the walk: (Q, N) -> (Q, N).

    (D - mean) / deviation over a window of references about each, after SeqSLAM's local contrast
    enhancement: a dim stretch, alike to every query, loses its advantage. A window without contrast gives 0.

    Args:
        difference: (Q, N).
        window: references on either side together.

    Raises:
        InvalidOption: a window below 2.
    """
    if window < 2:
        raise InvalidOption(f"a window of {window} references has no contrast; take 2 or more")
    n = difference.shape[1]
    half = window // 2
    first = np.clip(np.arange(n) - half, 0, n)
    last = np.clip(np.arange(n) + half + 1, 0, n)
    count = (last - first).astype(np.float64)
    middle = difference.mean(axis=1, keepdims=True)  # sums of squares of large values would cancel
    sums = _running(difference - middle)
    squares = _running((difference - middle) ** 2)
    mean = (sums[:, last] - sums[:, first]) / count
    variance = (squares[:, last] - squares[:, first]) / count - mean**2
    deviation = np.sqrt(np.maximum(variance, 0.0))
    centered = difference - middle - mean
    contrast: Floats = np.divide(centered, deviation, out=np.zeros_like(centered), where=deviation > 1e-9)
    return contrast


def _running(values: Floats) -> Floats:
    """Sums up to each column, a zero before them: (Q, N) -> (Q, N + 1)."""
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
