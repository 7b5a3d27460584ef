"""How a command ends: one line that says what is wrong and how to mend it, and an exit code.

0 done, 1 failed, 2 wrong usage (what was typed can never work), 3 partly failed, 130 interrupted.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from typer.core import TyperGroup

from ..encoders.errors import (
    InvalidFilter,
    InvalidGalleryName,
    InvalidOption,
    PlaceprintError,
    UnknownEncoder,
)

FAILED, WRONG_USAGE, PARTLY_FAILED, INTERRUPTED = 1, 2, 3, 130
WRONG_VALUES = (InvalidFilter, InvalidGalleryName, InvalidOption, UnknownEncoder)
"""Errors that come from the words of the command, not from what they name."""


class Verbs(TyperGroup):
    """The verbs of the command line. Typer would end an interrupted or unread one without a word."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command's words; `--help` is answered here."""
        with explained():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; errors that the user can mend come without a traceback."""
        with explained():
            answer = super().invoke(ctx)
            sys.stdout.flush()  # that nobody reads any more must show here, not when Python ends
            return answer


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Tell whoever interrupts a training how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; the same command with --resume goes on from the last checkpoint in {out}"
        ) from None


@contextmanager
def explained() -> Iterator[None]:
    """Turn what goes wrong into a line for the user and an exit code."""
    interruptions: list[int] = []
    with _noting(interruptions):
        try:
            yield
        except KeyboardInterrupt as error:
            fail(str(error) or "interrupted", INTERRUPTED)
        except Exception as error:
            if interruptions:  # a library that was loading makes an error of its own of it
                fail("interrupted", INTERRUPTED)
            _explain(error)


def _explain(error: Exception) -> NoReturn:
    """End with what an error means to the user; raise it again where it means nothing."""
    if isinstance(error, WRONG_VALUES):
        fail(str(error), WRONG_USAGE)
    if isinstance(error, PlaceprintError):
        fail(str(error))
    if isinstance(error, BrokenPipeError):  # `placeprint search … | head` has read enough
        forget_output()
        sys.exit(0)
    if isinstance(error, OSError) and error.errno is not None and not os.environ.get("PLACEPRINT_TRACEBACK"):
        fail(f"{error.filename or 'the disk'}: {error.strerror}")
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_input=False)  # the values may be secrets
        said = [f"PLACEPRINT_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in faults]
        fail(f"a setting in the environment is wrong: {'; '.join(said)}", WRONG_USAGE)
    raise error


@contextmanager
def _noting(interruptions: list[int]) -> Iterator[None]:
    """Note that an interruption came, beside raising KeyboardInterrupt; the main thread alone gets them."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        interruptions.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Write an error for the user and end the program."""
    try:
        print(f"error: {message}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        pass
    sys.exit(code)


def forget_output() -> None:
    """Let what is still written go nowhere, once nobody reads it any more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no file behind it
        sys.stdout = open(os.devnull, "w")
