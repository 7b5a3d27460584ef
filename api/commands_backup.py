"""The verbs that carry a gallery away and bring it back: backup, restore."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from .exits import WRONG_USAGE, fail
from .options import AsJson

if TYPE_CHECKING:  # it loads the store, which `--help` must not
    from ..indexer.backup import Backup

_PIPE = Path("-")


def backup(
    gallery: Annotated[str, typer.Argument(help="Name of the gallery; it may be in use.")],
    file: Annotated[Path, typer.Argument(help="Where to; - writes to the standard output.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a gallery into one file, while it is in use too. It tells places: keep it as safe as the gallery.

    Example: placeprint backup trips trips.tar
    """
    from ..indexer.backup import back_up

    is_piped = file == _PIPE
    target: Path | BinaryIO = sys.stdout.buffer if is_piped else file
    if is_piped and sys.stdout.isatty():
        fail("a backup is no text for a terminal; name a file, or send it into a program", WRONG_USAGE)
    with _progress("backing up") as progress:
        done = back_up(gallery, target, is_overwritten=overwrite, progress=progress)
    if is_piped:
        sys.stdout.buffer.flush()
    _show("backed up", done, as_json=as_json, is_answer=not is_piped)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `backup` wrote; - reads the standard input.")],
    name: Annotated[str, typer.Option("--as", help="Name of the new gallery; it must be free.")] = "",
    verify: Annotated[bool, typer.Option("--verify", help="Check every byte, and restore nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a gallery of a backup, whole or not at all.

    Example: placeprint restore trips.tar --as trips
    """
    from ..indexer import restore as restoring

    if verify == bool(name):
        fail("say either --as NAME, to restore, or --verify, to check only", WRONG_USAGE)
    source: Path | BinaryIO = sys.stdin.buffer if file == _PIPE else file
    with _progress("reading") as progress:
        if verify:
            done = restoring.verify(source, progress=progress)
        else:
            done = restoring.restore(source, name, progress=progress)
    _show("whole" if verify else f"restored as {name}", done, as_json=as_json)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes on a terminal; nothing where nobody looks."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from . import console

    if not console.err.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _show(what: str, backup: "Backup", *, as_json: bool, is_answer: bool = True) -> None:
    from dataclasses import asdict

    from . import console

    if as_json:
        console.say(what.split()[0], is_answer=is_answer, **asdict(backup))
        return
    counts = f"{backup.photos:,} photos, {backup.placed:,} with a place, {backup.n_bytes / 1e6:,.1f} MB"
    out = console.out if is_answer else console.err
    out.print(f"{backup.gallery}: {what}; {counts}, as of {backup.created_at}", markup=False, soft_wrap=True)
