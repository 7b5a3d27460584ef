"""Orders by nearness and by several questions, against brute force; across the antimeridian and at a pole."""

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows

from placeprint.encoders.areas import Box
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.background import Background
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.photos import Photo
from placeprint.indexer.ranking import Ranked, Wish, fused, nearest_and_near, nearest_to_place

N = 600
PLACES = [(139.77, 35.68), (179.99, -16.8), (10.0, 89.9), (0.0, -90.0), (-45.0, 0.0)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """A gallery of places all over the Earth, some with none, with their embeddings by id."""
    rng = np.random.default_rng(3)
    vectors = unit_rows(rng, N)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, N)))
    lonlat = np.column_stack([rng.uniform(-180, 180, N), lat])
    from placeprint.indexer.settings import Settings

    settings = Settings(home=tmp_path_factory.mktemp("ranking"), qdrant_url=None)
    with Gallery.create("world", fingerprint_of(8), settings=settings) as gallery:
        rows = []
        for i in range(N):
            place = {} if i % 10 == 0 else {"lon": lonlat[i, 0], "lat": lonlat[i, 1]}
            rows.append(record(str(i), vectors[i], payload=f'{{"parity": {i % 2}}}', **place))
        gallery.add(rows)
        yield gallery, {row.id: vectors[i] for i, row in enumerate(rows)}, list(gallery.find())


def brute_distance(photo: Photo, lon: float, lat: float) -> float:
    if photo.lon is None:
        return np.inf
    return float(great_circle_km(np.array([lon, lat]), np.array([photo.lon, photo.lat])))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("k", "offset"), [(1, 0), (10, 0), (10, 15), (1000, 0)])
def test_the_nearest_photos_are_those_of_a_scan(made, place, k, offset):
    gallery, _, photos = made
    placed = [photo for photo in photos if photo.is_placed]
    expected = sorted(placed, key=lambda photo: (brute_distance(photo, *place), photo.id))[
        offset : offset + k
    ]
    found = nearest_to_place(gallery, *place, k, offset=offset)
    assert [one.photo.id for one in found] == [photo.id for photo in expected]
    assert [one.distance_km for one in found] == pytest.approx([brute_distance(p, *place) for p in expected])


def test_the_nearest_photos_pass_the_filter(made):
    gallery, _, photos = made
    filter = Filter(where={"parity": 1}, within=Box(170.0, -60.0, -170.0, 60.0))
    found = nearest_to_place(gallery, 179.9, 0.0, 100, filter=filter)
    area = filter.within
    expected = {
        p.id
        for p in photos
        if p.is_placed and p.payload["parity"] == 1 and area.contains(np.array([p.lon, p.lat]))
    }
    assert expected and {one.photo.id for one in found} == expected


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("half_km", "weight"), [(1.0, 2.0), (300.0, 0.5), (3000.0, 0.1), (20_000.0, 2.0)])
@pytest.mark.parametrize(("k", "offset"), [(5, 0), (20, 10)])
def test_a_wish_for_nearness_is_answered_as_by_a_scan(made, place, half_km, weight, k, offset, monkeypatch):
    gallery, vectors, photos = made
    query = unit_rows(np.random.default_rng(5), 1)[0]
    wish = Wish(*place, half_km, weight)
    score = {
        p.id: float(vectors[p.id] @ query) + weight * 2.0 ** -((brute_distance(p, *place) / half_km) ** 2)
        for p in photos
    }
    expected = sorted(score, key=lambda id: -score[id])[offset : offset + k]
    found = nearest_and_near(gallery, query, wish, k, offset=offset)
    assert [one.score for one in found] == pytest.approx([score[id] for id in expected], abs=1e-6)
    assert len({one.photo.id for one in found} & set(expected)) >= k - 1  # equal scores may change places


def test_the_bonus_is_half_at_half_km_and_nothing_without_a_place():
    wish = Wish(0.0, 0.0, 50.0, 0.3)
    assert (wish.bonus(0.0), wish.bonus(50.0), wish.bonus(np.inf)) == pytest.approx((0.3, 0.15, 0.0))
    assert wish.radius_km(0.15) == pytest.approx(50.0) and wish.radius_km(0.4) == 0.0


def ranked(*ids: str) -> list[Ranked]:
    return [Ranked(Photo(id=id, image=id), 1.0 - i / 10, 1.0 - i / 10) for i, id in enumerate(ids)]


def test_rankings_are_fused_by_reciprocal_ranks():
    found = fused([(1.0, ranked("a", "b", "c")), (2.0, ranked("c", "a"))], 10)
    expected = {"a": 1 / 61 + 2 / 62, "b": 1 / 62, "c": 1 / 63 + 2 / 61}
    assert {one.photo.id: one.score for one in found} == pytest.approx(expected)
    assert [one.photo.id for one in found] == ["c", "a", "b"]
    assert [one.photo.id for one in fused([(1.0, ranked("a", "b", "c"))], 1, offset=1)] == ["b"]


def test_a_negative_ranking_pushes_down_and_brings_in_nothing():
    found = fused([(1.0, ranked("a", "b")), (-1.0, ranked("a", "z"))], 10)
    assert [one.photo.id for one in found] == ["b", "a"]
    assert found[1].score == pytest.approx(0.0)


def test_the_background_says_how_far_above_random_a_photo_is(made):
    gallery, vectors, _ = made
    query = unit_rows(np.random.default_rng(9), 1)[0]
    background = Background.of(gallery)
    similarity = np.array([float(vector @ query) for vector in vectors.values()])
    z_scores = background.z_scores(query, similarity)
    assert z_scores.mean() == pytest.approx(0.0, abs=1e-4) and z_scores.std() == pytest.approx(1.0, abs=1e-4)
    assert len(Background.of(gallery, 50).embeddings) == 50


def test_a_background_of_hardly_any_photos_says_nothing(any_gallery):
    any_gallery.add(
        [record(str(i), vector) for i, vector in enumerate(unit_rows(np.random.default_rng(0), 5))]
    )
    assert Background.of(any_gallery).z_scores(np.ones(8), [0.5]) is None
    same = Background(np.tile(np.ones((1, 8), np.float32), (20, 1)))
    assert same.z_scores(np.ones(8), [0.5]) is None


def test_photos_come_in_pages_by_id(any_gallery):
    any_gallery.add(
        [record(str(i), vector) for i, vector in enumerate(unit_rows(np.random.default_rng(0), 25))]
    )
    ids, after = [], None
    while page := list(any_gallery.find(limit=10, after=after)):
        ids += [photo.id for photo in page]
        after = ids[-1]
    assert ids == sorted(ids) and len(set(ids)) == 25
