"""The command line, run in this process, which has loaded torch already."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from placeprint.api.cli import main


class Answer(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run_program(folder: Path, *words: str, home: Path | None = None, columns: int = 160) -> Answer:
    """Type a command in a folder; galleries live in its ``home`` unless told otherwise."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["placeprint", *words])
        patch.setenv("PLACEPRINT_HOME", str(home or folder / "home"))
        patch.setenv("COLUMNS", str(columns))
        patch.chdir(folder)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())
