"""Galleries of places: filled, gone on with, opened again; places like others are found."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from fakes import fingerprint_of
from map_gallery_fakes import (
    CENTER,
    GROUND_M,
    histograms,
    make_maps,
    make_place_gallery,
    map_encoder,
    student_of,
)

from placeprint.encoders.areas import Box
from placeprint.encoders.errors import (
    DamagedGallery,
    FingerprintMismatch,
    InvalidOption,
    UnreadableSource,
    WeightsUnavailable,
)
from placeprint.encoders.map_files import MapFiles
from placeprint.encoders.maps import Mosaic, build_mosaic, layer_of, synthetic_city
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer import places
from placeprint.indexer.backup import back_up
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.place_card import PLACES, NotOfPlaces, read_card
from placeprint.indexer.place_embedder import PlaceEmbedder, PlaceUnknown, embedded_in
from placeprint.indexer.place_grid import grid_places
from placeprint.indexer.place_list import listed, place_id
from placeprint.indexer.place_list_file import read_place_list
from placeprint.indexer.place_opening import is_redrawn, open_embedder, open_or_make
from placeprint.indexer.places import build_places
from placeprint.indexer.places_like import direction, likest
from placeprint.indexer.restore import restore
from placeprint.indexer.settings import Settings

NOWHERE = np.empty((0, 2))


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_maps(tmp_path_factory.mktemp("maps"))


@pytest.fixture(scope="module")
def home(maps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    report = make_place_gallery(home, maps)
    assert report.n_embedded > 300
    return home


@pytest.fixture
def city(home: Path):  # type: ignore[no-untyped-def]
    with Gallery.open("city", settings=Settings(home=home, qdrant_url=None)) as gallery:
        yield gallery


@pytest.fixture
def embedder(city: Gallery) -> PlaceEmbedder:
    return open_embedder(city)[0]


def like(gallery: Gallery, embedder: PlaceEmbedder, place: tuple[float, float], k: int = 8, **more: object):  # type: ignore[no-untyped-def]
    asked = embedded_in(gallery, np.array([place]), embedder)
    options = {"like": asked.lonlat, "unlike": NOWHERE, "apart_m": GROUND_M, **more}
    return likest(gallery, direction(asked.embeddings, asked.embeddings[:0]), k, **options)  # type: ignore[arg-type]


def lonlat_of(found) -> np.ndarray:  # type: ignore[no-untyped-def, type-arg]
    return np.array([(one.photo.lon, one.photo.lat) for one in found])


# --- filling --------------------------------------------------------------------------------------


def test_the_same_again_embeds_nothing(home: Path, maps: Path, city: Gallery) -> None:
    n = len(city)
    city.close()
    report = make_place_gallery(home, maps)
    assert (report.n_embedded, report.n_unchanged) == (0, n)


def test_what_the_gallery_holds_is_what_the_encoder_says(city: Gallery, embedder: PlaceEmbedder) -> None:
    photo = next(city.find(limit=1))
    place = np.array([[photo.lon, photo.lat]])
    assert photo.id == place_id(photo.lon, photo.lat)  # type: ignore[arg-type]
    assert embedder.look(place)[0] == pytest.approx(city.embeddings([photo.id])[0], abs=1e-6)


def test_places_without_data_are_left_out_and_counted(maps: Path, settings: Settings) -> None:
    beside = Box(CENTER[0] + 0.01, CENTER[1] - 0.01, CENTER[0] + 0.04, CENTER[1] + 0.01)  # half off the map
    gallery, embedder = open_or_make(
        "half", mosaics=[maps / "city.tif"], encoder=maps / "encoder.safetensors", settings=settings
    )
    with gallery:
        report = build_places(gallery, listed(grid_places(beside, 200.0), "grid"), embedder)
        assert report.n_without_data > 20 < report.n_embedded == len(gallery)
        assert report.n_done == report.n_listed


def test_killed_on_the_way_it_goes_on_where_it_was(maps: Path, tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from placeprint.indexer import places
from placeprint.indexer.backup import back_up
import map_gallery_fakes as fakes
places.BATCH, places.COMMIT = 32, 64
build = places.build_places
def tell(report, total):
    if report.n_embedded > 150:
        os.kill(os.getpid(), signal.SIGKILL)
fakes.build_places = lambda *words: build(*words, progress=tell)
fakes.make_place_gallery(Path({str(tmp_path / "home")!r}), Path({str(maps)!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    settings = Settings(home=tmp_path / "home", qdrant_url=None)
    with Gallery.open("city", settings=settings) as gallery:
        before = len(gallery)
    assert 64 <= before <= 192
    report = make_place_gallery(tmp_path / "home", maps)
    assert report.n_unchanged == before and report.n_embedded > 100
    with Gallery.open("city", settings=settings) as gallery:
        assert len(gallery) == before + report.n_embedded


def test_an_interruption_keeps_what_was_embedded(maps: Path, settings: Settings) -> None:
    gallery, embedder = open_or_make(
        "stopped", mosaics=[maps / "city.tif"], encoder=maps / "encoder.safetensors", settings=settings
    )

    def stop(report: places.PlacesReport, total: int) -> None:
        raise KeyboardInterrupt

    assert embedder.maps is not None
    wanted = listed(grid_places(embedder.maps.boxes[0], 100.0), "grid")
    with gallery:
        with pytest.raises(KeyboardInterrupt):
            build_places(gallery, wanted, embedder, progress=stop)
        assert 0 < len(gallery) <= places.BATCH < len(wanted)


def test_a_list_keeps_its_columns_and_what_it_says_anew(
    maps: Path, settings: Settings, tmp_path: Path
) -> None:
    table = tmp_path / "places.csv"
    gallery, embedder = open_or_make(
        "list", mosaics=[maps / "city.tif"], encoder=maps / "encoder.safetensors", settings=settings
    )
    with gallery:
        for name, expected in (("Center", (1, 0, 0)), ("Middle", (0, 1, 0)), ("Middle", (0, 0, 1))):
            table.write_text(f"name,lon,lat\n{name},{CENTER[0]},{CENTER[1]}\n")
            report = build_places(gallery, read_place_list(table), embedder)
            assert (report.n_embedded, report.n_retold, report.n_unchanged) == expected
            (place,) = gallery.find()
            assert place.payload == {"name": name}
        gallery.delete([place.id])
        assert build_places(gallery, read_place_list(table), embedder).n_deleted == 1


def test_places_on_both_sides_of_the_antimeridian_are_one_neighborhood(
    settings: Settings, maps: Path
) -> None:
    """A map of stripes along the meridians, 0.2 degrees wide, goes on over the antimeridian."""

    class Stripes(MapFiles):
        boxes = (Box(179.0, -1.0, -179.0, 1.0),)

        def __init__(self) -> None:
            pass

        def crops(self, lonlat, *, ground_m, angle_rad=0.0, px):  # type: ignore[no-untyped-def]
            ids = np.where((lonlat[:, 0] % 0.4) < 0.2, 1, 6).astype(np.uint8)
            return np.broadcast_to(ids[:, None, None], (len(lonlat), px, px)).copy()

    gallery, embedder = open_or_make(
        "fiji", mosaics=[maps / "city.tif"], encoder=maps / "encoder.safetensors", settings=settings
    )
    striped = replace(embedder, maps=Stripes())
    with gallery:
        build_places(gallery, listed(grid_places(Stripes.boxes[0], 10_000.0), "grid"), striped)
        found = like(gallery, striped, (179.999, 0.0), k=20, apart_m=0.0)
        lons = lonlat_of(found)[:, 0]
        assert (lons < 0.0).any() and (lons > 0.0).any()
        kind = 179.999 % 0.4 < 0.2
        assert [lon % 0.4 < 0.2 for lon in lons] == [kind] * len(lons)
        near = like(gallery, striped, (179.999, 0.0), k=300, apart_m=40_000.0)
        assert min(one.distance_km for one in near) >= 40.0
        across = np.array([one.distance_km for one in near])
        assert across == pytest.approx(great_circle_km(np.array([179.999, 0.0]), lonlat_of(near)))


# --- asking ---------------------------------------------------------------------------------------


def test_likes_have_the_classes_of_what_was_asked(city: Gallery, embedder: PlaceEmbedder) -> None:
    maps = embedder.maps
    assert maps is not None
    every = np.array([(one.lon, one.lat) for one in city.find()])
    known = histograms(maps.crops(every, ground_m=GROUND_M, px=32))
    for kind in (1, 4, 6):  # sea, residential, green: asked at the place that has most of it
        asked = int(known[:, kind].argmax())
        found = like(city, embedder, tuple(every[asked].tolist()), k=3)
        shares = histograms(maps.crops(lonlat_of(found), ground_m=GROUND_M, px=32))
        off = np.abs(shares - known[asked]).sum(axis=1)
        usual = np.abs(known - known[asked]).sum(axis=1)
        assert off.mean() < 0.5 * usual.mean()
        similarity = [one.similarity for one in found]
        assert similarity == sorted(similarity, reverse=True)


def test_answers_lie_apart_from_the_place_and_from_each_other(city: Gallery, embedder: PlaceEmbedder) -> None:
    places_found = lonlat_of(like(city, embedder, CENTER, k=20))
    km = great_circle_km(places_found[:, None], places_found)
    assert km[~np.eye(len(km), dtype=bool)].min() >= GROUND_M / 1000.0
    assert great_circle_km(np.array(CENTER), places_found).min() >= GROUND_M / 1000.0
    overlapping = lonlat_of(like(city, embedder, CENTER, k=20, is_thinned=False))
    km = great_circle_km(overlapping[:, None], overlapping)
    assert km[~np.eye(len(km), dtype=bool)].min() < GROUND_M / 1000.0
    own = next(city.find(limit=1))
    itself = like(city, embedder, (own.lon or 0.0, own.lat or 0.0), k=1, apart_m=0.0)[0]
    assert (itself.photo.id, itself.distance_km) == (own.id, 0.0)


def test_thinning_takes_the_most_similar_of_those_that_overlap(
    city: Gallery, embedder: PlaceEmbedder
) -> None:
    all_of_them = like(city, embedder, CENTER, k=10_000, is_thinned=False)
    thinned = like(city, embedder, CENTER, k=10_000)
    kept = lonlat_of(thinned)
    for one in all_of_them:
        km = great_circle_km(np.array([one.photo.lon, one.photo.lat]), kept)
        near = [thinned[row] for row in np.flatnonzero(km < GROUND_M / 1000.0)]
        assert near and max(other.similarity for other in near) >= one.similarity - 1e-6


def test_unlike_turns_answers_away(city: Gallery, embedder: PlaceEmbedder) -> None:
    every = np.array([(one.lon, one.lat) for one in city.find()])
    assert embedder.maps is not None
    sea = histograms(embedder.maps.crops(every, ground_m=GROUND_M, px=32))[:, 1]
    coast = every[np.abs(sea - 0.5).argmin()]
    wet = every[sea.argmax()]
    asked, un = (embedded_in(city, place[None], embedder) for place in (coast, wet))
    share = []
    for unlike in (un.embeddings[:0], un.embeddings):
        towards = direction(asked.embeddings, unlike, unlike_weight=1.0)
        found = likest(city, towards, 8, like=asked.lonlat, unlike=NOWHERE, apart_m=GROUND_M)
        share.append(histograms(embedder.maps.crops(lonlat_of(found), ground_m=GROUND_M, px=32))[:, 1].mean())
    assert share[1] < 0.7 * share[0]


def test_several_places_are_asked_together(city: Gallery, embedder: PlaceEmbedder) -> None:
    asked = embedded_in(city, np.array([CENTER, (CENTER[0] + 0.01, CENTER[1])]), embedder)
    mean = asked.embeddings.mean(axis=0)
    assert direction(asked.embeddings, asked.embeddings[:0]) == pytest.approx(mean / np.linalg.norm(mean))


def test_within_an_area(city: Gallery, embedder: PlaceEmbedder) -> None:
    south = Box(CENTER[0] - 0.05, CENTER[1] - 0.05, CENTER[0] + 0.05, CENTER[1])
    found = like(city, embedder, (CENTER[0], CENTER[1] + 0.005), filter=Filter(within=south))
    assert found and south.contains(lonlat_of(found)).all()


def test_questions_without_meaning(city: Gallery, embedder: PlaceEmbedder) -> None:
    one = embedder.look(np.array([CENTER]))
    with pytest.raises(InvalidOption, match="at least one place"):
        direction(one[:0], one)
    with pytest.raises(InvalidOption, match="cancel"):
        direction(one, one, unlike_weight=1.0)
    with pytest.raises(InvalidOption, match="weight"):
        direction(one, one, unlike_weight=-1.0)
    with pytest.raises(InvalidOption, match="k=0"):
        likest(city, one[0], 0, like=NOWHERE, unlike=NOWHERE, apart_m=0.0)


# --- where embeddings come from ---------------------------------------------------------------------


def test_a_place_is_taken_from_the_gallery_the_map_or_the_student(
    maps: Path, home: Path, city: Gallery
) -> None:
    embedder, card = open_embedder(city, student=maps / "student.safetensors")
    photo = next(city.find(limit=1))
    asked = np.array([[photo.lon, photo.lat], CENTER, (3.0, 3.0)])
    found = embedded_in(city, asked, embedder)
    assert found.by == ["gallery", "map", "student"]
    assert np.linalg.norm(found.embeddings, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert found.embeddings[0] == pytest.approx(city.embeddings([photo.id])[0])
    assert found.embeddings[1] == pytest.approx(embedder.look(asked[1:2])[0], abs=1e-6)
    assert card.student == str(maps / "student.safetensors")
    with pytest.raises(PlaceUnknown, match=r"know nothing of 3\.000000,3\.000000"):
        embedded_in(city, asked, open_embedder(city)[0])


def test_a_student_alone_makes_a_gallery_without_a_map(maps: Path, settings: Settings) -> None:
    gallery, embedder = open_or_make(
        "learned", mosaics=[], student=maps / "student.safetensors", settings=settings
    )
    with gallery:
        report = build_places(
            gallery, listed(grid_places(Box(9.0, 47.0, 10.0, 48.0), 20_000.0), "grid"), embedder
        )
        assert report.n_embedded == len(gallery) > 10
        assert read_card(gallery).ground_m == GROUND_M
        again, _ = open_embedder(gallery)
        assert like(gallery, again, (9.5, 47.5), k=3)


def test_a_map_that_was_moved_is_named_and_remembered(maps: Path, tmp_path: Path) -> None:
    moved = tmp_path / "first"
    moved.mkdir()
    for path in maps.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    make_place_gallery(tmp_path / "home", moved)
    (moved / "city.tif").rename(tmp_path / "city.tif")
    settings = Settings(home=tmp_path / "home", qdrant_url=None)
    with Gallery.open("city", settings=settings) as gallery:
        with pytest.raises(UnreadableSource, match=r"city\.tif.*--mosaic FILE"):
            open_embedder(gallery)
        embedder, card = open_embedder(gallery, student=maps / "student.safetensors")
        assert embedder.maps is None  # the student does
        embedder, card = open_embedder(gallery, mosaics=[tmp_path / "city.tif"])
        card.keep(gallery, embedder.fingerprint)
        assert open_embedder(gallery)[1].mosaics == (str(tmp_path / "city.tif"),)
        (moved / "encoder.safetensors").unlink()
        with pytest.raises(WeightsUnavailable, match="--encoder FILE"):
            open_embedder(gallery)
        map_encoder(2.0).save(tmp_path / "other.safetensors")
        with pytest.raises(FingerprintMismatch):
            open_embedder(gallery, encoder=tmp_path / "other.safetensors")


def test_a_student_of_another_is_refused(maps: Path, city: Gallery, tmp_path: Path) -> None:
    student_of(map_encoder(2.0)).save(tmp_path / "other.safetensors")
    with pytest.raises(WeightsUnavailable, match="did not learn from the map encoder"):
        open_embedder(city, student=tmp_path / "other.safetensors")


def test_galleries_of_photos_and_of_places_are_told_apart(maps: Path, settings: Settings) -> None:
    with Gallery.create("trips", fingerprint_of(4), settings=settings) as trips:
        with pytest.raises(NotOfPlaces, match="build --gallery trips"):
            read_card(trips)
    trips, _ = open_or_make("trips", mosaics=[maps / "city.tif"], settings=settings)
    with trips:
        assert read_card(trips).mosaics == (str(maps / "city.tif"),)


def test_a_card_that_cannot_be_read_is_made_anew_by_the_same_command(maps: Path, tmp_path: Path) -> None:
    make_place_gallery(tmp_path, maps)
    card = tmp_path / "galleries" / "city" / PLACES
    whole = card.read_text()
    card.write_text("{")
    with Gallery.open("city", settings=Settings(home=tmp_path, qdrant_url=None)) as gallery:
        with pytest.raises(DamagedGallery, match="type the command that built the gallery again"):
            open_embedder(gallery)
    card.unlink()  # as after a kill between the gallery's first file and this one
    assert make_place_gallery(tmp_path, maps).n_embedded == 0
    assert json.loads(card.read_text()) == json.loads(whole)


def test_a_backup_carries_the_card(home: Path, tmp_path: Path) -> None:
    settings = Settings(home=home, qdrant_url=None)
    back_up("city", tmp_path / "city.tar", settings=settings)
    there = Settings(home=tmp_path / "there", qdrant_url=None)
    restore(tmp_path / "city.tar", "city", settings=there)
    with Gallery.open("city", settings=there) as again:
        assert read_card(again).credit == ("a drawn city",)


def test_a_map_drawn_anew_is_looked_at_again_where_it_changed(maps: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(maps, tmp_path / "maps"))
    report = make_place_gallery(tmp_path / "home", here)
    settings = Settings(home=tmp_path / "home", qdrant_url=None)
    with Gallery.open("city", settings=settings) as gallery:
        before = {photo.id: photo for photo in gallery.find()}
        embeddings = dict(zip(before, gallery.embeddings(list(before)), strict=True))
        assert not is_redrawn(gallery, open_embedder(gallery)[1])
    lake = shapely.box(CENTER[0], CENTER[1] - 0.01, CENTER[0] + 0.006, CENTER[1] + 0.01)
    drawn = [synthetic_city(*CENTER, size_m=3000.0), layer_of(np.array([lake], object), "water")]
    box = Mosaic.open(here / "city.tif").bounds
    build_mosaic(drawn, here / "city.tif", zooms=[15], box=box, credit=["a drawn city"], date="2031-01-01")
    with Gallery.open("city", settings=settings) as gallery:
        assert is_redrawn(gallery, open_embedder(gallery)[1])
    again = make_place_gallery(tmp_path / "home", here)
    assert 0 < again.n_embedded < report.n_embedded and again.n_unchanged > 0
    with Gallery.open("city", settings=settings) as gallery:
        embedder, card = open_embedder(gallery)
        assert not is_redrawn(gallery, card)
        ids = list(before)
        now = gallery.embeddings(ids)
        places = np.array([(before[id].lon, before[id].lat) for id in ids])
        np.testing.assert_allclose(now, embedder.look(places), atol=1e-6)
        assert (
            sum(bool(np.abs(one - embeddings[id]).max() > 1e-6) for id, one in zip(ids, now, strict=True)) > 0
        )
