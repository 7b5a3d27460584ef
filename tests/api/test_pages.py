"""Pages: self-contained, escaped, and without anything of a photo but its pixels.

Claims: thumbnails carry no EXIF and are None for what cannot be read; names are escaped; nothing is
fetched from anywhere; an abstaining page shows no point.
"""

import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from placeprint.api.pages import (
    LocateExample,
    SearchExample,
    demo_page,
    evaluation_rows,
    location_page,
    thumbnail,
)
from placeprint.indexer.evaluation_report import Evaluation, Row
from placeprint.indexer.geolocate import locate
from placeprint.indexer.neighbors import Neighbor, Neighborhood
from placeprint.indexer.photos import Photo
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface_model import SurfaceModel

ROME = np.array([[12.5, 41.9], [12.6, 41.8]])
EVIL = "<script>alert(1)</script>.jpg"
PNG = b"\x89PNG map"


def jpeg_with_position():
    exif = Image.Exif()
    exif[0x010F] = "SecretCameraMaker"
    exif.get_ifd(0x8825).update({1: "N", 2: (41.0, 53.0, 30.0), 3: "E", 4: (12.0, 29.0, 0.0)})
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480), "teal").save(buffer, "JPEG", exif=exif, comment=b"taken at home")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def location():
    return locate(np.array([0.9, 0.8]), ROME, Prior.from_lonlat(ROME), SurfaceModel(gate_bias=-5.0))


def near():
    photos = [Photo(id=str(i), image=EVIL, lon=lon, lat=lat) for i, (lon, lat) in enumerate(ROME.tolist())]
    return Neighborhood(np.array([0.9, 0.8]), ROME, photos)


def page_of(location, n_photos=1, **more):
    picture = Image.new("RGB", (64, 48), "teal")
    return location_page(
        location,
        photos=[picture] * n_photos,
        maps={"near": PNG, "world": PNG + b"2"},
        neighbors=near(),
        thumbnails=[thumbnail(picture), None],
        title=EVIL,
        **more,
    )


def demo_of(location):
    neighbors = [Neighbor(photo=photo, similarity=0.5) for photo in near().photos]
    neighbors.append(Neighbor(photo=Photo(id="x", image="no place.jpg"), similarity=0.4))
    small = thumbnail(jpeg_with_position())
    return demo_page(
        facts=[("photos", "1,234")],
        gallery_map=PNG,
        searches=[
            SearchExample(title=EVIL, neighbors=neighbors, thumbnails=[small, None, small]),
            SearchExample(title="like this", query=small, neighbors=neighbors, thumbnails=[small] * 3),
        ],
        located=[
            LocateExample(
                name=EVIL, photo=small, map=PNG, location=location, truth=(12.5, 41.9), error_km=12.3
            )
        ],
        evaluation=[{"method": "nearest <one>", "GeoScore": "2,345"}],
        plot=PNG,
    )


def test_a_thumbnail_is_a_small_jpeg_without_exif():
    source = jpeg_with_position()
    assert b"Exif" in source and b"SecretCameraMaker" in source
    small = thumbnail(source)
    picture = Image.open(io.BytesIO(small))
    assert picture.format == "JPEG" and max(picture.size) == 224
    assert not picture.getexif() and "comment" not in picture.info
    assert not any(trace in small for trace in (b"Exif", b"SecretCameraMaker", b"taken at home"))


def test_a_thumbnail_of_an_opened_photo_has_no_exif_either():
    small = thumbnail(Image.open(io.BytesIO(jpeg_with_position())), side=1000)
    assert b"Exif" not in small and b"taken at home" not in small
    assert Image.open(io.BytesIO(small)).size == (640, 480)


def test_what_cannot_be_read_has_no_thumbnail(tmp_path):
    assert thumbnail(b"no picture") is None
    assert thumbnail(tmp_path / "missing.jpg") is None


def test_a_heat_map_stands_beside_the_photo_and_is_said_in_words(location):
    buffer = io.BytesIO()
    Image.new("RGB", (60, 90), "orange").save(buffer, "PNG")
    words = 'What speaks most for this place lies in the "upper left"'
    page = page_of(location, heat=(buffer.getvalue(), words))
    plain = page_of(location)
    assert "upper left" not in plain and plain.count("data:image/jpeg") == page.count("data:image/jpeg") - 1
    beside = page[page.index("what in it mattered") : page.index('aria-label="Map"')]
    assert beside.count("<img") == 2 and "upper left&#34;" in beside.split("alt=")[2]
    assert set(re.findall(r'\ssrc="(.{5})', page)) == {"data:"}
    assert page.count("<img") == page.count("alt=") and 'alt=""' not in page


def test_names_are_escaped(location):
    for page in (page_of(location), demo_of(location)):
        assert "<script" not in page
        assert "&lt;script&gt;" in page


def test_pages_fetch_nothing(location):
    for page in (page_of(location), demo_of(location)):
        assert set(re.findall(r'\ssrc="(.{5})', page)) == {"data:"}
        assert not re.search(r"<link|<script|<iframe|@import|url\(|srcset|http-equiv", page)


def test_the_page_holds_answer_evidence_and_both_maps(location):
    page = page_of(location)
    assert "Italy" in page and "Rome" in page
    assert "similarity 0.90" in page and "no picture" in page
    assert page.count("data:image/png") == 2
    assert 'alt=""' not in page and page.count("<img") == page.count("alt=")


def test_an_abstaining_page_shows_no_point(location):
    silent = dataclasses.replace(location, abstain_reason="the photo shows a wall")
    page = page_of(silent)
    assert "the photo shows a wall" in page
    assert "Best point" not in page and "errs by" not in page and "from the answer" not in page
    assert not re.search(r"\d° [NS]", page)


def test_an_abstaining_example_states_no_error(location):
    silent = dataclasses.replace(location, abstain_reason="the photo shows a wall")
    assert "12 km" in demo_of(location)
    assert "12 km" not in demo_of(silent)


def test_an_evaluation_becomes_rows_of_text():
    hit, error_km = np.array([True, False]), np.array([3.0, 900.0])
    rows = [Row(name, error_km, error_km, error_km, hit, hit) for name in ("baseline", "ours")]
    evaluation = Evaluation(
        rows=rows, group=np.array([0, 1]), covered={0.5: hit}, stated={200.0: np.array([0.5, 0.5])},
        best_error_km=error_km, information_bits=error_km, abstained=hit, audit={}, seed=0, n_resamples=10,
    )  # fmt: skip
    table = evaluation_rows(evaluation)
    assert [row["method"] for row in table] == ["baseline", "ours"]
    assert table[0]["≤ 25 km"] == "50.0 %"


@pytest.mark.parametrize("n_photos", [0, 1, 3])
def test_all_photos_that_were_asked_about_are_shown(location, n_photos):
    page, without = page_of(location, n_photos), page_of(location, 0)
    assert page.count("data:image/jpeg") - without.count("data:image/jpeg") == n_photos
    assert ('class="strip"' in page) == (n_photos > 1)
