"""How commands end: with one line and the right code, whatever stops them, and never with a traceback."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from placeprint.api.exits import explained
from placeprint.encoders.errors import InvalidFilter, UnknownEncoder, UnreadableSource
from placeprint.indexer.overview import overview
from placeprint.indexer.settings import Settings

CLI = [sys.executable, "-m", "placeprint.api.cli"]
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and pipes as POSIX has them")


@pytest.fixture
def interruptible():
    """Ctrl-C as a program on a terminal has it; a job in the background may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 40 small photos, and a home for galleries."""
    colors = np.random.default_rng(3).integers(0, 255, (40, 3)).tolist()
    (tmp_path / "photos").mkdir()
    for i, color in enumerate(colors):
        Image.new("RGB", (32, 32), tuple(color)).save(tmp_path / "photos" / f"{i:02d}.png")
    monkeypatch.setenv("PLACEPRINT_HOME", str(tmp_path / "home"))
    return tmp_path


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end, explained():
        raise error
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    "error, code, says",
    [
        (UnreadableSource("no pictures"), 1, "error: no pictures\n"),
        (InvalidFilter("--where x"), 2, "error: --where x\n"),
        (UnknownEncoder("no encoder"), 2, "error: no encoder\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.jpg"),
            1,
            "error: x.jpg: No such file or directory\n",
        ),
        (OSError(28, "No space left on device"), 1, "error: the disk: No space left on device\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (KeyboardInterrupt("go on so"), 130, "error: go on so\n"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(
    error: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, capsys) == (code, says)


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), explained():
        _ = 1 / 0


def test_a_wrong_setting_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLACEPRINT_LOCK_TIMEOUT_S", "my secret")
    with pytest.raises(ValidationError) as raised:
        Settings()
    code, said = ended(raised.value, capsys)
    assert (code, "PLACEPRINT_LOCK_TIMEOUT_S" in said, "my secret" in said) == (2, True, False)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_that_a_library_makes_another_error_of_is_still_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end, explained():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None
    assert (end.value.code, capsys.readouterr().err) == (130, "error: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def unread(home: Path, *words: str) -> tuple[int, str]:
    """Exit code and complaints of a command whose output nobody reads."""
    child = subprocess.Popen(
        [*CLI, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    return child.wait(), said


@ON_POSIX
@pytest.mark.parametrize("words", [["models"], ["--help"], ["search", "--help"]])
def test_a_reader_that_goes_away_is_no_error(home: Path, words: list[str]) -> None:
    assert unread(home, *words) == (0, "")


TALKATIVE = """
import typer
from placeprint.api.exits import Verbs, explained
app = typer.Typer(cls=Verbs, rich_markup_mode=None)

@app.callback()
def all_verbs(): ...

@app.command()
def talk():
    print("what is not flushed")

with explained():
    app(["talk"])
"""


@ON_POSIX
def test_what_was_still_in_the_buffer_is_no_error_either() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", TALKATIVE]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=buffered)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait() == 0


@ON_POSIX
def test_indexing_goes_on_when_nobody_watches(home: Path) -> None:
    assert unread(home, "index", "photos", "-g", "x", "--encoder", "demonstration") == (0, "")
    assert overview("x").photos == 40
    assert unread(home, "galleries") == (0, "")


@ON_POSIX
def test_control_c_while_indexing_says_how_to_go_on(home: Path) -> None:
    child = subprocess.Popen(
        [*CLI, "index", "photos", "-g", "x", "--encoder", "demonstration"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert child.stdout is not None
    assert '"done": 0' in child.stdout.readline()
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate()
    assert child.returncode == 130
    assert re.fullmatch(r"error: interrupted; .* type the same command again\n", said)
