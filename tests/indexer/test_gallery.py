"""The gallery gives the same right answers on every store.

Claims: neighbors are those of an exact scan; each filter lets through exactly what it says, also at
poles and the antimeridian; photos can be added again, changed, and taken away; what cannot be
answered is refused with a remedy; a gallery comes back after its process, from its ledger alone,
and after its index was built; two processes do not hold it at once.
"""

import json
import os
import shutil
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from copies import read_written
from fakes import fingerprint_of, record, unit_rows

from placeprint.encoders.areas import Box, Circle, Polygon
from placeprint.encoders.errors import (
    DamagedGallery,
    FingerprintMismatch,
    GalleryLocked,
    InvalidCoordinate,
    InvalidFilter,
    PlaceprintError,
    ReadOnlyGallery,
    UnknownGallery,
)
from placeprint.encoders.sphere import destination, great_circle_km, uniform_on_sphere
from placeprint.indexer import gallery as gallery_module
from placeprint.indexer.filters import Filter, parse_moment, parse_where
from placeprint.indexer.gallery import Gallery, gallery_names
from placeprint.indexer.gallery_files import CALIBRATION, EVIDENCE
from placeprint.indexer.index import Index
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.locator import Locator
from placeprint.indexer.record import Record, photo_id
from placeprint.indexer.settings import Settings
from placeprint.indexer.store import EdgeStore

E1 = np.eye(8, dtype=np.float32)[0]


def add_places(gallery: Gallery, lonlat: np.ndarray, embeddings: np.ndarray) -> None:
    gallery.add(
        [
            record(f"photo-{i}", embeddings[i], lon=lon, lat=lat)
            for i, (lon, lat) in enumerate(lonlat.tolist())
        ]
    )


def images(gallery: Gallery, filter: Filter) -> set[str]:
    return {photo.image for photo in gallery.find(filter)}


def test_neighbors_are_those_of_an_exact_scan(any_gallery: Gallery, rng: np.random.Generator) -> None:
    embeddings, query = unit_rows(rng, 300), unit_rows(rng, 1)[0]
    add_places(any_gallery, uniform_on_sphere(300, rng), embeddings)
    similarity = embeddings @ query
    neighbors = any_gallery.nearest(query, 20)
    assert [n.photo.image for n in neighbors] == [f"photo-{i}" for i in np.argsort(-similarity)[:20]]
    np.testing.assert_allclose([n.similarity for n in neighbors], np.sort(similarity)[::-1][:20], atol=1e-5)


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


@pytest.mark.parametrize("name", AREAS)
def test_an_area_lets_through_what_lies_in_it(
    any_gallery: Gallery, rng: np.random.Generator, name: str
) -> None:
    lonlat = uniform_on_sphere(800, rng)
    add_places(any_gallery, lonlat, unit_rows(rng, 800))
    inside = {f"photo-{i}" for i in np.flatnonzero(AREAS[name].contains(lonlat))}
    assert 5 < len(inside) < 800
    assert images(any_gallery, Filter(within=AREAS[name])) == inside
    assert any_gallery.count(Filter(exclude_within=AREAS[name])) == 800 - len(inside)


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
    monkeypatch.setattr(gallery_module, "EXACT_UP_TO", 20)
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


# --- on disk ---------------------------------------------------------------------------------------


@pytest.fixture
def filled(settings: Settings, rng: np.random.Generator) -> np.ndarray:
    vectors = unit_rows(rng, 40)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        add_places(gallery, uniform_on_sphere(40, rng), vectors)
    return vectors


def test_a_gallery_is_as_it_was_left(filled: np.ndarray, settings: Settings) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 40
        assert gallery.nearest(filled[7], 1)[0].photo.image == "photo-7"
    assert gallery_names(settings) == ["trips"]


def test_the_ledger_alone_makes_the_store_again(filled: np.ndarray, settings: Settings) -> None:
    folder = settings.home / "galleries" / "trips"
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.delete([photo_id("sha-photo-3")])
        before = {photo.id: photo for photo in gallery.find()}
    shutil.rmtree(folder / "index")
    with Gallery.open("trips", settings=settings) as gallery:
        assert {photo.id: photo for photo in gallery.find()} == before


