"""Photos to be captioned: those of a gallery found again where they were, or those of a source."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from PIL import Image

from placeprint.encoders.errors import TooFewPairs, UnreadableSource
from placeprint.indexer.caption_photos import sources_of_gallery, sources_of_path
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five photos, the last without a place."""
    rng = np.random.default_rng(0)
    lines = ["image,lon,lat,captured_at,heading_deg,walk"]
    for row in range(5):
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{row}.png")
        place = f"{row * 10},{row}" if row < 4 else ","
        lines.append(f"{row}.png,{place},2024-07-0{row + 1}T12:00:00Z,{row * 45},w{row // 2}")
    path = tmp_path / "photos.csv"
    path.write_text("\n".join(lines))
    return path


def indexed(source: Path, settings: Settings, *, group_column: str | None = None) -> Gallery:
    encoder = ColorEncoder()
    gallery = Gallery.create("trips", encoder.fingerprint, settings=settings)
    index(list_source(source, group_column=group_column), gallery, encoder, workers=1)
    return gallery


def test_a_table_is_listed_with_all_it_says(table: Path) -> None:
    sources, facts = sources_of_path(table, group_column="walk")
    assert [Path(one.key).name for one in sources] == [f"{row}.png" for row in range(5)]
    assert (sources[1].lon, sources[1].lat, sources[1].group) == (10.0, 1.0, "w0")
    assert float(sources[3].payload["heading_deg"]) == 135.0 and sources[0].captured_at is not None
    assert facts["photos"] == 5 and str(table) in facts["sources"]
    with pytest.raises(UnreadableSource, match="no such file"):
        sources_of_path(table.with_name("nothing.csv"))


def test_a_gallery_gives_its_placed_photos_with_all_it_knows(table: Path, settings: Settings) -> None:
    with indexed(table, settings, group_column="walk") as gallery:
        table.unlink()  # what it said is in the gallery
        items, facts = sources_of_gallery(gallery)
    assert [Path(one.key).name for one in items] == ["0.png", "1.png", "2.png", "3.png"]
    assert [(one.lon, one.lat) for one in items] == [(row * 10.0, float(row)) for row in range(4)]
    assert [one.group for one in items] == ["w0", "w0", "w1", "w1"]
    assert items[3].captured_at is not None and items[3].captured_at.day == 4
    assert float(items[2].payload["heading_deg"]) == 90.0
    assert items[1].read() == table.with_name("1.png").read_bytes()
    assert all(one.problem is None for one in items)
    assert (facts["gallery"], facts["photos"], facts["photos_without_place"]) == ("trips", 4, 1)


def test_files_that_are_gone_or_changed_are_listed_with_the_reason(table: Path, settings: Settings) -> None:
    with indexed(table, settings) as gallery:
        table.with_name("0.png").unlink()
        table.with_name("1.png").write_bytes(b"something else")
        items, _ = sources_of_gallery(gallery)
    problems = [one.problem or "" for one in items]
    assert "not where it was" in problems[0] and "changed since" in problems[1] and not any(problems[2:])


def test_members_of_an_archive_are_read_in_place(table: Path, settings: Settings, tmp_path: Path) -> None:
    archive = tmp_path / "photos.tar"
    with tarfile.open(archive, "w") as file:
        for row in range(2):
            (tmp_path / f"{row}.json").write_text(f'{{"lon": {row}, "lat": 5}}')
            file.add(tmp_path / f"{row}.png", f"{row}.png")
            file.add(tmp_path / f"{row}.json", f"{row}.json")
    with indexed(archive, settings) as gallery:
        items, _ = sources_of_gallery(gallery)
        assert [one.read() for one in items] == [(tmp_path / f"{row}.png").read_bytes() for row in range(2)]
        archive.unlink()
        gone, _ = sources_of_gallery(gallery)
    assert all("not where it was" in (one.problem or "") for one in gone)


def test_a_gallery_without_places_says_so(table: Path, settings: Settings) -> None:
    with indexed(table.parent / "4.png", settings) as gallery:
        with pytest.raises(TooFewPairs, match="none of known place"):
            sources_of_gallery(gallery)
