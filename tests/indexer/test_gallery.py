"""The gallery gives the same right answers on every store.

Claims: neighbors are those of an exact scan; each filter lets through exactly what it says, also at
poles and the antimeridian; photos can be added again, changed, and taken away; what cannot be
answered is refused with a remedy.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows
from gallery_rows import E1, STORES, add_places, gallery_on, images

from placeprint.encoders.areas import Box, Circle, Polygon
from placeprint.encoders.errors import (
    InvalidCoordinate,
    InvalidFilter,
)
from placeprint.encoders.sphere import destination, great_circle_km, uniform_on_sphere
from placeprint.indexer.filters import Filter, parse_moment, parse_where
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import Record, photo_id
from placeprint.indexer.settings import Settings
from placeprint.indexer.store_words import translate


def test_neighbors_are_those_of_an_exact_scan(any_gallery: Gallery, rng: np.random.Generator) -> None:
    embeddings, query = unit_rows(rng, 300), unit_rows(rng, 1)[0]
    add_places(any_gallery, uniform_on_sphere(300, rng), embeddings)
    similarity = embeddings @ query
    neighbors = any_gallery.nearest(query, 20)
    assert [n.photo.image for n in neighbors] == [f"photo-{i}" for i in np.argsort(-similarity)[:20]]
    np.testing.assert_allclose([n.similarity for n in neighbors], np.sort(similarity)[::-1][:20], atol=1e-5)


def test_many_embeddings_are_answered_as_one_by_one(any_gallery: Gallery, rng: np.random.Generator) -> None:
    embeddings, queries = unit_rows(rng, 150), unit_rows(rng, 70)
    add_places(any_gallery, uniform_on_sphere(150, rng), embeddings)
    for filter in (None, Filter(within=Circle(10.0, 20.0, 9000.0))):
        found = any_gallery.nearest_many(queries, 12, filter=filter)
        assert found == [any_gallery.nearest(query, 12, filter=filter) for query in queries]
    best = np.argsort(-(queries @ embeddings.T), axis=1)[:, :3]
    images = [[n.photo.image for n in one] for one in any_gallery.nearest_many(queries, 3, exact=True)]
    assert images == [[f"photo-{i}" for i in row] for row in best]
    assert any_gallery.nearest_many(np.empty((0, 8)), 3) == []
    with pytest.raises(InvalidFilter, match="at least 1"):
        any_gallery.nearest_many(queries, 0)
    with pytest.raises(ValueError, match="embedding"):
        any_gallery.nearest_many([E1, np.full(8, np.nan)], 3)


def test_pages_follow_one_another(any_gallery: Gallery, rng: np.random.Generator) -> None:
    add_places(any_gallery, uniform_on_sphere(30, rng), unit_rows(rng, 30))
    whole = [n.photo.id for n in any_gallery.nearest(E1, 20)]
    pages = [n.photo.id for start in (0, 10) for n in any_gallery.nearest(E1, 10, offset=start)]
    assert pages == whole


AREAS = {
    "circle in Tokyo": Circle(139.76, 35.67, 3000.0),
    "circle over the antimeridian": Circle(179.5, -17.0, 2500.0),
    "circle around the south pole": Circle(30.0, -89.0, 3000.0),
    "circle of nearly everything": Circle(0.0, 0.0, 19_000.0),
    "box over the antimeridian": Box(150.0, -60.0, -140.0, 10.0),
    "box up to the north pole": Box(-30.0, 60.0, 40.0, 90.0),
    "box around the world": Box(-180.0, -10.0, 180.0, 10.0),
    "polygon over the antimeridian": Polygon.from_geojson(
        {"type": "Polygon", "coordinates": [[[160, -50], [200, -50], [200, 20], [160, 20], [160, -50]]]}
    ),
    "polygon of all north of the tropic": Polygon.from_geojson(
        {"type": "Polygon", "coordinates": [[[-180, 23], [180, 23], [180, 90], [-180, 90], [-180, 23]]]}
    ),
    "polygon around the south pole": Polygon.from_geojson(
        {"type": "Polygon", "coordinates": [[[0, -40], [120, -50], [-120, -60], [0, -40]]]}
    ),
    "polygon with a hole": Polygon.from_geojson(
        {
            "type": "Polygon",
            "coordinates": [
                [[-60, -40], [60, -40], [60, 40], [-60, 40], [-60, -40]],
                [[-20, -20], [-20, 20], [20, 20], [20, -20], [-20, -20]],
            ],
        }
    ),
}


@pytest.fixture(scope="module", params=STORES)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gallery, np.ndarray]]:
    """Photos all over the Earth, and their places; once on each store, and nobody changes them."""
    rng = np.random.default_rng(20260101)
    lonlat = uniform_on_sphere(800, rng)
    with gallery_on(request.param, tmp_path_factory.mktemp("world")) as gallery:
        add_places(gallery, lonlat, unit_rows(rng, 800))
        yield gallery, lonlat


@pytest.mark.parametrize("name", AREAS)
def test_an_area_lets_through_what_lies_in_it(world: tuple[Gallery, np.ndarray], name: str) -> None:
    gallery, lonlat = world
    inside = {f"photo-{i}" for i in np.flatnonzero(AREAS[name].contains(lonlat))}
    assert 5 < len(inside) < 800
    assert images(gallery, Filter(within=AREAS[name])) == inside
    assert gallery.count(Filter(exclude_within=AREAS[name])) == 800 - len(inside)


def test_a_polygon_of_the_whole_world_holds_it(any_gallery: Gallery, rng: np.random.Generator) -> None:
    ring = [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]
    world = {"type": "Polygon", "coordinates": [ring]}
    poles = [[0.0, 90.0], [0.0, -90.0], [-180.0, 0.0], [180.0, 45.0]]
    add_places(any_gallery, np.vstack([uniform_on_sphere(50, rng), poles]), unit_rows(rng, 54))
    assert any_gallery.count(Filter(within=Polygon.from_geojson(world))) == 54


def test_the_edges_of_a_box_are_inside(any_gallery: Gallery) -> None:
    corners = np.array([[10.0, 20.0], [12.0, 22.0], [180.0, 0.0], [-180.0, 1.0], [5.0, 90.0]])
    add_places(any_gallery, corners, np.tile(E1, (5, 1)))
    assert images(any_gallery, Filter(within=Box(10.0, 20.0, 12.0, 22.0))) == {"photo-0", "photo-1"}
    assert images(any_gallery, Filter(within=Box(170.0, -5.0, 180.0, 5.0))) == {"photo-2", "photo-3"}
    assert images(any_gallery, Filter(within=Box(-100.0, 80.0, -90.0, 90.0))) == {"photo-4"}


def test_a_photo_on_the_circle_is_inside(any_gallery: Gallery) -> None:
    center = np.array([139.76, 35.67])
    rim = destination(center, np.arange(0.0, 360.0, 30.0), 50.0)
    add_places(any_gallery, rim, np.tile(E1, (12, 1)))
    radius_km = float(great_circle_km(center, rim).max())
    assert any_gallery.count(Filter(within=Circle(139.76, 35.67, radius_km))) == 12
    assert any_gallery.count(Filter(within=Circle(139.76, 35.67, radius_km - 0.1))) == 0


def test_a_wide_circle_loses_no_place(any_gallery: Gallery, rng: np.random.Generator) -> None:
    # The engine's index of places takes a corner of this circle for outside of it, 20 km and more within.
    circle = Circle(111.31646946, 22.96360968, 3752.812368662778)
    lonlat = np.array([136.17914961, -0.30567674]) + rng.uniform(-1.0, 1.0, (300, 2))
    add_places(any_gallery, lonlat, unit_rows(rng, 300))
    inside = {f"photo-{i}" for i in np.flatnonzero(circle.contains(lonlat))}
    assert 100 < len(inside) < 300
    assert any_gallery.count(Filter(within=circle)) == len(inside)
    assert {
        n.photo.image for n in any_gallery.nearest(unit_rows(rng, 1)[0], 300, filter=Filter(near=circle))
    } == inside
    assert any_gallery.count(Filter(exclude_within=circle)) == 300 - len(inside)


@pytest.mark.parametrize("radius_km", [201.0, 1500.0, 4000.0, 9900.0, 10_100.0, 15_000.0, 19_900.0])
def test_wide_circles_are_right_everywhere(world: tuple[Gallery, np.ndarray], radius_km: float) -> None:
    gallery, lonlat = world
    for center in ((0.0, 0.0), (179.9, 10.0), (-180.0, -45.0), (20.0, 89.0), (77.0, -90.0), (-60.0, 60.0)):
        circle = Circle(*center, radius_km)
        assert gallery.count(Filter(within=circle)) == np.count_nonzero(circle.contains(lonlat))


def test_photos_without_a_place_are_found_as_such(any_gallery: Gallery) -> None:
    any_gallery.add([record("somewhere", E1, lon=1.0, lat=2.0), record("nowhere", E1)])
    assert images(any_gallery, Filter(is_placed=False)) == {"nowhere"}
    assert images(any_gallery, Filter(is_placed=True)) == {"somewhere"}
    assert len(any_gallery.locate_neighbors(E1).photos) == 1


def test_time_runs_from_the_first_moment_to_before_the_last(any_gallery: Gallery) -> None:
    years = [datetime(year, 1, 1, tzinfo=UTC) for year in (2017, 2018, 2019)]
    any_gallery.add([record(str(moment.year), E1, captured_at=moment) for moment in years])
    during = Filter(captured_from=parse_moment("2018"), captured_until=parse_moment("2019"))
    assert images(any_gallery, during) == {"2018"}
    assert images(any_gallery, Filter(where=parse_where(["year=2017,2019"]))) == {"2017", "2019"}


def test_payload_is_kept_and_can_be_asked_for(any_gallery: Gallery) -> None:
    payloads = [{"country": "NA", "trees": 3, "share": 0.5}, {"country": "JP", "trees": 4, "share": 0.25}]
    any_gallery.add([record(p["country"], E1, payload=json.dumps(p)) for p in payloads])
    assert images(any_gallery, Filter(where=parse_where(["country=NA"]))) == {"NA"}
    assert images(any_gallery, Filter(where=parse_where(["share=0.25", "trees=4"]))) == {"JP"}
    assert images(any_gallery, Filter(where=parse_where(["country='4'"]))) == set()
    assert any_gallery.get([photo_id("sha-JP")])[0].payload == payloads[1]


def test_values_are_found_however_they_are_typed(any_gallery: Gallery) -> None:
    payloads = {"a": {"x": 12}, "b": {"x": 12.0}, "c": {"y": True}, "d": {"z": "007"}, "e": {"y": False}}
    any_gallery.add([record(name, E1, payload=json.dumps(told)) for name, told in payloads.items()])
    assert images(any_gallery, Filter(where=parse_where(["x=12"]))) == {"a", "b"}
    assert images(any_gallery, Filter(where=parse_where(["y=true"]))) == {"c"}
    assert images(any_gallery, Filter(where=parse_where(["z=007"]))) == {"d"}


@pytest.mark.parametrize("payload", ['{"x": NaN}', '{"x": [Infinity]}', '{"x": "\\ud800"}'])
def test_what_no_store_can_hold_never_gets_in(any_gallery: Gallery, payload: str) -> None:
    with pytest.raises(InvalidFilter, match="cannot be stored"):
        any_gallery.add([record("bad", E1, payload=payload)])
    assert len(any_gallery) == 0


def test_facets_count_groups(any_gallery: Gallery) -> None:
    any_gallery.add([record(str(i), E1, group=f"walk-{i % 3}") for i in range(7)])
    assert any_gallery.facet("group") == {"walk-0": 3, "walk-1": 2, "walk-2": 2}
    only = Filter(exclude_groups=frozenset({"walk-0"}))
    assert any_gallery.facet("group", filter=only) == {"walk-1": 2, "walk-2": 2}


def test_ids_and_groups_can_be_left_out(any_gallery: Gallery) -> None:
    any_gallery.add([record(str(i), E1, group=f"walk-{i % 2}") for i in range(6)])
    without = Filter(exclude_ids=frozenset({photo_id("sha-0")}), exclude_groups=frozenset({"walk-1"}))
    assert {n.photo.image for n in any_gallery.nearest(E1, 10, filter=without)} == {"2", "4"}


def test_a_key_with_new_bytes_is_a_new_photo(any_gallery: Gallery) -> None:
    any_gallery.add([record("a.jpg", E1)])
    any_gallery.add([Record(key="a.jpg", status="embedded", sha256="other", embedding=E1)])
    assert [photo.id for photo in any_gallery.find()] == [photo_id("other")]


def test_equal_bytes_are_one_photo_until_the_last_key_goes(any_gallery: Gallery) -> None:
    any_gallery.add([record("a.jpg", E1, lon=1.0, lat=1.0)])
    any_gallery.add([Record(key="b.jpg", status="seen", sha256="sha-a.jpg", lon=2.0, lat=2.0)])
    assert [(photo.image, photo.lon) for photo in any_gallery.find()] == [("a.jpg", 1.0)]
    any_gallery.add([Record(key="a.jpg", status="removed", sha256="sha-a.jpg")])
    assert [(photo.image, photo.lon) for photo in any_gallery.find()] == [("b.jpg", 2.0)]
    any_gallery.add([Record(key="b.jpg", status="removed", sha256="sha-a.jpg")])
    assert len(any_gallery) == 0


def test_deleted_photos_are_gone_and_stay_gone(any_gallery: Gallery, rng: np.random.Generator) -> None:
    add_places(any_gallery, uniform_on_sphere(5, rng), unit_rows(rng, 5))
    assert any_gallery.delete([photo_id("sha-photo-1"), photo_id("unknown")]) == 1
    assert any_gallery.get([photo_id("sha-photo-1")]) == []
    assert photo_id("sha-photo-1") in any_gallery.ledger.replay().deleted
    assert len(any_gallery) == 4


def test_embeddings_come_back_as_they_were(any_gallery: Gallery, rng: np.random.Generator) -> None:
    vectors = unit_rows(rng, 4)
    add_places(any_gallery, uniform_on_sphere(4, rng), vectors)
    order = [photo_id(f"sha-photo-{i}") for i in (2, 0, 3)]
    np.testing.assert_array_equal(any_gallery.embeddings(order), vectors[[2, 0, 3]])


@pytest.mark.parametrize("bad", [np.zeros(8), np.full(8, np.nan), np.ones(7), np.full(8, np.inf)])
def test_embeddings_without_direction_never_get_in(any_gallery: Gallery, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="embedding"):
        any_gallery.add([record("good", E1), record("bad", bad)])
    assert len(any_gallery) == 0
    with pytest.raises(ValueError, match="embedding"):
        any_gallery.nearest(bad)


def test_a_place_that_is_not_on_earth_never_gets_in(any_gallery: Gallery) -> None:
    with pytest.raises(InvalidCoordinate, match="95"):
        any_gallery.add([record("bad", E1, lon=0.0, lat=95.0)])
    with pytest.raises(InvalidCoordinate, match="together"):
        any_gallery.add([record("half", E1, lon=0.0)])
    assert len(any_gallery) == 0


def test_fields_of_the_store_cannot_be_asked_for(any_gallery: Gallery) -> None:
    with pytest.raises(InvalidFilter, match="underscore"):
        any_gallery.count(Filter(where={"_image": "x"}))
    for key, value in (("a b", 1), ('a"b', 1), ("a", 2**64)):
        with pytest.raises(InvalidFilter, match="--where a"):
            any_gallery.count(Filter(where={key: value}))
    with pytest.raises(InvalidFilter, match="at least 1"):
        any_gallery.nearest(E1, 0)


def test_filtered_searches_are_exact_up_to_the_limit_and_never_come_short(
    settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placeprint.indexer.store.EXACT_UP_TO", 20)
    vectors, asked = unit_rows(rng, 60), []
    with Gallery.create("rule", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record(str(i), v, group="few" if i < 20 else "many") for i, v in enumerate(vectors)])
        real = gallery._index.store.query

        def short(vector, limit, condition, *, exact, **how):  # as a broken graph would answer
            asked.append(exact)
            return real(vector, limit, condition, exact=exact, **how)[: None if exact else 3]

        monkeypatch.setattr(gallery._index.store, "query", short)
        gallery.nearest(E1, 10, filter=Filter(exclude_groups=frozenset({"many"})))
        assert asked == [True]
        found = gallery.nearest(E1, 10, filter=Filter(exclude_groups=frozenset({"few"})))
        assert asked == [True, False, True]
        assert len(found) == 10


@pytest.mark.parametrize("guess", [0, 21, 1_000_000])
@pytest.mark.parametrize("group", ["few", "many"])
def test_a_wrong_guess_of_the_store_changes_no_answer(
    guess: int, group: str, settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by what is searched approximately, as few are not, nor by how many there are."""
    monkeypatch.setattr("placeprint.indexer.store.EXACT_UP_TO", 20)
    vectors, asked = unit_rows(rng, 60), []
    with Gallery.create("rule", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record(str(i), v, group="few" if i < 20 else "many") for i, v in enumerate(vectors)])
        filter = Filter(exclude_groups={"few": frozenset({"many"}), "many": frozenset({"few"})}[group])
        right = gallery.nearest(E1, 60, filter=filter, exact=True)
        store = gallery._index.store
        real = store.query

        def query(*args, exact, **how):  # the graph of so few has all
            asked.append(exact)
            return real(*args, exact=exact, **how)

        monkeypatch.setattr(store, "query", query)
        monkeypatch.setattr(store, "guess", lambda condition: 60 if condition is None else guess)
        assert (
            gallery.nearest(E1, 60, filter=filter) == right and len(right) == {"few": 20, "many": 40}[group]
        )
        assert asked == [group == "few" or guess == 0]


