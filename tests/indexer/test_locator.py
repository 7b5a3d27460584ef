"""A gallery's own geolocation: neighbors that cannot know the answer, one fit kept and renewed, names.

Claims: the gallery's held-out neighbors are those of a scan of all pairs; the fit is stored, used
again, and renewed when the gallery has changed; any number of photos gives an answer or says why
not; polygons name countries.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import exact_neighbors, fingerprint_of, record, unit_rows

from placeprint.encoders.areas import Circle
from placeprint.encoders.errors import NothingToLocateWith, UnreadableSource
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere, unit_vectors
from placeprint.indexer import fitted as fitted_module
from placeprint.indexer import locator as locator_module
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.gallery_files import EVIDENCE
from placeprint.indexer.held_out import held_out_from
from placeprint.indexer.locator import FORMAT, Locator
from placeprint.indexer.photos import Photo
from placeprint.indexer.record import Record, photo_id
from placeprint.indexer.regions import load_regions
from placeprint.indexer.settings import Settings
from placeprint.indexer.sketch import Sketch
from placeprint.indexer.surface_model import SurfaceModel, default_surface_model


def fill(gallery: Gallery, lonlat: np.ndarray, *, first: int = 0, groups: list[str] | None = None) -> None:
    """Photos whose embedding is their place, so that neighbors are near."""
    embeddings = np.concatenate([unit_vectors(lonlat), np.full((len(lonlat), 5), 0.1)], axis=1)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    gallery.add(
        [
            record(
                str(first + i), embeddings[i].astype(np.float32), lon=lon, lat=lat,
                group=groups[i] if groups else f"g{first + i}",
            )
            for i, (lon, lat) in enumerate(lonlat.tolist())
        ]
    )  # fmt: skip


@pytest.fixture
def gallery(settings: Settings):
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as opened:
        yield opened


def query(lon: float, lat: float) -> np.ndarray:
    return np.concatenate([unit_vectors(np.array([lon, lat])), np.full(5, 0.1)])


def test_held_out_neighbors_are_those_of_a_scan(gallery: Gallery, rng: np.random.Generator) -> None:
    lonlat = uniform_on_sphere(60, rng)
    groups = [f"walk {i % 20}" for i in range(60)]
    fill(gallery, lonlat, groups=groups)
    ours = held_out_from(gallery, k=30, exclude_km=800.0)
    photos, places = gallery.placed()
    embeddings = gallery.embeddings([photo.id for photo in photos])
    theirs = exact_neighbors(embeddings, places, [photo.group for photo in photos], k=30, exclude_km=800.0)
    np.testing.assert_allclose(ours.similarity, theirs.similarity, atol=1e-5)
    np.testing.assert_array_equal(ours.lonlat, theirs.lonlat)
    found = np.isfinite(ours.similarity)
    np.testing.assert_array_equal(ours.neighbor_lonlat[found], theirs.neighbor_lonlat[found])


def test_a_photo_is_located_where_its_neighbors_are(gallery: Gallery, rng: np.random.Generator) -> None:
    fill(gallery, uniform_on_sphere(400, rng))
    location, near = Locator(gallery).locate(query(20.0, 50.0))
    assert great_circle_km(np.array([location.lon, location.lat]), np.array([20.0, 50.0])) < 1500
    assert location.is_calibrated
    assert len(near.photos) == 200


def test_the_fit_is_kept_and_renewed_when_the_gallery_has_grown(
    gallery: Gallery, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(gallery, uniform_on_sphere(60, rng))
    first = Locator(gallery)
    fits: list[int] = []
    monkeypatch.setattr(
        Locator, "_fitted", lambda self, n, places, progress, stage: (fits.append(n), first.fitted)[1]
    )
    assert Locator(gallery).model == first.model
    assert fits == []
    fill(gallery, uniform_on_sphere(3, rng), first=100)
    Locator(gallery)
    assert fits == []
    fill(gallery, uniform_on_sphere(20, rng), first=200)
    Locator(gallery)
    Locator(gallery, is_refitted=True)
    assert fits == [83, 83]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of photos that were fitted on, one for each fit; the default model stands for all."""
    fits: list[int] = []

    def default(similarity: np.ndarray, *args: object, **kwargs: object) -> SurfaceModel:
        fits.append(len(similarity))
        return default_surface_model()

    monkeypatch.setattr(fitted_module, "fit_surface_model", default)
    return fits


