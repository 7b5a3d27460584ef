"""The verbs `backup` and `restore`: into files and through pipes, told in words and as JSON."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import typer
from fakes import fingerprint_of, record, unit_rows

from placeprint.api.commands_backup import backup, restore
from placeprint.api.exits import Verbs, explained
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.gallery_files import gallery_names
from placeprint.indexer.settings import Settings

app = typer.Typer(cls=Verbs)
app.command()(backup)
app.command()(restore)


class Done(NamedTuple):
    returncode: int
    stdout: bytes
    stderr: bytes


@pytest.fixture
def home(tmp_path: Path, rng: np.random.Generator) -> Path:
    settings = Settings(home=tmp_path / "home", qdrant_url=None)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record(str(i), row, lon=1.0, lat=2.0) for i, row in enumerate(unit_rows(rng, 7))])
    return tmp_path / "home"


@pytest.fixture
def run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Done]:
    """Types a command in this process, which has loaded the store already."""
    monkeypatch.setenv("PLACEPRINT_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "160")

    def typed(*words: str | Path, given: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["placeprint", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as end, explained():
            app()
        return Done(int(end.value.code or 0), *capsysbinary.readouterr())

    return typed


def test_a_gallery_goes_into_a_file_and_comes_back(
    home: Path, run: Callable[..., Done], tmp_path: Path
) -> None:
    file = tmp_path / "trips.tar"
    done = run("backup", "trips", file, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["photos"], told["placed"], told["gallery"]) == (7, 7, "trips")
    done = run("restore", file, "--verify")
    assert done.stdout.decode().startswith("trips: whole; 7 photos, 7 with a place")
    assert gallery_names(Settings(home=home)) == ["trips"]
    done = run("restore", file, "--as", "again")
    assert done.stdout.decode().startswith("trips: restored as again; 7 photos")
    assert gallery_names(Settings(home=home)) == ["again", "trips"]


def test_pipes_carry_the_backup_and_nothing_else(run: Callable[..., Done]) -> None:
    piped = run("backup", "trips", "-")
    assert piped.returncode == 0
    assert b"7 photos" in piped.stderr
    assert run("restore", "-", "--as", "again", given=piped.stdout).returncode == 0
    cut = run("restore", "-", "--verify", given=piped.stdout[:-1])
    assert cut.returncode == 1
    assert cut.stderr.startswith(b"error: the backup cannot be trusted: ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("backup", "nobody", "x.tar"), 1, "no gallery 'nobody'"),
        (("backup", "../x", "x.tar"), 2, "cannot name a gallery"),
        (("backup", "trips", "/no/such/folder/x.tar"), 1, "No such file"),
        (("restore", "/no/such.tar", "--as", "again"), 1, "No such file"),
        (("restore", "x.tar"), 2, "--as NAME"),
        (("restore", "x.tar", "--as", "again", "--verify"), 2, "--as NAME"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(
    run: Callable[..., Done], words: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert done.stderr.decode().startswith("error: ") and said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
