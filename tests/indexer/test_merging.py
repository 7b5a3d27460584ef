"""Shares of a source indexed apart come together without embedding anything again."""

from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder, fingerprint_of
from ingest_fakes import contents, draw

from placeprint.encoders.errors import FingerprintMismatch
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.merging import merge
from placeprint.indexer.named_vectors import VectorCard
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source


@pytest.fixture()
def photos(tmp_path: Path) -> Path:
    for n in range(40):
        draw(tmp_path / "photos" / f"{n:02d}.png", (6 * n, 10, 250 - 6 * n))
    (tmp_path / "photos" / "bad.png").write_bytes(b"no picture")
    draw(tmp_path / "photos" / "double.png", (0, 10, 250))  # as 00.png
    return tmp_path / "photos"


def test_the_shares_of_a_source_are_all_of_it_once(photos: Path) -> None:
    whole = list_source(photos)
    parts = [whole.part(number, 3) for number in (1, 2, 3)]
    assert sorted(item.key for part in parts for item in part) == [item.key for item in whole]
    assert all(len(part) > 5 for part in parts)
    before = {item.key for item in parts[0]}
    draw(photos / "new.png", (1, 2, 3))
    assert before <= {item.key for item in list_source(photos).part(1, 3)}


def test_galleries_of_shares_make_the_gallery_of_all(photos: Path, settings: Settings) -> None:
    encoder = ColorEncoder()
    with Gallery.create("whole", encoder.fingerprint, settings=settings) as whole:
        index(list_source(photos), whole, encoder)
        expected = contents(whole)
        failed = whole.state.failures
    for number in (1, 2, 3):
        with Gallery.create(f"part-{number}", encoder.fingerprint, settings=settings) as part:
            index(list_source(photos).part(number, 3), part, encoder)
    n_before = encoder.n_embedded
    with Gallery.create("together", encoder.fingerprint, settings=settings) as together:
        for number in (3, 1, 2, 1):
            with Gallery.open(f"part-{number}", settings=settings) as part:
                merged = merge(together, part)
        assert (merged.n_taken, merged.n_kept) == (0, 0) and merged.n_there == len(
            part.ledger.replay().entries
        )
        assert {key: row[1:] for key, row in contents(together).items()} == {
            key: row[1:] for key, row in expected.items()
        }
        assert together.state.failures == failed
        report = index(list_source(photos), together, encoder)
        assert (report.n_unchanged, report.n_embedded) == (41, 0)
    assert encoder.n_embedded == n_before


def test_what_the_gallery_knows_of_a_path_stays(photos: Path, settings: Settings) -> None:
    encoder = ColorEncoder()
    with Gallery.create("old", encoder.fingerprint, settings=settings) as old:
        index(list_source(photos), old, encoder)
    draw(photos / "05.png", (255, 255, 255))
    with (
        Gallery.create("new", encoder.fingerprint, settings=settings) as new,
        Gallery.open("old", settings=settings) as old,
    ):
        index(list_source(photos), new, encoder)
        before = contents(new)
        merged = merge(new, old)
        assert merged.n_kept == 1 and contents(new) == before


def test_another_encoder_is_refused(photos: Path, settings: Settings) -> None:
    with (
        Gallery.create("one", ColorEncoder().fingerprint, settings=settings) as one,
        Gallery.create("other", ColorEncoder("other").fingerprint, settings=settings) as other,
        pytest.raises(FingerprintMismatch),
    ):
        merge(one, other)


def test_what_other_encoders_say_comes_along_and_nothing_is_taken_away(
    photos: Path, settings: Settings
) -> None:
    encoder = ColorEncoder()
    card = VectorCard(name="map", fingerprint=fingerprint_of(3), encoder="made-up")
    for number in (1, 2):
        with Gallery.create(f"part-{number}", encoder.fingerprint, settings=settings) as part:
            index(list_source(photos).part(number, 2), part, encoder)
            part.vectors.begin(card)
            sha256s = [entry.sha256 for entry in part.state.entries.values() if entry.status == "embedded"]
            part.vectors.add(
                "map", sha256s, np.eye(3)[np.arange(len(sha256s)) % 3], said=["m"] * len(sha256s)
            )
    with Gallery.create("together", encoder.fingerprint, settings=settings) as together:
        for number in (1, 2):
            with Gallery.open(f"part-{number}", settings=settings) as part:
                merge(together, part)
                part_marks = part.vectors.marks("map")
        assert len(together.vectors.marks("map")) == len(together) > len(part_marks) > 0
        assert together.vectors.lacking("map") == []