def test_a_store_that_cannot_be_opened_is_rebuilt(filled: np.ndarray, settings: Settings) -> None:
    for file in (settings.home / "galleries/trips/index/gen-0001").rglob("*.json"):
        if file.name != "applied.json":
            file.write_text("damaged")
    with pytest.raises(PlaceprintError, match="placeprint rebuild"):
        Gallery.open("trips", settings=settings)
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 40


def test_shards_that_the_store_missed_are_applied_on_opening(
    filled: np.ndarray, settings: Settings, rng: np.random.Generator
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        # As if killed between the commit to the ledger and the store.
        gallery.ledger.append(
            [record("late", E1), Record(key="photo-0", status="removed", sha256="sha-photo-0")]
        )
    with Gallery.open("trips", settings=settings) as gallery:
        assert gallery.nearest(E1, 1)[0].photo.image == "late"
        assert len(gallery) == 40


def test_another_encoder_is_refused_with_the_remedy(filled: np.ndarray, settings: Settings) -> None:
    with pytest.raises(FingerprintMismatch, match=r"made-up.*--encoder"):
        Gallery.open("trips", fingerprint=fingerprint_of(8, "other"), settings=settings)
    with Gallery.open("trips", fingerprint=fingerprint_of(8), settings=settings) as gallery:
        assert len(gallery) == 40


def test_an_unknown_gallery_says_which_there_are(filled: np.ndarray, settings: Settings) -> None:
    with pytest.raises(UnknownGallery, match=r"trips.*placeprint index"):
        Gallery.open("tirps", settings=settings)
    with pytest.raises(UnknownGallery, match="lower-case"):
        Gallery.create("../x", fingerprint_of(8), settings=settings)


def test_two_do_not_hold_it_at_once(filled: np.ndarray, settings: Settings) -> None:
    with Gallery.open("trips", settings=settings):
        with pytest.raises(GalleryLocked, match=r"process \d+"):
            Gallery.open("trips", settings=settings)
    Gallery.open("trips", settings=settings).close()


def test_searches_and_writes_go_on_while_the_index_is_built(
    settings: Settings, rng: np.random.Generator
) -> None:
    vectors = unit_rows(rng, 12_000, 64)
    waits_s: list[float] = []
    with Gallery.create("big", fingerprint_of(64), settings=settings) as gallery:
        gallery.add([record(f"photo-{i}", vector) for i, vector in enumerate(vectors)])
        builder = threading.Thread(target=gallery.optimize)
        builder.start()
        while builder.is_alive():
            started = time.perf_counter()
            assert len(gallery.nearest(vectors[5], 3)) == 3
            waits_s.append(time.perf_counter() - started)
            if len(waits_s) == 3:
                gallery.add([record("late", vectors[5])])
                gallery.delete([photo_id("sha-photo-0")])
            builder.join(0.02)  # the builder, a process, has most of the processor
        found = {neighbor.photo.image for neighbor in gallery.nearest(vectors[5], 2)}
        assert found == {"late", "photo-5"}
        assert len(gallery) == 12_000
        assert len(waits_s) > 10
        assert [path.name for path in (gallery.folder / "index").glob("gen-*")] == ["gen-0002"]
    with Gallery.open("big", settings=settings) as gallery:
        assert len(gallery) == 12_000
        assert isinstance(gallery._index.store, EdgeStore)


def test_a_flipped_bit_in_the_ledger_is_an_error_that_names_the_shard(
    filled: np.ndarray, settings: Settings
) -> None:
    shard = settings.home / "galleries/trips/ledger/00000001.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(PlaceprintError, match=r"00000001.parquet: damaged.*index the same"):
        Gallery.open("trips", settings=settings, is_rebuilt=True)


def test_leftovers_of_a_killed_commit_are_cleared(filled: np.ndarray, settings: Settings) -> None:
    leftover = settings.home / "galleries/trips/ledger/00000002.tmp"
    leftover.write_bytes(b"half a shard")
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 40
    assert not leftover.exists()


def test_a_moved_file_of_weights_is_remembered(
    filled: np.ndarray, settings: Settings, tmp_path: Path
) -> None:
    fingerprint = fingerprint_of(8)
    for place in ("one.safetensors", "two.safetensors"):
        Gallery.open_or_create("trips", fingerprint, weights=tmp_path / place, settings=settings).close()
        with Gallery.open("trips", settings=settings) as gallery:
            assert gallery.weights == str(tmp_path / place)
    Gallery.open_or_create("trips", fingerprint, settings=settings).close()
    with Gallery.open("trips", settings=settings) as gallery:
        assert gallery.weights == str(tmp_path / "two.safetensors")
    with pytest.raises(FingerprintMismatch):
        Gallery.open_or_create("trips", fingerprint_of(8, "other"), weights=tmp_path / "x", settings=settings)
    with Gallery.open("trips", settings=settings) as gallery:
        assert gallery.weights == str(tmp_path / "two.safetensors")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 1}', '{"format": 1, "fingerprint": {"name": "x"}}', '{"format": []}'],
)
def test_a_damaged_description_is_named(filled: np.ndarray, settings: Settings, content: str) -> None:
    path = settings.home / "galleries/trips/gallery.json"
    path.write_text(content)
    with pytest.raises(DamagedGallery, match=r"gallery.json: damaged.*backup"):
        Gallery.open("trips", settings=settings)