def test_the_guess_is_not_believed_of_a_gallery_that_is_too_large_to_search(
    settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.create("rule", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record(str(i), v, group="some") for i, v in enumerate(unit_rows(rng, 30))])
        store, filter = gallery._index.store, Filter(exclude_groups=frozenset({"none"}))
        condition = translate(filter, store.words)
        assert store.guess(None) == 30
        monkeypatch.setattr(store, "guess", lambda condition: 30 if condition is None else 0)
        assert store.has_few(condition, 20)
        monkeypatch.setattr("placeprint.indexer.edge_store.GUESSED_UP_TO", 29)
        assert not store.has_few(condition, 20) and store.has_few(condition, 30)


def test_of_many_answers_those_that_come_short_are_asked_for_again(
    settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placeprint.indexer.store.EXACT_UP_TO", 20)
    vectors, asked = unit_rows(rng, 60), []
    with Gallery.create("rule", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record(str(i), v, group="few" if i < 20 else "many") for i, v in enumerate(vectors)])
        real = gallery._index.store.query_many

        def short(vectors, limit, condition, *, exact, **how):  # every second one, as a broken graph would
            asked.append((len(vectors), exact))
            found = real(vectors, limit, condition, exact=exact, **how)
            return [one[: None if exact or i % 2 else 3] for i, one in enumerate(found)]

        monkeypatch.setattr(gallery._index.store, "query_many", short)
        gallery.nearest_many(vectors[:8], 10, filter=Filter(exclude_groups=frozenset({"many"})))
        assert asked == [(8, True)]
        filter = Filter(exclude_groups=frozenset({"few"}))
        found = gallery.nearest_many(vectors[:8], 10, filter=filter)
        assert asked[1:] == [(8, False), (4, True)]
        assert found == [gallery.nearest(vector, 10, filter=filter, exact=True) for vector in vectors[:8]]


