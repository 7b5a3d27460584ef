"""Indexing brings a gallery up to date with a source, and embeds a photo once.

The encoder is that of mean colors, so that the right photo can be told from the wrong one.
"""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import ColorEncoder
from ingest_fakes import contents, draw
from PIL import Image

from placeprint.encoders.image import embed_images
from placeprint.indexer import chunks, executors
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source


def test_red_finds_red(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    draw(folder / "red.png", (250, 5, 5))
    index(list_source(folder), gallery, encoder)
    red = embed_images(encoder, [np.full((9, 9, 3), (255, 0, 0), np.uint8)])[0]
    assert Path(gallery.nearest(red, 1)[0].photo.image).name == "red.png"
    assert Path(gallery.nearest(encoder.embed_texts(["red"])[0], 1)[0].photo.image).name == "red.png"


def test_the_report_counts_what_happened(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "empty.jpg").write_bytes(b"")
    shutil.copy(folder / "00.png", folder / "zz-copy.png")
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_listed, report.n_embedded, report.n_known) == (23, 20, 1)
    assert {Path(key).name: reason for key, reason in report.failures.items()}["empty.jpg"] == "an empty file"
    assert report.n_without_place == 21
    assert len(gallery) == 20
    with (gallery.folder / "failures.csv").open() as file:
        assert [Path(row["image"]).name for row in csv.DictReader(file)] == ["bad.jpg", "empty.jpg"]


def test_unchanged_files_are_not_even_read(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(list_source(folder), gallery, encoder)
    monkeypatch.setattr(executors, "decode_item", None)
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_unchanged, report.n_embedded, encoder.n_embedded) == (20, 0, 20)


def test_a_moved_file_keeps_its_identity(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(list_source(folder), gallery, encoder)
    before = {id: values[-1] for id, values in contents(gallery).items()}
    (folder / "new").mkdir()
    (folder / "05.png").rename(folder / "new" / "five.png")
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_embedded, report.n_known, encoder.n_embedded) == (0, 1, 20)
    assert {id: values[-1] for id, values in contents(gallery).items()} == before
    assert "five.png" in {Path(photo.image).name for photo in gallery.find()}
    assert str(folder / "05.png") not in gallery.state.entries


