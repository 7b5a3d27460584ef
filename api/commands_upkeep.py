"""The verbs that look after galleries as a whole: doctor, merge."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .exits import FAILED, PARTLY_FAILED
from .options import AsJson

LISTED = 5  # paths named of those that have to be indexed again


def doctor(
    gallery: Annotated[str, typer.Argument(help="Name of the gallery, which nobody else may be using.")],
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    backup: Annotated[
        Path | None, typer.Option("--from", help="A backup, to bring damaged files back from.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look a gallery's files through, every byte of them. Ends with 1 if something is left to mend.

    Example: placeprint doctor trips --repair --from trips.tar
    """
    from ..indexer.doctor import examine
    from . import console

    if backup is not None and not repair:
        raise typer.BadParameter("--from says where --repair takes files from; give both")
    with console.counting_progress("looking through", as_json=as_json) as progress:
        found = examine(gallery, is_mended=repair, backup=backup, progress=progress)
    for finding in found.findings:
        if as_json:
            console.say("finding", **{**asdict(finding), "file": str(finding.file)})
            continue
        console.show_failure(str(finding.file), f"{finding.what}: {finding.remedy}", as_json=False)
        if finding.lost:
            named = ", ".join(finding.lost[:LISTED]) + (", …" if len(finding.lost) > LISTED else "")
            console.out.print(
                f"  {len(finding.lost)} photos to index again: {named}", markup=False, soft_wrap=True
            )
    if as_json:
        console.say("report", shards=found.shards, photos=found.photos, is_well=found.is_well)
    else:
        state = "all as it should be" if not found.findings else f"{len(found.findings)} things found"
        typer.echo(f"gallery {gallery}: {found.shards} shards, {found.photos} photos; {state}")
    if not found.is_well:
        raise typer.Exit(FAILED)


def merge(
    into: Annotated[str, typer.Argument(help="Name of the gallery that takes; made when there is none.")],
    galleries: Annotated[list[str], typer.Argument(metavar="FROM...", help="Galleries to take over.")],
    as_json: AsJson = False,
) -> None:
    """Take what other galleries know into one; they stay as they are, and nothing is embedded again.

    Example: placeprint merge trips trips-1 trips-2
    """
    from ..indexer.gallery import Gallery
    from ..indexer.merging import merge as merge_into
    from . import console

    if into in galleries:
        raise typer.BadParameter(f"{into} cannot be merged into itself")
    n_kept = 0
    for name in galleries:
        with (
            Gallery.open(name) as source,
            Gallery.open_or_create(
                into, source.fingerprint, encoder=source.encoder, weights=source.weights
            ) as taking,
            console.counting_progress(f"merging {name}", as_json=as_json) as progress,
        ):
            merged = merge_into(taking, source, progress=progress)
            n_photos = len(taking)
        n_kept += merged.n_kept
        if as_json:
            console.say("merged", gallery=name, into=into, photos=n_photos, **asdict(merged))
            continue
        kept = f", {merged.n_kept} stand for another photo in {into}, which was kept" if merged.n_kept else ""
        typer.echo(
            f"{name}: {merged.n_taken} paths taken over, {merged.n_there} known before{kept}; "
            f"{into}: {n_photos} photos"
        )
    if n_kept:
        raise typer.Exit(PARTLY_FAILED)