@pytest.mark.slow
def test_filters_of_every_size_keep_their_recall(settings: Settings, rng: np.random.Generator) -> None:
    n = 60_000
    latent = rng.normal(size=(n, 24)) @ rng.normal(size=(24, 512))
    vectors = (latent / np.linalg.norm(latent, axis=1, keepdims=True)).astype(np.float32)
    lonlat, recalls = uniform_on_sphere(n, rng), []
    with Gallery.create("big", fingerprint_of(512), settings=settings) as gallery:
        for start in range(0, n, 8192):
            rows = [(i, *lonlat[i].tolist()) for i in range(start, min(start + 8192, n))]
            gallery.add([record(str(i), vectors[i], lon=lon, lat=lat) for i, lon, lat in rows])
        gallery.optimize()
        for number in range(60):
            circle = Circle(*lonlat[number].tolist(), 300.0 * 1.065**number)
            inside = np.flatnonzero(circle.contains(lonlat))
            best = set(inside[np.argsort(-(vectors[inside] @ vectors[-number]))[:10]].tolist())
            near = gallery.nearest(vectors[-number], 10, filter=Filter(within=circle))
            recalls.append(len({int(one.photo.image) for one in near} & best) / len(best))
    assert len(inside) > 20_000
    assert np.mean(recalls) >= 0.98
