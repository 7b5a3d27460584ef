"""Where pictures are wanted: equally many points per sub-area, each with views all around.

Two sources of points: polygons, over which they are spread evenly (`poisson_disk`), and lists of
towns, around each of which they are drawn (`imagery_towns`). A sub-area's points depend on the seed and
on its names and outline alone: whatever else is in the file, they stay where they are.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..encoders.areas import Polygon
from ..encoders.errors import InvalidOption
from ..encoders.sphere import as_lonlat
from .imagery_areas import SubArea
from .imagery_towns import Floats, Towns, points_around
from .imagery_views import View
from .poisson_disk import poisson_disk

Progress = Callable[[int, int], None]
MAX_POINTS = 100_000  # of one area: more are no plan for pictures taken one at a time


@dataclass(frozen=True)
class AreaCount:
    """How many points a sub-area got, and why not as many as wanted."""

    region: str
    sub_area: str
    n_points: int
    n_wanted: int
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """Views, those of one point in a row, and what each sub-area got."""

    views: list[View]
    counts: list[AreaCount]

    @property
    def n_points(self) -> int:
        """How many places."""
        return sum(count.n_points for count in self.counts)

    @property
    def short(self) -> list[AreaCount]:
        """Sub-areas with fewer points than wanted, those with none first."""
        return sorted((one for one in self.counts if one.reason), key=lambda one: one.n_points)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What to draw for each sub-area.

    Attributes:
        n_per_area: points, equally many for each.
        per_km2: points per square kilometer instead.
        spacing_m: least distance between two points of a sub-area; polygons only.
        n_headings: views of each point, evenly around the full circle from a drawn offset.
        seed: of everything drawn.
    """

    n_per_area: int | None = None
    per_km2: float | None = None
    spacing_m: float = 0.0
    n_headings: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.n_per_area is None) == (self.per_km2 is None):
            raise InvalidOption("say how many points: so many per area, or so many per km², and not both")
        amount = self.n_per_area if self.per_km2 is None else self.per_km2
        if (self.n_per_area or 0) > MAX_POINTS:
            raise InvalidOption(f"{self.n_per_area:,} points per area; {MAX_POINTS:,} are the most")
        if amount is None or not amount > 0 or self.n_headings < 1:
            raise InvalidOption("points per area, per km² and headings must all be above 0")
        if not 0.0 <= self.spacing_m < 1e7 or self.seed < 0:
            raise InvalidOption(f"spacing {self.spacing_m:g} m, seed {self.seed}: neither may be negative")

    def n_for(self, area: Polygon) -> int:
        """How many points a polygon is to get."""
        by_area = 0 if self.per_km2 is None else round(self.per_km2 * area.area_km2)
        wanted = self.n_per_area or by_area
        if wanted > MAX_POINTS:
            raise InvalidOption(
                f"{wanted:,} points in one area of {area.area_km2:,.0f} km²; {MAX_POINTS:,} are the most: "
                "ask for fewer, or divide the area"
            )
        return wanted


def plan_areas(areas: Sequence[SubArea], sampling: Sampling, progress: Progress | None = None) -> Plan:
    """Spread points over each sub-area's polygon.

    Raises:
        InvalidOption: more points than `MAX_POINTS` for one area.
    """
    plan = Plan([], [])
    for number, area in enumerate(areas):
        rng = _rng(sampling.seed, area.region, area.name)
        points, count = _spread(area, sampling, rng)
        plan.views.extend(_views(number, count, points, sampling.n_headings, rng))
        plan.counts.append(count)
        if progress is not None:
            progress(number + 1, len(areas))
    return plan


def plan_towns(
    towns: Towns,
    sampling: Sampling,
    *,
    within: Sequence[SubArea] | None = None,
    radius_m: float | None = None,
) -> Plan:
    """Draw points around each town, which is then a sub-area of its region.

    Args:
        towns: with the names of their regions.
        sampling: with a number per area.
        within: the regions' polygons, by name; points outside their town's region are not taken.
        radius_m: of the disc around a town; by default half the least distance between two towns of
            its region.

    Raises:
        InvalidOption: a density instead of a number, for discs that are as large as they are, or a spacing.
    """
    if sampling.n_per_area is None or sampling.spacing_m:
        raise InvalidOption("around towns points are drawn by number, without density or spacing")
    radii = towns.radius_km()
    polygons = {area.region: area for area in within or ()}
    plan = Plan([], [])
    for number, (town, region, name) in enumerate(zip(towns.lonlat, towns.region, towns.name, strict=True)):
        rng = _rng(sampling.seed, region, name)
        radius_km = radii[region] if radius_m is None else radius_m / 1000.0
        polygon = polygons[region].polygon if region in polygons else None
        points, reason = np.empty((0, 2)), ""
        if radius_km is None:
            reason = "the only town of its region, so there is no distance to another; give a radius"
        elif within is not None and polygon is None:
            reason = f"there is no polygon for the region {region!r}"
        else:
            points = points_around(town, radius_km, sampling.n_per_area, rng, within=polygon)
            if len(points) < sampling.n_per_area:
                reason = (
                    f"hardly anything within {1000.0 * radius_km:,.0f} m of it lies in its region's polygon"
                )
        count = AreaCount(region, name, len(points), sampling.n_per_area, reason)
        plan.views.extend(_views(number, count, points, sampling.n_headings, rng))
        plan.counts.append(count)
    return plan


def _spread(area: SubArea, sampling: Sampling, rng: np.random.Generator) -> tuple[Floats, AreaCount]:
    """The points of one polygon, and their count."""
    if area.polygon is None:
        return np.empty((0, 2)), AreaCount(area.region, area.name, 0, sampling.n_per_area or 0, area.fault)
    wanted, km2, reason = sampling.n_for(area.polygon), area.polygon.area_km2, ""
    points = poisson_disk(area.polygon, wanted, rng, spacing_km=sampling.spacing_m / 1000.0).lonlat
    if not wanted:
        reason = f"{km2:.3g} km² at {sampling.per_km2:g} per km² rounds to no point"
    elif not len(points):
        reason = f"too thin to be hit, {1e6 * km2:.3g} m²"
    elif len(points) < wanted:
        reason = f"no more fit {sampling.spacing_m:g} m apart in {km2:.3g} km²"
    return points, AreaCount(area.region, area.name, len(points), wanted, reason)


def _views(
    number: int, count: AreaCount, points: Floats, n_headings: int, rng: np.random.Generator
) -> Iterator[View]:
    """The views of a sub-area's points."""
    step = 360.0 / n_headings
    # A ten-millionth of a degree is a centimeter; more digits would claim more than anyone knows.
    for index, (lon, lat) in enumerate(as_lonlat(np.round(points, 7)).tolist()):
        offset = rng.uniform(0.0, step)
        for turn in range(n_headings):
            heading_deg = round(offset + turn * step, 1) % 360.0
            yield View(
                id=f"{number:04d}-{index:03d}-{turn}", lon=lon, lat=lat, heading_deg=heading_deg,
                region=count.region, sub_area=count.sub_area,
            )  # fmt: skip


def _rng(seed: int, region: str, name: str) -> np.random.Generator:
    """A generator for one sub-area, the same in whatever company it stands."""
    digest = hashlib.sha256(f"{region}\0{name}".encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