def test_a_removed_file_stays_until_it_is_pruned(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    (folder / "05.png").unlink()
    index(list_source(folder), gallery, encoder)
    assert len(gallery) == 20
    assert index(list_source(folder), gallery, encoder, prune=True).n_removed == 1
    assert len(gallery) == 19


def test_pruning_one_source_leaves_the_others(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, tmp_path: Path
) -> None:
    draw(tmp_path / "other" / "x.png", (1, 2, 3))
    index(list_source(tmp_path / "other"), gallery, encoder)
    index(list_source(folder), gallery, encoder, prune=True)
    assert len(gallery) == 21


def test_a_changed_file_is_embedded_again(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(list_source(folder), gallery, encoder)
    draw(folder / "05.png", (255, 255, 255))
    os.utime(folder / "05.png", (1, 1))
    assert index(list_source(folder), gallery, encoder).n_embedded == 1
    assert len(gallery) == 20


def test_failures_are_tried_again_when_asked_or_changed(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    bad = folder / "bad.png"
    bad.write_bytes(b"no picture")
    os.utime(bad, (1, 1))
    assert len(index(list_source(folder), gallery, encoder).failures) == 1
    assert index(list_source(folder), gallery, encoder).n_failed_before == 1
    assert len(index(list_source(folder), gallery, encoder, retry_failed=True).failures) == 1
    draw(bad, (9, 9, 9))
    assert index(list_source(folder), gallery, encoder).n_embedded == 1
    assert not (gallery.folder / "failures.csv").exists()


def test_a_table_told_anew_changes_the_photo_without_embedding_it(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    table = folder / "photos.csv"
    table.write_text("image,lon,lat,country\n00.png,139.76,35.67,JP\n")
    index(list_source(table), gallery, encoder)
    table.write_text("image,lon,lat,country\n00.png,17.08,-22.56,NA\n")
    report = index(list_source(table), gallery, encoder)
    (photo,) = gallery.find()
    assert (report.n_embedded, encoder.n_embedded) == (0, 1)
    assert (photo.lon, photo.lat, photo.payload["country"]) == (17.08, -22.56, "NA")


def test_a_table_wins_over_exif(tmp_path: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (10.0, 0.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)})
    for i, name in enumerate(("a.jpg", "b.jpg")):
        Image.new("RGB", (9, 9), (i, 99, 99)).save(tmp_path / name, exif=exif)
    (tmp_path / "photos.csv").write_text("image,lon,lat\na.jpg,1.5,2.5\nb.jpg,,\n")
    index(list_source(tmp_path / "photos.csv"), gallery, encoder)
    places = {Path(photo.image).name: (photo.lon, photo.lat) for photo in gallery.find()}
    assert places == {"a.jpg": (1.5, 2.5), "b.jpg": (20.0, 10.0)}


def test_what_the_table_refuses_is_a_failure_with_its_reason(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    rows = "".join(f"{i:02d}.png,{i},{i}\n" for i in range(9))
    (folder / "photos.csv").write_text(f"image,lon,lat\n{rows}10.png,3,95\nnowhere.png,1,1\n")
    report = index(list_source(folder / "photos.csv"), gallery, encoder)
    reasons = {Path(key).name: reason for key, reason in report.failures.items()}
    assert "95" in reasons["10.png"]
    assert "No such file" in reasons["nowhere.png"]
    assert len(gallery) == 9


def test_an_embedding_that_is_not_finite_is_a_failure(folder: Path, gallery: Gallery) -> None:
    class Broken(ColorEncoder):
        def embed_pixels(self, pixels):
            embeddings = super().embed_pixels(pixels)
            embeddings[3:4] *= np.nan if self.n_embedded == len(pixels) else 1.0  # in the first batch
            return embeddings

    report = index(list_source(folder), gallery, Broken())
    assert list(report.failures.values()) == ["the encoder gave no embedding with a direction"]
    assert len(gallery) == 19


def test_a_zero_embedding_of_doubled_bytes_fails_them_both(folder: Path, gallery: Gallery) -> None:
    class Zero(ColorEncoder):
        def embed_pixels(self, pixels):
            return super().embed_pixels(pixels) * 0.0

    shutil.copy(folder / "00.png", folder / "00-copy.png")
    assert len(index(list_source(folder), gallery, Zero()).failures) == 21
    assert len(gallery) == 0


def test_a_shard_that_others_rest_on_can_be_taken_away(
    folder: Path, settings: Settings, encoder: ColorEncoder
) -> None:
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        index(list_source(folder), gallery, encoder)
        shutil.copy(folder / "00.png", folder / "zz.png")
        index(list_source(folder), gallery, encoder)
        gallery.ledger.path(1).unlink()
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 0
        index(list_source(folder), gallery, encoder)
        assert len(gallery) == 20


def test_a_planted_module_is_not_imported(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "PIL").mkdir()
    (folder / "PIL" / "__init__.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(folder)
    assert index(list_source(folder), gallery, encoder).n_embedded == 20


def test_progress_ends_at_the_total(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    seen: list[tuple[int, int]] = []
    index(
        list_source(folder),
        gallery,
        encoder,
        progress=lambda report, total: seen.append((report.n_done, total)),
    )
    assert seen[0] == (0, 20)
    assert seen[-1] == (20, 20)


def test_commits_and_batches_cut_anywhere_change_nothing(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    shutil.copy(folder / "03.png", folder / "zz.png")
    results = []
    for name, batch, commit in (("large", 32, 256), ("small", 3, 7), ("ones", 1, 1)):
        monkeypatch.setattr(chunks, "BATCH", batch)
        monkeypatch.setattr(chunks, "COMMIT", commit)
        encoder = ColorEncoder()
        with Gallery.create(name, encoder.fingerprint, settings=settings) as gallery:
            report = index(list_source(folder), gallery, encoder)
            assert (report.n_embedded, encoder.n_embedded) == (20, 20)
            results.append(contents(gallery))
    assert results[0] == results[1] == results[2]


def test_a_full_disk_loses_nothing(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "COMMIT", 8)
    real, calls = os.fsync, 0

    def failing(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:  # the second commit: a shard and its folder are synced
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space left"):
        index(list_source(folder), gallery, encoder)
    monkeypatch.setattr(os, "fsync", real)
    n_before = encoder.n_embedded
    report = index(list_source(folder), gallery, encoder)
    assert len(gallery) == 20
    assert report.n_unchanged >= 8
    assert encoder.n_embedded - n_before <= 12


def test_a_photo_without_a_place_is_found_as_such(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    assert gallery.count(Filter(is_placed=False)) == 20


def test_every_batch_has_the_same_shape(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    shapes = []
    embed = encoder.embed_pixels
    encoder.embed_pixels = lambda pixels: shapes.append(pixels.shape) or embed(pixels)  # type: ignore
    index(list_source(folder), gallery, encoder)
    assert shapes == [(chunks.BATCH, 16, 16, 3)] * 2


def test_on_a_gpu_batches_are_larger(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    shapes = []
    embed = encoder.embed_pixels
    encoder.embed_pixels = lambda pixels: shapes.append(pixels.shape) or embed(pixels)  # type: ignore
    encoder.device = torch.device("cuda")  # type: ignore[attr-defined]
    index(list_source(folder), gallery, encoder)
    assert shapes == [(chunks.GPU_BATCH, 16, 16, 3)]
