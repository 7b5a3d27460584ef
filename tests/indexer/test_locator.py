"""A gallery's own geolocation: neighbors that cannot know the answer, one fit kept and renewed, names.

Claims: the gallery's held-out neighbors are those of a scan of all pairs; the fit is stored, used
again, and renewed when the gallery has changed; any number of photos gives an answer or says why
not; polygons name countries.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import exact_neighbors, fingerprint_of, record, unit_rows

from placeprint.encoders.areas import Circle
from placeprint.encoders.errors import NothingToLocateWith, UnreadableSource
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere, unit_vectors
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.held_out import held_out_from
from placeprint.indexer.locator import Locator
from placeprint.indexer.regions import load_regions
from placeprint.indexer.settings import Settings


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
        Locator, "_fitted", lambda self, n, progress: (fits.append(n), (first.prior, first.model))[1]
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
