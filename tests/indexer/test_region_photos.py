"""Photos with their regions, by polygons or payload, in sub-areas; looked at again; asked elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder, fingerprint_of, record
from PIL import Image

from placeprint.encoders.errors import (
    DamagedCheckpoint,
    FingerprintMismatch,
    InvalidOption,
    TooFewPairs,
    UnknownColumns,
    UnknownVector,
)
from placeprint.encoders.region_head import RegionHead
from placeprint.encoders.region_learning.settings import RegionRun
from placeprint.encoders.train_regions import run_regions
from placeprint.indexer import region_looks
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.named_vectors import VectorCard
from placeprint.indexer.region_elsewhere import ask_elsewhere
from placeprint.indexer.region_looks import indoor, look_closer
from placeprint.indexer.region_photos import Regionalization, region_photos
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source


def square(west: float, south: float, side: float = 1.0) -> dict[str, object]:
    east, north = west + side, south + side
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


@pytest.fixture(scope="module")
def boundaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two regions across the antimeridian, each of two sub-areas, two of one name."""
    features = [
        ("West", "Port", square(178.0, 0.0)),
        ("West", "Hill", square(179.0, 0.0)),
        ("East", "Port", square(-180.0, 0.0)),
        ("East", "Lake", square(-179.0, 0.0)),
    ]
    path = tmp_path_factory.mktemp("boundaries") / "wards.geojson"
    path.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {"type": "Feature", "geometry": shape, "properties": {"ward": ward, "town": town}}
                    for ward, town, shape in features
                ],
            }
        )
    )
    return path


PLACES = {
    "a": (178.5, 0.5), "b": (179.5, 0.5), "c": (-179.5, 0.5), "d": (-178.5, 0.5),
    "coast": (178.5, -0.004), "sea": (178.5, -0.1), "far": (10.0, 50.0),
}  # fmt: skip


@pytest.fixture
def gallery(settings: Settings, rng: np.random.Generator) -> Gallery:
    made = Gallery.create("trips", fingerprint_of(4), encoder="made-up", settings=settings)
    vectors = rng.normal(size=(len(PLACES) + 1, 4)).astype(np.float32)
    rows = [
        record(key, vector, lon=lon, lat=lat, payload=json.dumps({"city": key.upper(), "zone": 7}))
        for (key, (lon, lat)), vector in zip(PLACES.items(), vectors, strict=False)
    ]
    rows[1] = record("b", vectors[1], lon=179.5, lat=0.5, group="walk", payload="{}")
    made.add([*rows, record("nowhere", vectors[-1], payload=json.dumps({"city": "A"}))])
    return made


def found(gallery: Gallery, how: Regionalization, **options: str) -> dict[str, tuple[str, str]]:
    photos, _ = region_photos(gallery, how, **options)
    key = {photo.id: photo.image for photo in gallery.get(photos.ids)}
    return {
        key[id]: (photos.names[region], photos.area_names[area])
        for id, region, area in zip(photos.ids, photos.region, photos.area, strict=True)
    }


def test_photos_lie_in_polygons_and_near_them(gallery: Gallery, boundaries: Path) -> None:
    with gallery:
        how = Regionalization(boundaries=boundaries, region_column="ward", area_column="town", near_km=1.0)
        assert found(gallery, how) == {
            "a": ("West", "Port"), "b": ("West", "Hill"), "c": ("East", "Port"), "d": ("East", "Lake"),
            "coast": ("West", "Port"),
        }  # fmt: skip
        _, facts = region_photos(gallery, how)
        assert (facts["photos_in_regions"], facts["photos_elsewhere"], facts["photos_without_place"]) == (
            5,
            2,
            1,
        )
        assert facts["boundaries"] == "wards.geojson" and facts["sub_areas"] == "polygons"