def test_a_gallery_of_a_later_version_is_left_alone(filled: np.ndarray, settings: Settings) -> None:
    (settings.home / "galleries/trips/gallery.json").write_text('{"format": 2, "all": "different"}')
    with pytest.raises(PlaceprintError, match="update Placeprint"):
        Gallery.open("trips", settings=settings)


# --- the store and the ledger out of step ----------------------------------------------------------


@pytest.mark.parametrize("note", ["", "null", "[1]", '{"shards": "many"}'])
def test_without_a_readable_note_the_store_is_brought_up_to_date(
    filled: np.ndarray, settings: Settings, note: str
) -> None:
    (settings.home / "galleries/trips/index/gen-0001/applied.json").write_text(note)
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 40


def test_an_unreadable_pointer_to_the_store_is_named_and_rebuilt(
    filled: np.ndarray, settings: Settings
) -> None:
    (settings.home / "galleries/trips/index/CURRENT").write_text("")
    with pytest.raises(PlaceprintError, match=r"CURRENT: damaged.*placeprint rebuild"):
        Gallery.open("trips", settings=settings)
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 40


@pytest.mark.parametrize("kind", ["behind", "behind an early note", "overtaken"])
def test_a_ledger_from_a_backup_wins_over_the_store(
    filled: np.ndarray, settings: Settings, tmp_path: Path, kind: str
) -> None:
    ledger = settings.home / "galleries/trips/ledger"
    shutil.copytree(ledger, tmp_path / "backup")
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.add([record("later", E1)])
        gallery.delete([photo_id("sha-photo-3")])
    shutil.rmtree(ledger)
    shutil.copytree(tmp_path / "backup", ledger)
    if kind == "behind an early note":
        (settings.home / "galleries/trips/index/gen-0001/applied.json").write_text('{"shards": 3}')
    if kind == "overtaken":  # as many shards as the store knows, but others
        other = Ledger(ledger, fingerprint=fingerprint_of(8).id, dimension=8)
        other.append([record("another", E1)])
        other.append([record("a third", E1)])
    with Gallery.open("trips", settings=settings) as gallery:
        others = {"another", "a third"} if kind == "overtaken" else set()
        wanted = {f"photo-{i}" for i in range(40)} | others
        assert images(gallery, Filter()) == wanted


@pytest.mark.parametrize("is_behind", [False, True])
@pytest.mark.parametrize("change", ["a stranger", "nothing left"])
def test_a_store_that_was_changed_by_others_is_made_anew(
    filled: np.ndarray, settings: Settings, change: str, is_behind: bool
) -> None:
    """As a collection on a server that went on, when the gallery's folder comes back from a backup."""
    with Gallery.open("trips", settings=settings) as gallery:
        if change == "a stranger":
            gallery._index.store.upsert([photo_id("stranger")], [{"image": E1}], [{"_image": "stranger"}])
        else:
            gallery._index.store.delete([photo_id(f"sha-photo-{i}") for i in range(40)])
        if is_behind:  # as if killed before the store took a commit in
            gallery.ledger.append([record("late", E1)])
    with Gallery.open("trips", settings=settings) as gallery:
        wanted = {f"photo-{i}" for i in range(40)} | ({"late"} if is_behind else set())
        assert images(gallery, Filter()) == wanted


