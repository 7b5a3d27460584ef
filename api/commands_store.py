"""The verb that carries a gallery's store elsewhere: move."""

from typing import Annotated

import typer

from .options import AsJson, GalleryName

FOLDER = "folder"


def move(
    gallery: GalleryName,
    to: Annotated[str, typer.Option(help="URL of a Qdrant server, or the word folder.")],
    as_json: AsJson = False,
) -> None:
    """Move a gallery's vector store from its folder to a Qdrant server, or back.

    The ledger stays in the folder. Cut off on the way, the same command goes on.

    Example: placeprint move --gallery trips --to http://localhost:6333
    """
    from ..encoders.errors import InvalidOption
    from ..indexer import moving
    from . import console

    url = None if to == FOLDER else to
    if url is not None and not url.startswith(("http://", "https://")):
        raise InvalidOption(f"--to {to}: neither a URL such as http://localhost:6333 nor the word folder")
    moved = moving.move(gallery, url, stage=console.telling("moving", as_json=as_json, is_answer=True))
    if as_json:
        console.say("moved", gallery=gallery, to=to, photos=moved.n_photos, is_new=moved.is_new)
        return
    where = "its folder" if url is None else url
    verb = "moved to" if moved.is_new else "is already in" if url is None else "is already at"
    typer.echo(f"gallery {gallery}: {verb} {where}, {moved.n_photos} photos")