def test_a_corrected_place_or_group_renews_the_fit(
    gallery: Gallery, rng: np.random.Generator, fits: list[int]
) -> None:
    lonlat = uniform_on_sphere(60, rng)
    fill(gallery, lonlat)
    Locator(gallery)
    gallery.add([Record(key="7", status="seen", sha256="sha-7", lon=1.0, lat=2.0, group="g7")])
    Locator(gallery)
    assert fits == [60, 60]
    gallery.add([Record(key="7", status="seen", sha256="sha-7", lon=1.0, lat=2.0, group="elsewhere")])
    Locator(gallery)
    assert fits == [60, 60, 60]
    told = {"payload": '{"note": "what the fit does not ask for"}'}
    gallery.add([Record(key="7", status="seen", sha256="sha-7", lon=1.0, lat=2.0, group="elsewhere", **told)])
    Locator(gallery)
    assert fits == [60, 60, 60]


def test_photos_exchanged_for_as_many_others_renew_the_fit(
    gallery: Gallery, rng: np.random.Generator, fits: list[int]
) -> None:
    fill(gallery, uniform_on_sphere(60, rng))
    Locator(gallery)
    fill(gallery, uniform_on_sphere(10, rng), first=100)
    gallery.delete([photo_id(f"sha-{i}") for i in range(10)])
    Locator(gallery)
    assert fits == [60, 60]


def test_little_changes_add_up(gallery: Gallery, rng: np.random.Generator, fits: list[int]) -> None:
    fill(gallery, uniform_on_sphere(60, rng))
    Locator(gallery)
    for first in (100, 200, 300):  # each within the tenth, together more
        fill(gallery, uniform_on_sphere(3, rng), first=first)
        Locator(gallery)
    assert fits == [60, 69]


def test_an_unchanged_gallery_is_not_looked_through(
    gallery: Gallery, rng: np.random.Generator, fits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(gallery, uniform_on_sphere(60, rng))
    Locator(gallery)
    fill(gallery, uniform_on_sphere(3, rng), first=100)
    Locator(gallery)  # looks, and finds that little has changed
    monkeypatch.setattr(locator_module, "Sketch", lambda *known: None)
    Locator(gallery)
    assert fits == [60]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", f'{{"format": {FORMAT}}}', f'{{"format": {FORMAT}, "n_placed": "x"}}']
)
def test_a_damaged_calibration_is_made_anew(
    gallery: Gallery, rng: np.random.Generator, fits: list[int], content: str
) -> None:
    fill(gallery, uniform_on_sphere(40, rng))
    (gallery.folder / "calibration.json").write_text(content)
    Locator(gallery)
    assert fits == [40]


def test_a_sketch_of_many_photos_tells_of_a_part_of_them() -> None:
    photos = [Photo(id=f"{i}", image="", lon=float(i % 90), lat=0.0) for i in range(6000)]
    before = Sketch.of(photos)
    assert (before.n_photos, len(before.facts)) == (6000, 2048)
    assert before.share_changed(Sketch.of(photos[::-1])) == 0.0
    grown = [*photos, *(Photo(id=f"new {i}", image="", lon=1.0, lat=1.0) for i in range(1500))]
    assert before.share_changed(Sketch.of(grown)) == pytest.approx(0.2, abs=0.03)
    assert Sketch.of(grown).share_changed(before) == pytest.approx(0.25, abs=0.04)
    assert before.share_changed(Sketch.of(photos[:3000])) == pytest.approx(1.0, abs=0.1)
    moved = [*photos[:3000], *(replace(photo, lon=100.0) for photo in photos[3000:])]
    assert before.n_told_anew(Sketch.of(moved)) == pytest.approx(1024, abs=100)
    assert before.n_told_anew(Sketch.of(grown)) == 0


@pytest.mark.parametrize("n", [1, 2, 29, 31])
@pytest.mark.parametrize("kind", ["anywhere", "one place", "north pole"])
def test_any_number_of_photos_gives_an_answer(
    gallery: Gallery, rng: np.random.Generator, n: int, kind: str
) -> None:
    places = {
        "anywhere": uniform_on_sphere(n, rng),
        "one place": np.tile([139.76, 35.67], (n, 1)),
        "north pole": np.column_stack([rng.uniform(-180, 180, n), np.full(n, 90.0)]),
    }
    fill(gallery, places[kind])
    location, _ = Locator(gallery).locate(query(20.0, 50.0))
    answer = json.dumps(location.to_dict(), allow_nan=False)
    assert 0.99 < sum(share["probability"] for share in json.loads(answer)["countries"]) < 1.01


