"""Geocells as a whole, on a world of a few hundred made-up places.

Claims: every point on Earth has one cell, whatever it is called; shuffled rows give the same bytes;
cells have the points their table says and their sizes are kept or flagged; no cell crosses a country;
what is read back is what was written, and an edited file is refused; the shipped partition is whole.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from placeprint.encoders.cells.place_units import PlaceHierarchy
from placeprint.encoders.cells.records import FLAGS
from placeprint.encoders.errors import InvalidCells, InvalidCoordinate, UnwritableFile
from placeprint.encoders.geocells import SHIPPED, Geocells, build_geocells, default_geocells
from placeprint.encoders.places import Places
from placeprint.encoders.sphere import (
    EARTH_AREA_KM2,
    as_lonlat,
    destination,
    great_circle_km,
    spherical_mean,
    uniform_on_sphere,
    unit_vectors,
)

MIN, MAX = 20, 40
EDGES = [[180, -16.5], [-180, -16.5], [179.999, 66], [-179.999, 66], [0, 90], [120, 90], [0, -90], [-77, -90]]


def little_world(turn_deg: int = 0) -> PlaceHierarchy:
    """Countries are caps around 12 seeds; one is Fiji, on both sides of the antimeridian."""
    rng = np.random.default_rng(7)
    seeds = np.vstack([[[179.9, -17.0], [-175.0, 66.0], [-170.0, 52.0]], uniform_on_sphere(9, rng)])
    lonlat = np.vstack([
        uniform_on_sphere(300, rng),
        destination(as_lonlat([179.9, -17.0]), rng.uniform(0, 360, 30), rng.uniform(0, 300, 30)),
    ]).round(4)  # fmt: skip
    country = np.argmax(unit_vectors(lonlat) @ unit_vectors(seeds).T, axis=1)
    rows = [
        {
            "city": f"city {row}",
            "country_code": f"{chr(65 + country[row])}A",
            "state": f"state {int(lonlat[row, 1] // 20)}",
            "county": f"county {row % 90}",
            "longitude": round(float((lonlat[row, 0] + turn_deg + 180.0) % 360.0 - 180.0), 4),
            "latitude": float(lonlat[row, 1]),
            "population": 1000 + row,
        }
        for row in range(len(lonlat))
    ]
    return PlaceHierarchy(Places(rows, {}))


def training_points(n: int = 700) -> np.ndarray:
    """Half all over the Earth, half in three dense towns, one of them at the antimeridian."""
    rng = np.random.default_rng(8)
    towns = as_lonlat([[179.99, -17.0], [40.0, 10.0], [40.8, 10.0]])[rng.integers(0, 3, n // 2)]
    near = destination(towns, rng.uniform(0, 360, n // 2), rng.exponential(15.0, n // 2))
    return np.vstack([uniform_on_sphere(n - n // 2, rng), near])


@pytest.fixture(scope="module")
def hierarchy() -> PlaceHierarchy:
    return little_world()


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return training_points()


@pytest.fixture(scope="module")
def cells(hierarchy: PlaceHierarchy, points: np.ndarray) -> Geocells:
    ids = [f"p{row:05d}" for row in range(len(points))]
    return build_geocells(
        points, ids=ids, min_points=MIN, max_points=MAX, hierarchy=hierarchy, force_split=True
    )


def global_grid() -> np.ndarray:
    lon, lat = np.meshgrid(np.arange(-180.0, 180.0, 4.0), np.linspace(-90, 90, 46))
    return np.stack([lon.ravel(), lat.ravel()], axis=1)


# --- membership


def test_every_point_of_a_global_grid_has_one_cell(cells: Geocells) -> None:
    row = cells.assign(global_grid())
    assert row.min() >= 0 and row.max() < len(cells)


def test_a_place_has_one_cell_whatever_it_is_called(cells: Geocells) -> None:
    row = cells.assign(EDGES)
    assert row[0] == row[1] and row[4] == row[5] and row[6] == row[7]
    assert np.array_equal(cells.assign([[190.0, 5.0], [-170.0, 5.0]]), cells.assign([[-170.0, 5.0]] * 2))


def test_membership_does_not_depend_on_company_or_order(cells: Geocells) -> None:
    grid = np.vstack([global_grid(), EDGES])
    order = np.random.default_rng(0).permutation(len(grid))
    alone = np.concatenate([cells.assign(grid[[row]]) for row in order[:50]])
    assert np.array_equal(cells.assign(grid[order])[:50], alone)
    assert np.array_equal(cells.assign(grid)[order], cells.assign(grid[order]))


def test_points_keep_the_country_of_their_nearest_place(cells: Geocells, hierarchy: PlaceHierarchy) -> None:
    grid = np.vstack([global_grid(), EDGES])
    nearest = hierarchy.places.country_code[hierarchy.places.nearest(grid).index]
    assert (cells.country[cells.assign(grid)] == nearest).all()


def test_a_point_off_the_earth_is_refused(cells: Geocells) -> None:
    with pytest.raises(InvalidCoordinate, match="order must be lon, lat"):
        cells.assign([[35.68, 139.77]])


def test_fiji_lies_on_both_sides_of_the_antimeridian(cells: Geocells) -> None:
    fiji = cells.assign([[179.9, -17.0], [-179.9, -17.0]])
    assert set(cells.country[fiji]) == {"AA"}
    near = great_circle_km(cells.center_lonlat[fiji], as_lonlat([[179.9, -17.0], [-179.9, -17.0]]))
    assert near.max() < 3000  # a mean of longitudes would lie 20,000 km away


# --- sizes


def test_the_table_counts_what_assign_gives(cells: Geocells, points: np.ndarray) -> None:
    assert np.array_equal(np.bincount(cells.assign(points), minlength=len(cells)), cells.n_train)
    assert cells.n_train.sum() == len(points)


def test_sizes_are_kept_or_flagged(cells: Geocells) -> None:
    for n, flags in zip(cells.n_train, cells.flags, strict=True):
        assert ("undersized" in flags) == (n < MIN)
        assert ("oversized" in flags or "unsplittable" in flags) == (n > MAX)
        assert set(flags) <= set(FLAGS)
    assert np.mean([n >= MIN for n in cells.n_train]) > 0.8  # a country with few points cannot do better


def test_force_leaves_no_cell_oversized(cells: Geocells) -> None:
    assert not any("oversized" in flags for flags in cells.flags)


def test_more_points_at_one_position_than_fit_are_flagged(hierarchy: PlaceHierarchy) -> None:
    spot = np.repeat([[40.0, 10.0]], 100, axis=0)
    cells = build_geocells(spot, min_points=MIN, max_points=MAX, hierarchy=hierarchy, force_split=True)
    (row,) = set(cells.assign(spot))
    assert cells.n_train[row] == 100 and "unsplittable" in cells.flags[row]


def test_without_force_what_has_no_gap_is_oversized(hierarchy: PlaceHierarchy) -> None:
    line = np.stack([40.0 + np.arange(100) * 0.001, np.full(100, 10.0)], axis=1)
    cells = build_geocells(line, min_points=45, max_points=90, hierarchy=hierarchy)
    row = cells.assign(line)[0]
    assert "oversized" in cells.flags[row] and "unsplittable" not in cells.flags[row]


# --- records


def test_centers_are_mean_vectors_of_the_training_points(cells: Geocells, points: np.ndarray) -> None:
    row = cells.assign(points)
    for number in np.flatnonzero(cells.n_train > 0)[:20]:
        mean = spherical_mean(points[row == number])
        assert great_circle_km(mean, cells.center_lonlat[number]) < 0.001
        spread = great_circle_km(cells.center_lonlat[number], points[row == number])
        assert cells.rms_km[number] == pytest.approx(np.sqrt((spread**2).mean()), abs=0.002)


def test_cells_without_points_lie_at_their_places(hierarchy: PlaceHierarchy) -> None:
    cells = build_geocells([[40.0, 10.0]], min_points=MIN, max_points=MAX, hierarchy=hierarchy)
    places = hierarchy.places
    assert set(cells.country) == set(places.country_code) and len(cells) == len(set(places.country_code))
    for row in np.flatnonzero(cells.n_train == 0):
        mean = spherical_mean(places.lonlat[places.country_code == cells.country[row]])
        assert great_circle_km(mean, cells.center_lonlat[row]) < 0.001
        assert cells.flags[row][:2] == ("empty", "undersized")


def test_areas_sum_to_the_earths(cells: Geocells) -> None:
    assert cells.area_km2.sum() == pytest.approx(EARTH_AREA_KM2, rel=1e-9)
    assert cells.area_km2.min() > 0.0


def test_crossings_of_admin1_are_told_with_their_shares(cells: Geocells) -> None:
    for flags, shares in zip(cells.flags, cells.admin1_shares, strict=True):
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        assert ("crosses-admin1" in flags) == (len(shares) > 1 and "empty" not in flags)
    assert any("crosses-admin1" in flags for flags in cells.flags)


def test_strict_cells_stay_in_their_admin1(hierarchy: PlaceHierarchy, points: np.ndarray) -> None:
    strict = build_geocells(
        points, min_points=MIN, max_points=10**6, hierarchy=hierarchy, admin1_policy="strict"
    )
    row = strict.assign(hierarchy.places.lonlat)
    kinds = set(zip(row, hierarchy.places.country_code, hierarchy.places.state, strict=True))
    assert len(kinds) == len(set(row))


# --- the same again


def test_shuffled_rows_give_the_same_bytes(
    cells: Geocells, hierarchy: PlaceHierarchy, points: np.ndarray, tmp_path: Path
) -> None:
    order = np.random.default_rng(3).permutation(len(points))
    again = build_geocells(
        points[order], ids=[f"p{row:05d}" for row in order], min_points=MIN, max_points=MAX,
        hierarchy=hierarchy, force_split=True,
    )  # fmt: skip
    cells.save(tmp_path / "a.parquet")
    again.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_turned_world_has_the_same_partition(points: np.ndarray) -> None:
    turn = 73
    turned = np.stack([(points[:, 0] + turn + 180.0) % 360.0 - 180.0, points[:, 1]], axis=1)
    kept = {"min_points": MIN, "max_points": 10**6, "with_areas": False}
    here = build_geocells(points, hierarchy=little_world(), **kept)
    there = build_geocells(turned, hierarchy=little_world(turn), **kept)
    pairs = set(zip(here.assign(points), there.assign(turned), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_what_is_read_back_is_what_was_written(cells: Geocells, tmp_path: Path) -> None:
    cells.save(tmp_path / "cells.parquet")
    back = Geocells.load(tmp_path / "cells.parquet")
    assert back.cells_id == cells.cells_id
    grid = np.vstack([global_grid(), EDGES])
    assert np.array_equal(back.assign(grid), cells.assign(grid))
    back.save(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "cells.parquet").read_bytes()


def test_the_file_is_geoparquet(cells: Geocells, tmp_path: Path) -> None:
    import geopandas

    cells.save(tmp_path / "cells.parquet")
    frame = geopandas.read_parquet(tmp_path / "cells.parquet")
    assert np.allclose(frame.geometry.x, cells.center_lonlat[:, 0])
    assert frame.crs.to_string() in ("OGC:CRS84", "EPSG:4326")


# --- refusals


@pytest.mark.parametrize("column", ["n_train", "lon", "country", "site_lon"])
def test_an_edited_file_is_refused(cells: Geocells, tmp_path: Path, column: str) -> None:
    path = tmp_path / "cells.parquet"
    cells.save(path)
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[0] = {"n_train": 5, "lon": 1.0, "country": "QQ", "site_lon": [1]}[column]
    field = table.schema.field(column)
    changed = table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))
    pq.write_table(changed, path)
    with pytest.raises(InvalidCells, match="damaged or edited"):
        Geocells.load(path)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"lon,lat\n1,2\n"])
def test_what_is_no_file_of_cells_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cells.parquet").write_bytes(content)
    with pytest.raises(InvalidCells, match=r"cells\.parquet"):
        Geocells.load(tmp_path / "cells.parquet")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidCells, match="placeprint cells build"):
        Geocells.load(tmp_path / "none.parquet")


def test_a_folder_that_is_not_there_is_named(cells: Geocells, tmp_path: Path) -> None:
    with pytest.raises(UnwritableFile, match="choose a folder"):
        cells.save(tmp_path / "nowhere" / "cells.parquet")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_points": 0}, "at least 1 point"),
        ({"max_points": 39}, "twice the minimum"),
        ({"admin1_policy": "never"}, "prefer or strict"),
        ({"ids": ["a", "a"]}, "'a' occurs twice"),
        ({"ids": ["a"]}, "1 ids for 2 points"),
    ],
)
def test_what_cannot_be_built_is_refused(hierarchy: PlaceHierarchy, changes: dict, said: str) -> None:
    asked = {"min_points": MIN, "max_points": MAX, "hierarchy": hierarchy, **changes}
    with pytest.raises(InvalidCells, match=said):
        build_geocells([[1.0, 2.0], [3.0, 4.0]], **asked)


def test_no_points_are_refused(hierarchy: PlaceHierarchy) -> None:
    with pytest.raises(InvalidCells, match="there are none"):
        build_geocells(np.empty((0, 2)), hierarchy=hierarchy)


# --- the shipped partition


def test_the_shipped_partition_is_the_published_one() -> None:
    cells = default_geocells()
    assert cells.cells_id == "d275841559d3cd43"
    assert 2000 <= len(cells) <= 4000
    assert SHIPPED.stat().st_size < 1_500_000
    assert default_geocells() is cells


def test_the_shipped_partition_covers_the_earth() -> None:
    cells = default_geocells()
    assert cells.area_km2.sum() == pytest.approx(EARTH_AREA_KM2, rel=1e-6)
    assert len(set(cells.country)) == 245
    row = cells.assign(np.vstack([global_grid(), EDGES]))
    assert row.min() >= 0 and row.max() < len(cells)


@pytest.mark.parametrize(
    ("lonlat", "country", "name"),
    [
        ([139.69, 35.69], "JP", "Tokyo"), ([17.08, -22.57], "NA", "Windhoek"), ([179.99, -16.8], "FJ", ""),
        ([-179.99, -16.8], "FJ", ""), ([-172.0, 66.0], "RU", ""), ([-176.6, 51.9], "US", ""),
    ],
)  # fmt: skip
def test_known_places_of_the_shipped_partition(lonlat: list[float], country: str, name: str) -> None:
    cells = default_geocells()
    (row,) = cells.assign([lonlat])
    assert cells.country[row] == country and name in cells.name[row]


def test_antarctica_belongs_to_someone() -> None:
    cells = default_geocells()
    poles = cells.assign([[lon, -90.0] for lon in range(-180, 181, 40)])
    assert len(set(poles)) == 1
