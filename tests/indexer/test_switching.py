"""Another model takes a gallery over: nothing is lost on the way, wherever it is cut off."""

from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from PIL import Image

from placeprint.indexer import switching
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.record import Record
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source


class OtherEncoder(ColorEncoder):
    """The same colors the other way round."""

    def __init__(self) -> None:
        super().__init__("other")

    def embed_pixels(self, pixels: np.ndarray) -> np.ndarray:
        return super().embed_pixels(255 - pixels)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        Image.new("RGB", (32, 32), (20 * i, 255 - 20 * i, 90)).save(folder / f"{i}.png")
    (folder / "copy.png").write_bytes((folder / "3.png").read_bytes())
    (folder / "damaged.png").write_bytes(b"no picture")
    table = [
        "image,lon,lat,city",
        *(f"{i}.png,{i},{-i},c{i}" for i in range(12)),
        "copy.png,3,-3,c3",
        "damaged.png,0,1,d",
    ]
    (folder / "photos.csv").write_text("\n".join(table))
    return folder / "photos.csv"


@pytest.fixture
def gallery(source: Path, settings: Settings) -> Gallery:
    made = Gallery.create("trips", ColorEncoder().fingerprint, encoder="color", settings=settings)
    index(list_source(source), made, ColorEncoder(), workers=1)
    made.delete([made.state.entries[str(source.parent / "5.png")].id])
    return made


def twin_of(gallery: Gallery, settings: Settings) -> Gallery:
    new = OtherEncoder().fingerprint
    return switching.open_twin("trips", new, encoder="other", weights=None, settings=settings)


def told(gallery: Gallery) -> list[tuple[object, ...]]:
    return sorted((p.id, p.image, p.lon, p.lat, p.group, str(p.payload)) for p in gallery.find())


def test_the_twin_knows_all_that_the_gallery_knows_by_the_other_model(gallery, settings):
    with gallery, twin_of(gallery, settings) as twin:
        filled = switching.fill(gallery, twin, OtherEncoder(), workers=1)
        assert (filled.n_embedded, filled.missing) == (11, [])
        assert told(twin) == told(gallery) and len(twin) == 11
        ids = [photo.id for photo in gallery.find()]
        colors, others = gallery.embeddings(ids), twin.embeddings(ids)
        assert np.allclose(colors[:, :3] * -1, others[:, :3] * (colors[:, 3:] / others[:, 3:]), atol=1e-2)
        assert twin.state.deleted == gallery.state.deleted
        assert {key: e.status for key, e in twin.state.entries.items() if e.status == "failed"} == {
            key: e.status for key, e in gallery.state.entries.items() if e.status == "failed"
        }
        assert switching.keys_behind(gallery, twin) == []


def test_it_goes_on_where_it_was(gallery, settings):
    encoder = OtherEncoder()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with gallery, twin_of(gallery, settings) as twin, pytest.raises(KeyboardInterrupt):
        switching.fill(gallery, twin, encoder, workers=1, progress=stop)
    n_before = encoder.n_embedded
    assert n_before == 11
    with Gallery.open("trips", settings=settings) as again, twin_of(again, settings) as twin:
        assert switching.fill(again, twin, encoder, workers=1).n_embedded == 0
        assert told(twin) == told(again)


def test_what_is_written_meanwhile_is_caught_up(gallery, settings, source):
    with gallery, twin_of(gallery, settings) as twin:
        switching.fill(gallery, twin, OtherEncoder(), workers=1)
        gallery.delete([next(iter(gallery.find())).id])
        Image.new("RGB", (32, 32), (1, 2, 3)).save(source.parent / "12.png")
        with source.open("a") as file:
            file.write("\n12.png,50,50,new")
        (source.parent / "0.png").unlink()
        index(list_source(source), gallery, ColorEncoder(), prune=True)
        assert len(switching.keys_behind(gallery, twin)) >= 2
        switching.fill(gallery, twin, OtherEncoder(), workers=1)
        assert told(twin) == told(gallery)


def test_photos_without_a_file_are_named_and_left_out_only_on_request(gallery, settings, source):
    (source.parent / "7.png").unlink()
    with gallery, twin_of(gallery, settings) as twin:
        with pytest.raises(
            switching.MissingOriginals, match="1 photos of gallery 'trips' have no file at hand"
        ):
            switching.fill(gallery, twin, OtherEncoder(), workers=1)
        filled = switching.fill(gallery, twin, OtherEncoder(), workers=1, leave_out_missing=True)
        assert len(filled.missing) == 1 and len(twin) == 10


def test_a_twin_for_yet_another_model_is_thrown_away(gallery, settings):
    with gallery:
        with twin_of(gallery, settings) as twin:
            switching.fill(gallery, twin, OtherEncoder(), workers=1)
        third = ColorEncoder("third").fingerprint
        with switching.open_twin("trips", third, encoder="third", weights=None, settings=settings) as twin:
            assert len(twin) == 0 and twin.fingerprint.id == third.id


def exchanged(gallery: Gallery, settings: Settings) -> None:
    with gallery, twin_of(gallery, settings) as twin:
        switching.fill(gallery, twin, OtherEncoder(), workers=1)


def test_the_exchange_leaves_the_new_one_and_nothing_else(gallery, settings):
    exchanged(gallery, settings)
    old = switching.exchange("trips", settings)
    Gallery(old, settings).discard()
    with Gallery.open("trips", settings=settings) as now:
        assert now.encoder == "other" and len(now) == 11
        assert not (now.folder / switching.READY).exists()
    assert list((settings.home / "switching" / "galleries").iterdir()) == []


@pytest.mark.parametrize("n_renames", [0, 1, 2])
def test_an_exchange_cut_off_anywhere_is_finished(
    gallery, settings, n_renames, monkeypatch: pytest.MonkeyPatch
):
    exchanged(gallery, settings)
    rename, n_done = Path.rename, 0

    def dying(self: Path, target: Path) -> Path:
        nonlocal n_done
        n_done += 1
        if n_done > n_renames:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    if n_renames == 2:
        monkeypatch.setattr(Path, "unlink", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        switching.exchange("trips", settings)
    monkeypatch.undo()
    switching.recover_all(settings)
    with Gallery.open("trips", settings=settings) as now:
        assert now.encoder == "other"
        assert len(now) == 11
        assert not (now.folder / switching.READY).exists()


def test_an_upload_has_no_file_and_is_named(settings):
    with Gallery.create("trips", ColorEncoder().fingerprint, settings=settings) as gallery:
        gallery.add([Record(key="upload:1", status="embedded", sha256="ab", embedding=np.ones(4, "f4") / 2)])
        with twin_of(gallery, settings) as twin, pytest.raises(switching.MissingOriginals):
            switching.fill(gallery, twin, OtherEncoder(), workers=1)
