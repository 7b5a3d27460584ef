"""Photos as questions: which are asked, which are left out, which may show their place in writing."""

import numpy as np
import pytest
from fakes import ColorEncoder
from PIL import Image, ImageDraw

from placeprint.encoders.errors import UnreadableSource
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.queries import read_queries
from placeprint.indexer.sources import list_source


@pytest.fixture
def table(tmp_path):
    """Three photos of known place, the second with its coordinates in the picture."""
    rows = ["image,lon,lat,author,group"]
    for n, color in enumerate([(120, 60, 50), (60, 120, 50), (50, 60, 120)]):
        photo = Image.new("RGB", (640, 480), color)
        if n == 1:
            draw = ImageDraw.Draw(photo)
            draw.text((10, 450), "N35.6812 E139.7671 2021/05/03 62km/h", fill="white", font_size=18)
        photo.save(tmp_path / f"{n}.jpg")
        rows.append(f"{n}.jpg,{10 * n},{5 * n},author {n},place {n}")
    (tmp_path / "photos.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "photos.csv"


@pytest.fixture
def gallery(settings, encoder):
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as opened:
        yield opened


def test_a_photo_that_may_show_its_coordinates_is_named_and_asked_all_the_same(table, gallery, encoder):
    queries = read_queries(list_source(table), gallery, encoder)
    assert [name.rpartition("/")[2] for name in queries.burned_in] == ["1.jpg"]
    assert (len(queries.ids), queries.skipped) == (3, [])
    assert [told["author"] for told in queries.told] == ["author 0", "author 1", "author 2"]


def test_it_is_left_out_when_asked_to_be(table, gallery, encoder):
    queries = read_queries(list_source(table), gallery, encoder, without_burned_in=True)
    assert queries.burned_in == []
    assert queries.lonlat.tolist() == [[0.0, 0.0], [20.0, 10.0]]
    assert [told["author"] for told in queries.told] == ["author 0", "author 2"]
    (line,) = queries.skipped
    assert "1.jpg: it may show text burned in" in line


def test_photos_that_the_gallery_has_are_looked_at_too(table, gallery, encoder):
    index(list_source(table), gallery, encoder, workers=1)
    n_embedded = encoder.n_embedded
    queries = read_queries(list_source(table), gallery, encoder)
    assert queries.are_all_in_gallery
    assert len(queries.burned_in) == 1
    assert encoder.n_embedded == n_embedded
    assert queries.told[1]["author"] == "author 1"


def test_nothing_left_to_ask_is_said_with_the_reason(table, gallery):
    (table.parent / "photos.csv").write_text("image,lon,lat\n1.jpg,10,5\n")
    with pytest.raises(UnreadableSource, match="may show text burned in"):
        read_queries(list_source(table), gallery, ColorEncoder(), without_burned_in=True)


def test_embeddings_are_of_the_photos_asked(table, gallery, encoder):
    items = list_source(table)
    queries = read_queries(items, gallery, encoder, without_burned_in=True)
    pixels = [encoder.preprocessing.read(items[row].read())[0] for row in (0, 2)]
    assert np.array_equal(queries.embeddings, encoder.embed_pixels(np.stack(pixels)))
