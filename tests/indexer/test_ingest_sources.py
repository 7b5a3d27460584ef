"""Sources that share files, deleted photos, and sources that are gone: whose word counts."""

import csv
import os
import shutil
from pathlib import Path

import pytest
from fakes import ColorEncoder
from ingest_fakes import contents, draw

from placeprint.encoders.errors import UnreadableSource
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.listing import Listing
from placeprint.indexer.sources import list_source

# --- two sources, one file -------------------------------------------------------------------------


def tell(table: Path, *rows: str) -> Listing:
    table.write_text("\n".join(["image,lon,lat,note", *rows]) + "\n")
    return list_source(table)


def notes(gallery: Gallery) -> dict[str, object]:
    return {Path(photo.image).name: photo.payload.get("note") for photo in gallery.find()}


def test_sources_that_share_files_do_not_take_turns(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    first = tell(folder / "a.csv", "00.png,1,1,from a", "01.png,1,1,from a")
    second = tell(folder / "b.csv", "01.png,2,2,from b", "02.png,2,2,from b")
    sources = [first, second, list_source(folder)]
    for source in sources:
        index(source, gallery, encoder)
    n_shards, told = len(gallery.ledger), notes(gallery)
    assert {told[name] for name in ("00.png", "01.png")} == {"from a"}
    assert (told["02.png"], told["03.png"]) == ("from b", None)
    reports = [index(source, gallery, encoder) for source in sources * 2]
    assert (len(gallery.ledger), notes(gallery)) == (n_shards, told)
    assert [report.elsewhere for report in reports[1:3]] == [
        {first.source: 1},
        {first.source: 2, second.source: 1},
    ]
    assert not any(report.is_partly_failed for report in reports)


def test_a_table_takes_over_from_a_folder_which_says_nothing(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    table = tell(folder / "a.csv", "00.png,1,1,from a")
    assert index(table, gallery, encoder).n_known == 1
    assert notes(gallery)["00.png"] == "from a"
    assert index(list_source(folder), gallery, encoder).elsewhere == {table.source: 1}
    assert encoder.n_embedded == 20


def test_what_belongs_to_a_source_that_is_gone_may_be_taken(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(tell(folder / "a.csv", "00.png,1,1,from a"), gallery, encoder)
    other = tell(folder / "b.csv", "00.png,2,2,from b")
    assert index(other, gallery, encoder).n_known == 0
    (folder / "a.csv").unlink()
    assert index(other, gallery, encoder).n_known == 1
    assert notes(gallery) == {"00.png": "from b"}


def test_a_claim_takes_over(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(tell(folder / "a.csv", "00.png,1,1,from a"), gallery, encoder)
    index(tell(folder / "b.csv", "00.png,2,2,from b"), gallery, encoder, claim=True)
    assert notes(gallery) == {"00.png": "from b"}
    assert index(list_source(folder / "a.csv"), gallery, encoder).n_known == 0


def test_a_row_with_a_fault_takes_nothing_over_and_is_named(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    bad = tell(folder / "a.csv", "00.png,1,north,not on earth")
    for _ in range(2):
        assert list(index(bad, gallery, encoder).failures) == [str(folder / "00.png")]
    assert len(gallery) == 20


def test_of_doubled_bytes_the_one_that_is_told_of_counts(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, tmp_path: Path
) -> None:
    index(list_source(folder), gallery, encoder)
    (tmp_path / "copies").mkdir()
    shutil.copy(folder / "00.png", tmp_path / "copies" / "copy.png")
    index(tell(tmp_path / "copies" / "a.csv", "copy.png,1,1,from a"), gallery, encoder)
    assert len(gallery) == 20
    assert notes(gallery)["copy.png"] == "from a"


# --- deleted ---------------------------------------------------------------------------------------


def id_of(gallery: Gallery, name: str) -> str:
    return next(photo.id for photo in gallery.find() if Path(photo.image).name == name)


def test_a_deleted_photo_does_not_come_back(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(list_source(folder), gallery, encoder)
    gallery.delete([id_of(gallery, "05.png")])
    n_shards = len(gallery.ledger)
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_deleted, report.n_unchanged, len(gallery.ledger)) == (1, 19, n_shards)
    (folder / "05.png").rename(folder / "moved.png")
    shutil.copy(folder / "moved.png", folder / "copied.png")
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_deleted, report.n_done, len(gallery)) == (2, 2, 19)
    (folder / "copied.png").unlink()
    index(list_source(folder), gallery, encoder, prune=True)
    n_shards = len(gallery.ledger)
    assert index(list_source(folder), gallery, encoder).n_deleted == 1
    assert (len(gallery), len(gallery.ledger), encoder.n_embedded) == (19, n_shards, 20)


def test_a_deleted_photo_comes_back_when_asked_for(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    shutil.copy(folder / "05.png", folder / "zz.png")
    index(list_source(folder), gallery, encoder)
    before = contents(gallery)
    gallery.delete([id_of(gallery, "05.png")])
    report = index(list_source(folder), gallery, encoder, undelete=True)
    assert (report.n_known, report.n_deleted, encoder.n_embedded) == (2, 0, 20)
    assert contents(gallery) == before
    assert index(list_source(folder), gallery, encoder).n_unchanged == 21


def test_other_bytes_under_the_path_of_a_deleted_photo_are_another_photo(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    gallery.delete([id_of(gallery, "05.png")])
    draw(folder / "05.png", (255, 255, 255))
    os.utime(folder / "05.png", (1, 1))
    assert index(list_source(folder), gallery, encoder).n_embedded == 1
    assert len(gallery) == 20


def test_an_erased_photo_is_embedded_anew_when_asked_for(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    before = contents(gallery)
    gallery.delete([id_of(gallery, "05.png")], is_erased=True)
    assert index(list_source(folder), gallery, encoder).n_deleted == 1
    assert index(list_source(folder), gallery, encoder, undelete=True).n_embedded == 1
    assert contents(gallery) == before


# --- a source without photos -----------------------------------------------------------------------


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_source_without_a_photo_left_is_pruned_when_that_is_said(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, tmp_path: Path, is_gone: bool
) -> None:
    draw(tmp_path / "other" / "x.png", (1, 2, 3))
    index(list_source(tmp_path / "other"), gallery, encoder)
    index(list_source(folder), gallery, encoder)
    shutil.rmtree(folder)
    if not is_gone:
        folder.mkdir()
    with pytest.raises(UnreadableSource, match="no such file" if is_gone else "--prune-everything"):
        list_source(folder)
    report = index(list_source(folder, may_be_empty=True), gallery, encoder, prune=True)
    assert (report.n_removed, len(gallery)) == (20, 1)


def test_pruning_a_folder_ends_what_is_gone_from_it_whoever_listed_it(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    draw(folder / "deep" / "x.png", (1, 2, 3))
    index(list_source(folder / "deep"), gallery, encoder)
    index(list_source(folder), gallery, encoder)
    (folder / "deep" / "x.png").unlink()
    assert index(list_source(folder), gallery, encoder, prune=True).n_removed == 1
    assert len(gallery) == 20


@pytest.mark.real
def test_of_the_damaged_files_exactly_the_openable_ones_are_indexed(
    damaged_folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    with (damaged_folder / "manifest.csv").open() as file:
        rows = {row["file"]: row["pillow_status"] for row in csv.DictReader(file)}
    report = index(list_source(damaged_folder), gallery, encoder)
    assert {Path(key).name for key in report.failures} == {f for f, status in rows.items() if status != "ok"}
    assert all(report.failures.values())
    assert report.n_embedded + report.n_known == 130