@pytest.mark.parametrize(("near_km", "inside"), [(0.0, False), (0.4, False), (0.5, True)])
def test_near_is_what_was_asked_for(gallery: Gallery, boundaries: Path, near_km: float, inside: bool) -> None:
    with gallery:  # the coast is 0.44 km off
        how = Regionalization(boundaries=boundaries, region_column="ward", near_km=near_km)
        assert ("coast" in found(gallery, how)) is inside


def test_without_names_sub_areas_are_cells(gallery: Gallery, boundaries: Path) -> None:
    with gallery:
        how = Regionalization(boundaries=boundaries, region_column="ward", resolution=5)
        areas = found(gallery, how)
        assert areas["a"][0] == "West" and areas["a"][1] == "85" + areas["a"][1][2:]
        assert len({area for _, area in areas.values()}) == 5
        _, facts = region_photos(gallery, Regionalization(boundaries=boundaries, region_column="ward"))
        assert facts["sub_areas"].startswith("H3 cells of resolution ")


@pytest.mark.parametrize(("spreads", "resolution"), [((20.0, 0.05), 1), ((0.2, 0.05), 5), ((0.05, 0.05), 6)])
def test_cells_are_as_coarse_as_gives_half_of_the_regions_their_sub_areas(
    settings: Settings, rng: np.random.Generator, spreads: tuple[float, float], resolution: int
) -> None:
    """Of 60 photos on a square of 40, 0.4 and 0.1 degrees; cells of 600,000, 250 and 36 km²."""
    with Gallery.create("trips", fingerprint_of(4), encoder="made-up", settings=settings) as gallery:
        gallery.add([
            record(
                f"{region} {row}", rng.normal(size=4).astype(np.float32), lon=lon, lat=lat,
                payload=json.dumps({"region": region}),
            )
            for region, spread in zip(("wide", "narrow"), spreads, strict=True)
            for row, (lon, lat) in enumerate(rng.uniform(-spread, spread, size=(60, 2)).tolist())
        ])  # fmt: skip
        _, facts = region_photos(gallery, Regionalization(field="region"))
        assert facts["sub_areas"] == f"H3 cells of resolution {resolution}"


def test_regions_of_a_payload_field(gallery: Gallery) -> None:
    with gallery:
        areas = found(gallery, Regionalization(field="city", area_field="zone"))
        assert areas == {key: (key.upper(), "7") for key in PLACES if key != "b"}
        with pytest.raises(UnknownColumns, match=r"'town'.*there are city, zone"):
            region_photos(gallery, Regionalization(field="town"))


def test_what_belongs_together_is_what_the_source_named(gallery: Gallery) -> None:
    """The cells that stand for groups where no source names any are as large as a town."""
    with gallery:
        photos, _ = region_photos(gallery, Regionalization(field="zone"))
        assert photos.groups.tolist() == list(photos.ids)
        gallery.add([record("e", np.ones(4, np.float32), lon=179.6, lat=0.5, group="walk",
                            payload=json.dumps({"zone": 7}))])  # fmt: skip
        photos, _ = region_photos(gallery, Regionalization(field="zone"))
        assert (photos.groups == "walk").sum() == 1


def test_named_vectors_are_learned_from_where_asked(gallery: Gallery, boundaries: Path) -> None:
    with gallery:
        gallery.vectors.begin(VectorCard(name="other", fingerprint=fingerprint_of(3, "o"), encoder="another"))
        gallery.vectors.add("other", ["sha-a", "sha-d"], np.eye(3, dtype=np.float32)[:2])
        how = Regionalization(boundaries=boundaries, region_column="ward")
        photos, facts = region_photos(gallery, how, using="other")
        assert photos.embeddings.shape == (2, 3) and photos.encoder == fingerprint_of(3, "o").id
        assert facts["vectors"] == "other" and facts["encoder"] == "another"
        with pytest.raises(UnknownVector):
            region_photos(gallery, how, using="none")


