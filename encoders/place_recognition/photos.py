"""What learning to recognize places is told of its photos: files, coordinates, walks, headings, times."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import TooFewPairs
from ..sphere import as_lonlat


@dataclass(frozen=True, eq=False)
class PlacePhotos:
    """Photos and where they were taken. N photos.

    Attributes:
        files: N paths.
        lonlat: degrees, longitude first, (N, 2).
        sequences: which walk or drive each belongs to, (N,); "" where that is not known.
        heading_deg: where each camera looked, clockwise from north, (N,); NaN where that is not known.
        captured_at: when, as texts that are equal for one visit, such as a year or a day, (N,); "" where
            that is not known.
    """

    files: tuple[Path, ...]
    lonlat: NDArray[np.float64]
    sequences: NDArray[np.str_]
    heading_deg: NDArray[np.float64]
    captured_at: NDArray[np.str_]

    @classmethod
    def of(
        cls,
        files: Sequence[str | Path],
        lonlat: ArrayLike,
        *,
        sequences: Sequence[str] | None = None,
        heading_deg: ArrayLike | None = None,
        captured_at: Sequence[str] | None = None,
    ) -> "PlacePhotos":
        """Check everything once; what is left out is not known.

        Raises:
            InvalidCoordinate: a place that is not on Earth.
            TooFewPairs: no photos, or columns of different lengths.
        """
        n = len(files)
        found = cls(
            tuple(Path(file) for file in files),
            as_lonlat(np.reshape(np.asarray(lonlat, dtype=np.float64), (-1, 2)) if n == 0 else lonlat),
            np.full(n, "") if sequences is None else np.asarray(sequences, dtype=np.str_),
            np.full(n, np.nan) if heading_deg is None else np.asarray(heading_deg, dtype=np.float64),
            np.full(n, "") if captured_at is None else np.asarray(captured_at, dtype=np.str_),
        )
        lengths = {
            "lonlat": len(found.lonlat),
            "sequences": len(found.sequences),
            "heading_deg": len(found.heading_deg),
            "captured_at": len(found.captured_at),
        }
        if wrong := {name: length for name, length in lengths.items() if length != n}:
            raise TooFewPairs(f"{n} photos, but {wrong}: give one of each for every photo")
        return found

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: NDArray[np.intp]) -> "PlacePhotos":
        """Some of the photos, in the order of the rows."""
        return PlacePhotos(
            tuple(self.files[row] for row in rows),
            self.lonlat[rows],
            self.sequences[rows],
            self.heading_deg[rows],
            self.captured_at[rows],
        )

    @property
    def digest(self) -> str:
        """Hash of paths, sizes of files, and all that is known of the photos; files are not read."""
        digest = hashlib.sha256()
        for file in self.files:
            size = file.stat().st_size if file.is_file() else -1
            digest.update(f"{file.name} {size}\n".encode())
        for column in (self.lonlat, self.heading_deg):
            digest.update(np.ascontiguousarray(column).tobytes())
        digest.update("\n".join([*self.sequences.tolist(), *self.captured_at.tolist()]).encode())
        return digest.hexdigest()
