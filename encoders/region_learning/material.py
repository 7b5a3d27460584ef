"""What is learned from: embeddings of photos, their regions, and the sub-areas that these consist of."""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import TooFewPairs
from .settings import RegionRun

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionPhotos:
    """N photos in R regions of A sub-areas.

    Attributes:
        ids: of the photos, N.
        embeddings: of unit length, (N, D) float32.
        lonlat: degrees, (N, 2).
        groups: what belongs together and is not torn apart, such as a walk, N labels.
        names: of the regions, R, sorted.
        region: of each photo, (N,), in [0, R).
        area_names: of the sub-areas, A.
        area: of each photo, (N,), in [0, A); sub-areas of two regions are two.
        encoder: id of the fingerprint.
    """

    ids: tuple[str, ...]
    embeddings: NDArray[np.float32]
    lonlat: _Floats
    groups: NDArray[np.str_]
    names: tuple[str, ...]
    region: _Rows
    area_names: tuple[str, ...]
    area: _Rows
    encoder: str

    @classmethod
    def of(
        cls,
        ids: tuple[str, ...],
        embeddings: NDArray[np.float32],
        lonlat: _Floats,
        groups: NDArray[np.str_],
        regions: list[str],
        areas: list[str],
        encoder: str,
    ) -> "RegionPhotos":
        """From names of region and sub-area for each photo."""
        names, region = np.unique(np.array(regions, dtype=object).astype(str), return_inverse=True)
        pairs = sorted(set(zip(regions, areas, strict=True)))
        number = {pair: at for at, pair in enumerate(pairs)}
        area = np.array([number[pair] for pair in zip(regions, areas, strict=True)], dtype=np.intp)
        return cls(
            ids=ids,
            embeddings=embeddings,
            lonlat=lonlat,
            groups=groups,
            names=tuple(names.tolist()),
            region=region.reshape(-1).astype(np.intp),
            area_names=tuple(name for _, name in pairs),
            area=area,
            encoder=encoder,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: _Rows) -> "RegionPhotos":
        """Some of the photos; regions and sub-areas without any are gone."""
        return RegionPhotos.of(
            tuple(self.ids[row] for row in rows),
            self.embeddings[rows],
            self.lonlat[rows],
            self.groups[rows],
            [self.names[one] for one in self.region[rows]],
            [self.area_names[one] for one in self.area[rows]],
            self.encoder,
        )

    def weights(self) -> _Floats:
        """How much each photo counts, (N,), 1 in all: regions alike, and within one its sub-areas alike.

        Else the quarter with most photos would stand for the whole region (tokyo_photo2geo draws as many
        from each town for the same reason).
        """
        in_area = np.bincount(self.area)[self.area]
        region_of_area = np.zeros(len(self.area_names), dtype=np.intp)
        region_of_area[self.area] = self.region
        areas = np.bincount(region_of_area, minlength=len(self.names))[self.region]
        return np.asarray(1.0 / (in_area * areas * len(self.names)))

    @property
    def digest(self) -> str:
        """SHA-256 over ids, embeddings, regions, sub-areas and groups."""
        digest = hashlib.sha256(self.encoder.encode())
        digest.update("\n".join([*self.ids, *self.names, *self.area_names, *self.groups.tolist()]).encode())
        for column in (self.embeddings, self.region, self.area, self.lonlat):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def learnable(photos: RegionPhotos, run: RegionRun) -> tuple[RegionPhotos, dict[str, str]]:
    """The photos of regions that can be learned and asked about, and why others cannot: name -> reason.

    Raises:
        TooFewPairs: fewer than two regions are left.
    """
    n_photos = np.bincount(photos.region, minlength=len(photos.names))
    n_areas = Counter(photos.region[np.unique(photos.area, return_index=True)[1]].tolist())
    left_out: dict[str, str] = {}
    for row, name in enumerate(photos.names):
        if n_photos[row] < run.least_photos:
            left_out[name] = f"{n_photos[row]} photos, at least {run.least_photos} are needed"
        elif n_areas[row] < run.least_areas:
            left_out[name] = f"{n_areas[row]} sub-areas, at least {run.least_areas} are needed"
    kept = np.array([name not in left_out for name in photos.names])
    if kept.sum() < 2:
        some = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3])
        raise TooFewPairs(
            f"{int(kept.sum())} regions can be learned, two are needed ({some or 'there is but one'}): index "
            "more photos, or choose smaller sub-areas or other boundaries"
        )
    return photos.take(np.flatnonzero(kept[photos.region])), left_out