def test_boundaries_elsewhere_are_an_error_that_says_so(gallery: Gallery, tmp_path: Path) -> None:
    path = tmp_path / "b.geojson"
    path.write_text(json.dumps(square(60.0, 60.0)))
    with gallery, pytest.raises(TooFewPairs, match="right boundaries"):
        region_photos(gallery, Regionalization(boundaries=path))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"field": "a", "boundaries": Path("b")},
        {"field": "a", "region_column": "c"},
        {"field": "a", "area_field": "b", "resolution": 5},
        {"boundaries": Path("b"), "area_column": "c", "area_field": "d"},
        {"field": "a", "near_km": -1.0},
        {"field": "a", "resolution": 0},
    ],
)
def test_regions_that_say_two_things_or_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidOption):
        Regionalization(**wrong)  # type: ignore[arg-type]


def test_what_regions_are_made_of_comes_back_from_its_file(tmp_path: Path, boundaries: Path) -> None:
    how = Regionalization(boundaries=boundaries, area_column="town", near_km=2.0)
    (tmp_path / "regions.json").write_bytes(how.to_json())
    assert Regionalization.read(tmp_path / "regions.json") == how
    (tmp_path / "regions.json").write_text("{}")
    for path in ("regions.json", "missing.json"):
        with pytest.raises(DamagedCheckpoint, match="--resume"):
            Regionalization.read(tmp_path / path)


# --- a closer look ----------------------------------------------------------------------------


