"""The file of a photo is found again where it lay, and only if it is still that photo."""

import tarfile
from pathlib import Path

import pytest

from placeprint.encoders.errors import UnreadableImage
from placeprint.indexer.originals import read_original
from placeprint.indexer.record import photo_id_of

ID = photo_id_of(b"photo")


def test_the_first_path_that_still_is_the_photo(tmp_path: Path) -> None:
    other, gone, here = (tmp_path / name for name in ("other.jpg", "gone.jpg", "here.jpg"))
    other.write_bytes(b"another photo by now")
    here.write_bytes(b"photo")
    assert read_original(ID, [str(other), str(gone), str(tmp_path), str(here)]) == b"photo"


def test_a_member_of_an_archive_also_after_the_archive_was_written_anew(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    for names in (["x.jpg"], ["y.jpg", "x.jpg"]):
        with tarfile.open(archive, "w") as opened:
            for name in names:
                (tmp_path / name).write_bytes(b"photo" if name == "x.jpg" else b"longer than that")
                opened.add(tmp_path / name, name)
        assert read_original(ID, [f"{archive}::x.jpg"]) == b"photo"
    with pytest.raises(UnreadableImage):
        read_original(ID, [f"{archive}::z.jpg"])


@pytest.mark.parametrize("key", ["upload:here.jpg", "", "\0", "no.tar::x", "/dev/zero"])
def test_what_is_no_file_is_not_at_hand(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("upload:here.jpg").write_bytes(b"photo")
    with pytest.raises(UnreadableImage, match="not at hand"):
        read_original(ID, [key])