def test_without_a_placed_photo_it_says_what_to_index(gallery: Gallery, rng: np.random.Generator) -> None:
    gallery.add([record("nowhere", unit_rows(rng, 1)[0])])
    with pytest.raises(NothingToLocateWith, match="EXIF"):
        Locator(gallery)


def test_a_filter_that_leaves_nobody_leaves_the_prior(gallery: Gallery, rng: np.random.Generator) -> None:
    fill(gallery, uniform_on_sphere(40, rng))
    nobody = Filter(within=Circle(0.0, 0.0, 0.001))
    location, near = Locator(gallery).locate(query(20.0, 50.0), filter=nobody)
    assert near.photos == []
    assert location.abstain
    assert location.information_bits == pytest.approx(0.0, abs=1e-9)


def test_polygons_name_countries(gallery: Gallery, rng: np.random.Generator, tmp_path: Path) -> None:
    def half(name: str, west: float) -> dict[str, object]:
        ring = [[west, -90], [west + 180, -90], [west + 180, 90], [west, 90], [west, -90]]
        return {
            "type": "Feature", "properties": {"ADMIN": name, "ISO_A2": name[0]},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }  # fmt: skip

    halves = {"type": "FeatureCollection", "features": [half("West", -180), half("East", 0)]}
    (tmp_path / "halves.geojson").write_text(json.dumps(halves))
    fill(gallery, uniform_on_sphere(200, rng))
    regions = load_regions(tmp_path / "halves.geojson")
    location, _ = Locator(gallery).locate(query(100.0, 10.0), countries=regions)
    assert location.countries[0][:2] == ("East", "E")
    assert {share.name for share in location.countries} <= {"East", "West"}


def test_a_table_without_geometries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("name,code\nJapan,JP\n")
    with pytest.raises(UnreadableSource, match="without geometries"):
        load_regions(tmp_path / "names.csv")


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "no such file"),
        ("text", "cannot be read"),
        ('{"type": "FeatureCollection", "features": []}', "no column"),
    ],
)
def test_what_are_no_regions_is_refused(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "regions.geojson"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnreadableSource, match=says):
        load_regions(path)


class Latitude:
    """A location encoder that knows latitude and little else."""

    name, dimension, fingerprint = "latitude", 2, "fake"

    def encode(self, lonlat: np.ndarray, *, batch_size: int = 0) -> np.ndarray:
        z = unit_vectors(np.asarray(lonlat))[:, 2]
        return np.stack([z, z**2], axis=1).astype(np.float32)


def test_what_photos_say_of_places_is_kept_with_the_fit(
    gallery: Gallery, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted_module, "N_DRAWN", 300)
    monkeypatch.setattr(fitted_module, "MIN_PHOTOS", 200)
    monkeypatch.setattr(fitted_module, "_MAX_FUSION_PHOTOS", 150)
    monkeypatch.setattr(fitted_module, "_MAX_LEVEL_PHOTOS", 60)
    lonlat = uniform_on_sphere(200, rng)
    embeddings = np.concatenate(
        [0.7 * unit_vectors(lonlat)[:, 2:], 0.3 * rng.normal(size=(200, 7))], axis=1
    ).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    gallery.add(
        [
            record(str(i), embeddings[i], lon=lon, lat=lat, group=f"g{i}")
            for i, (lon, lat) in enumerate(lonlat.tolist())
        ]
    )

    def never() -> Latitude:
        raise AssertionError("fitted again")

    stages: list[str] = []
    first = Locator(gallery, places=Latitude, stage=stages.append)
    assert len(stages) == 3
    assert first.fitted.evidence is not None
    again = Locator(gallery, places=never)
    one, other = (each.locate(embeddings[7])[0] for each in (first, again))
    assert one.to_dict() == other.to_dict()
    alone = replace(first.fitted, evidence=None)
    again.fitted = alone
    assert again.locate(embeddings[7])[0].information_bits != pytest.approx(one.information_bits, abs=0.01)

    path = gallery.folder / EVIDENCE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AssertionError, match="fitted again"):
        Locator(gallery, places=never)