@pytest.fixture
def pictures(settings: Settings, tmp_path: Path) -> Gallery:
    """Photos half red and half blue, but for the fourth, which is blank; the second's file is gone."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        picture = Image.new("RGB", (64, 64), (200, 30 + number, 30))
        if number != 3:
            picture.paste((30, 30 + number, 200), (0, 0, 32, 64))
        picture.save(folder / f"{number}.png")
    made = Gallery.create("pictures", ColorEncoder().fingerprint, encoder="color", settings=settings)
    index(list_source(folder), made, ColorEncoder(), workers=1)
    (folder / "1.png").unlink()
    return made


def by_name(gallery: Gallery) -> list[str]:
    return [photo.id for photo in sorted(gallery.find(), key=lambda photo: photo.image)]


def test_parts_are_embedded_and_blank_photos_seen(pictures: Gallery, tmp_path: Path) -> None:
    run = RegionRun(crops=3, least_area=0.2)
    with pictures:
        ids = by_name(pictures)
        told: list[tuple[int, int]] = []
        looks = look_closer(pictures, ColorEncoder(), ids, tmp_path / "looks", run,
                            count=lambda *n: told.append(n))  # fmt: skip
        assert looks.parts.shape == (6, 3, 4) and looks.n_missing == 1 and told[-1] == (6, 6)
        assert np.isnan(looks.parts[1]).all() and np.isfinite(looks.parts[[0, 2, 3, 4, 5]]).all()
        assert looks.is_blank.tolist() == [False, False, False, True, False, False]
        whole = pictures.embeddings(ids)
        same = np.isclose(looks.parts, whole[:, None], atol=1e-4).all(axis=2)
        assert not same[[0, 2, 4, 5]].any()  # parts of it, in another light
        assert np.ptp(looks.parts[0], axis=0).max() > 0.05  # which differ


def test_parts_are_the_same_however_many_are_looked_at_together(
    pictures: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RegionRun(crops=2)
    with pictures:
        ids = by_name(pictures)
        together = look_closer(pictures, ColorEncoder(), ids, tmp_path / "together", run)
        monkeypatch.setattr(region_looks, "AT_A_TIME", 2)
        apart = look_closer(pictures, ColorEncoder(), ids, tmp_path / "apart", run)
        assert np.allclose(together.parts, apart.parts, equal_nan=True, atol=1e-6)
        other = look_closer(pictures, ColorEncoder(), ids, tmp_path / "other", RegionRun(crops=2, seed=1))
        assert not np.allclose(together.parts[0], other.parts[0], atol=1e-3)


def test_what_was_looked_at_is_not_looked_at_again(
    pictures: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_looks, "AT_A_TIME", 2)
    run = RegionRun(crops=2)
    with pictures:
        ids = by_name(pictures)
        first = look_closer(pictures, ColorEncoder(), ids, tmp_path / "looks", run)
        encoder = ColorEncoder()
        again = look_closer(pictures, encoder, ids, tmp_path / "looks", run)
        assert encoder.n_embedded == 0
        assert np.array_equal(first.parts, again.parts, equal_nan=True)
        files = sorted((tmp_path / "looks").iterdir())
        assert len(files) == 3
        files[1].write_bytes(files[1].read_bytes()[:50])
        repaired = look_closer(pictures, encoder, ids, tmp_path / "looks", run)
        assert encoder.n_embedded == 4 and np.array_equal(first.parts, repaired.parts, equal_nan=True)
        assert look_closer(pictures, encoder, ids, tmp_path / "looks", RegionRun(crops=0)).parts.shape[1] == 0


class Words(ColorEncoder):
    """Takes red for indoors."""

    def embed_texts(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
        is_inside = ["in" in text.split(" ")[-1] or "inside" in text or "interior" in text for text in texts]
        return super().embed_texts(["red" if one else "blue" for one in is_inside])


def test_interiors_are_told_by_words() -> None:
    encoder = Words()
    seen = encoder.embed_texts(["indoors"])[0], encoder.embed_texts(["street"])[0]
    p = indoor(encoder, np.stack(seen))
    assert p[0] > 0.99 and p[1] < 0.01
    with pytest.raises(InvalidOption, match="image–text model"):
        indoor(ColorEncoder(), np.stack(seen))


# --- elsewhere --------------------------------------------------------------------------------


def filled(settings: Settings, name: str, seed: int, *, regions: tuple[str, ...]) -> Gallery:
    """Photos that look like their region, which is a payload field."""
    rng = np.random.default_rng(seed)
    looks = {"north": np.array([1.0, 0, 0, 0]), "south": np.array([0, 1.0, 0, 0]), "moon": np.ones(4)}
    made = Gallery.create(name, fingerprint_of(4), encoder="made-up", settings=settings)
    made.add([
        record(
            f"{name} {region} {row}", (looks[region] + 0.2 * rng.normal(size=4)).astype(np.float32),
            lon=float(row), lat=float(row % 5), payload=json.dumps({"region": region}),
        )
        for region in regions for row in range(20)
    ])  # fmt: skip
    return made


def test_a_classifier_is_asked_about_photos_of_another_source(settings: Settings, tmp_path: Path) -> None:
    how = Regionalization(field="region", resolution=2)
    with filled(settings, "ours", 0, regions=("north", "south")) as ours:
        photos, source = region_photos(ours, how)
        run_regions(photos, RegionRun(crops=0, decays=(1.0,)), tmp_path / "run", source=source)
        head = RegionHead.load(tmp_path / "run" / "region-head.safetensors")
        with pytest.raises(TooFewPairs, match="did not learn from"):
            ask_elsewhere(head, ours, how, known=set(photos.ids))
    with filled(settings, "theirs", 1, regions=("south", "moon")) as theirs:
        n, figures = ask_elsewhere(head, theirs, how)
        assert n == 20 and figures["accuracy"] == figures["macro_recall"] == 1.0
        assert figures["even_nll"] == pytest.approx(np.log(2))
    turned = RegionHead(**{**vars(head), "names": ("south", "north")})
    with Gallery.open("theirs", settings=settings) as theirs:
        assert ask_elsewhere(turned, theirs, how)[1]["accuracy"] == 0.0
        with pytest.raises(FingerprintMismatch):
            ask_elsewhere(RegionHead(**{**vars(head), "encoder": "x"}), theirs, how)