def test_a_store_killed_in_the_middle_of_a_commit_is_not_made_anew(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.ledger.append([record("late", E1), record("later", E1)])
        gallery._index.store.upsert([photo_id("sha-late")], [{"image": E1}], [{"_image": "late"}])
    monkeypatch.setattr(Index, "_start_anew", None)
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 42


# --- what is on the disk, and when -----------------------------------------------------------------


def test_a_shard_is_on_the_disk_before_it_has_its_name_and_the_store_before_it_is_noted(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is forced to disk before it is renamed, every folder after; the ledger comes first."""
    events: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        events.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        events.append(f"rename {self.name} {Path(target).name}")
        return real_replace(self, target)

    with Gallery.open("trips", settings=settings) as gallery:
        real_flush = gallery._index.store.flush

        def flush() -> None:
            events.append("flush the store")
            real_flush()

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr(gallery._index.store, "flush", flush)
        gallery.add([record("late", E1)])
        assert events == [
            "sync 00000002.tmp",
            "rename 00000002.tmp 00000002.parquet",
            "sync ledger",
            "flush the store",
            "sync applied.json.tmp",
            "rename applied.json.tmp applied.json",
            "sync gen-0001",
        ]


def test_what_is_deleted_is_decided_while_nobody_else_writes(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        looked: list[bool] = []
        real = gallery.knows

        def look() -> None:
            looked.append(gallery._index.writing.acquire(blocking=False))
            if looked[-1]:
                gallery._index.writing.release()

        def knows(id: str) -> bool:
            other = threading.Thread(target=look)
            other.start()
            other.join()
            return real(id)

        monkeypatch.setattr(gallery, "knows", knows)
        gallery.delete([photo_id("sha-photo-3")])
        assert looked == [False]


def test_erased_photos_leave_the_files(settings: Settings, rng: np.random.Generator) -> None:
    vectors = unit_rows(rng, 6, 64)
    rows = [
        record(
            f"photo-{i}", vector, lon=10.0 + i, lat=20.0,
            payload=json.dumps({"note": f"secret-{i}-{rng.integers(1 << 60)}"}),
        )
        for i, vector in enumerate(vectors)
    ]  # fmt: skip
    with Gallery.create("trips", fingerprint_of(64), settings=settings) as gallery:
        gallery.add(rows[:4])
        gallery.add(
            [*rows[4:], Record(key="copy-1", status="seen", sha256="sha-photo-1", payload=rows[1].payload)]
        )
        Locator(gallery)
        gallery.keep(EVIDENCE, b"learned from all of them")
        before = {photo.id: photo for photo in gallery.find()}
    kept, gone = photo_id("sha-photo-0"), [photo_id("sha-photo-1"), photo_id("sha-photo-5")]
    assert all(_is_in_files(settings, gone_row) for gone_row in (rows[1], rows[5]))
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.delete([gone[0]])  # erased though it was deleted before
        assert gallery.delete(gone, is_erased=True) == 2
        assert not (gallery.folder / CALIBRATION).exists()  # it weighs where they were
        assert not (gallery.folder / EVIDENCE).exists()  # it was learned from them
        assert gallery.get([*gone, kept]) == [before[kept]]
        assert gallery.delete([photo_id("unknown")], is_erased=True) == 0
    for row in rows:
        assert _is_in_files(settings, row) == (row.key not in ("photo-1", "photo-5"))
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert {photo.id for photo in gallery.find()} == before.keys() - set(gone)
        assert gallery.state.deleted == set(gone)
        np.testing.assert_array_equal(gallery.embeddings([kept])[0], vectors[0])
        with pytest.raises(KeyError):
            gallery.embeddings(gone)


def _is_in_files(settings: Settings, row: Record) -> bool:
    """Whether some file of the gallery has a row's embedding or payload, also packed in Parquet."""
    note = json.loads(row.payload)["note"].encode()
    marks = [row.embedding[:8].tobytes(), note, f"{row.lon!r}, 20.0".encode()]  # type: ignore[index]
    for path in (settings.home / "galleries/trips").rglob("*"):
        if path.is_file():
            content = read_written(path)
            if path.suffix == ".parquet":
                table = pq.read_table(path, partitioning=None)
                content += repr(table.drop_columns(["embedding"]).to_pylist()).encode()
                flat = table.column("embedding").combine_chunks().flatten()
                content += flat.to_numpy(zero_copy_only=False).astype("f4").tobytes()
            if any(mark in content for mark in marks):
                return True
    return False


def test_erasing_cut_off_in_the_middle_goes_on(
    settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = unit_rows(rng, 2)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        for i, vector in enumerate(vectors):
            gallery.add([record(f"photo-{i}", vector)])
        real = Ledger._write

        def cut(self: Ledger, number: int, *args: object) -> None:
            if number == 2:
                raise OSError(28, "No space left on device")
            real(self, number, *args)

        monkeypatch.setattr(Ledger, "_write", cut)
        ids = [photo_id(f"sha-photo-{i}") for i in range(2)]
        with pytest.raises(OSError, match="No space"):
            gallery.ledger.erase(ids)
        monkeypatch.setattr(Ledger, "_write", real)
        assert gallery.ledger.erase(ids) == 1
        assert gallery.ledger.erase(ids) == 0


# --- a gallery that may not be written -------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, read_written(path)) for path in files}


@pytest.mark.parametrize("is_stale", [False, True])
def test_a_gallery_that_may_not_be_written_is_searched_and_left_as_it_is(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch, is_stale: bool
) -> None:
    folder = settings.home / "galleries/trips"
    if is_stale:
        (folder / "index/gen-0001/applied.json").unlink()
    (folder / "lock.json").write_text("of someone who was killed")
    before = snapshot(folder)
    for path in (folder / "index").rglob("*"):
        path.chmod(path.stat().st_mode & ~0o222)
    monkeypatch.setattr(gallery_module, "is_writable", lambda path: False)
    with (
        Gallery.open("trips", settings=settings) as gallery,
        Gallery.open("trips", settings=settings) as same,
    ):
        assert gallery.nearest(filled[7], 1)[0].photo.image == "photo-7"
        assert len(same) == 40
        copies = list(gallery._index._folder.rglob("*"))
        assert all(path.stat().st_mode & stat.S_IWUSR for path in copies)
        Locator(gallery)
        for write in (
            lambda: gallery.add([record("late", E1)]),
            lambda: gallery.delete([photo_id("sha-photo-1")]),
            gallery.optimize,
            lambda: gallery.remember_weights("x"),
        ):
            with pytest.raises(ReadOnlyGallery, match="not writable"):
                write()
    with pytest.raises(ReadOnlyGallery):
        Gallery.open("trips", settings=settings, is_rebuilt=True)
    with pytest.raises(ReadOnlyGallery):
        Gallery.open_or_create("trips", fingerprint_of(8), settings=settings)
    assert snapshot(folder) == before
    for path in (folder / "index").rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_who_reads_waits_for_who_writes_and_the_other_way_round(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first, second in ((True, False), (False, True)):
        monkeypatch.setattr(gallery_module, "is_writable", lambda path, first=first: first)
        with Gallery.open("trips", settings=settings):
            monkeypatch.setattr(gallery_module, "is_writable", lambda path, second=second: second)
            with pytest.raises(GalleryLocked):
                Gallery.open("trips", settings=settings)


@pytest.mark.parametrize("part", ["", "lock", "ledger", "index"])
def test_what_is_not_writable_in_part_is_not_written_at_all(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    folder = settings.home / "galleries/trips"
    (folder / "lock").touch()
    assert gallery_module.is_writable(folder)
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder / part)
    assert not gallery_module.is_writable(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_a_folder_without_write_permission_is_known_as_such(filled: np.ndarray, settings: Settings) -> None:
    folder = settings.home / "galleries/trips"
    folder.chmod(0o500)
    try:
        with Gallery.open("trips", settings=settings) as gallery:
            assert gallery.is_read_only
            assert len(gallery) == 40
    finally:
        folder.chmod(0o700)


def test_a_gallery_is_let_go_from_another_thread_than_it_was_opened_in(settings):
    with ThreadPoolExecutor(1) as thread:
        gallery = Gallery.create("trips", fingerprint_of(8), settings=settings)
        thread.submit(gallery.close).result()
        thread.submit(Gallery.open, "trips", settings=settings).result().close()
