"""The verbs that fill a gallery and keep it: index, galleries, delete, optimize, rebuild."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import FAILED, PARTLY_FAILED
from .options import AsJson, EncoderName, GalleryName, WeightsFile, load_encoder_for

if TYPE_CHECKING:
    from ..indexer.gallery import Gallery


def index(
    source: Annotated[Path, typer.Argument(help="A folder, a .csv/.parquet/.gpkg table, or a .tar archive.")],
    gallery: GalleryName,
    encoder: EncoderName = None,
    weights: WeightsFile = None,
    group_column: Annotated[
        str | None, typer.Option(help="Column that says which photos belong together: a place, a walk.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try again what failed before.")] = False,
    prune: Annotated[bool, typer.Option(help="Remove photos whose file is gone from the source.")] = False,
    prune_everything: Annotated[
        bool, typer.Option("--prune-everything", help="Prune also a source without any photo left.")
    ] = False,
    undelete: Annotated[
        bool, typer.Option("--undelete", help="Bring back photos that were deleted.")
    ] = False,
    claim: Annotated[
        bool, typer.Option("--claim", help="Take over photos that belong to another source.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding processes; all cores by default.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where the encoder computes: cpu, cuda or cuda:1; by default a GPU if there is one."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Index only the I-th of N equal shares, from 1; see `merge` for the rest."
        ),
    ] = None,
    executor: Annotated[str, typer.Option(metavar="local|ray", help="Who decodes and embeds.")] = "local",
    ray_address: Annotated[
        str, typer.Option(help="Of a Ray cluster, auto to find one; local starts one here.")
    ] = "local",
    ray_actors: Annotated[
        int | None, typer.Option(min=1, help="Workers on Ray; one for each GPU, or core, by default.")
    ] = None,
    calibrate: Annotated[bool, typer.Option(help="Fit the geolocation when done.")] = True,
    as_json: AsJson = False,
) -> None:
    """Index photos. The same command resumes after an interruption and updates later.

    Examples:
      placeprint index ~/Pictures --gallery trips
      placeprint index /data --gallery trips --executor ray --ray-address auto
      placeprint index /data --gallery trips-3 --shard 3/8 --no-calibrate
    """
    from ..indexer import ingest
    from ..indexer.settings import Settings
    from ..indexer.sources import list_source
    from . import console

    if shard is not None and (prune or prune_everything):
        raise typer.BadParameter("--shard lists a share of the source only, by which nothing can be pruned")
    if executor not in ("local", "ray"):
        raise typer.BadParameter(f"--executor {executor}: local or ray")
    as_json = as_json or not console.out.is_terminal
    items = list_source(source, group_column=group_column, may_be_empty=prune_everything)
    if shard is not None:
        items = items.part(*_share(shard))
    for note in items.notes:
        console.warn(note, as_json=as_json)
    device = device or Settings().device
    # Before Ray's workers it is loaded for its fingerprint alone.
    here = device if executor == "local" else "cpu"
    loaded, name, weights = load_encoder_for(gallery, encoder, weights, device=here)
    from ..indexer.gallery import Gallery

    on_ray = None
    if executor == "ray":
        from ..encoders.catalog import load_encoder
        from ..indexer.ray_executor import RayExecutor

        load = partial(load_encoder, name, weights=weights and weights.resolve(), device=device)
        on_ray = RayExecutor(
            load, loaded.fingerprint, address=ray_address, actors=ray_actors, decoders=workers or 1
        )
    with Gallery.open_or_create(gallery, loaded.fingerprint, encoder=name, weights=weights) as opened:
        with console.indexing_progress(as_json=as_json) as progress:
            try:
                report = ingest.index(
                    items, opened, loaded,
                    retry_failed=retry_failed, undelete=undelete, claim=claim,
                    prune=prune or prune_everything, workers=workers, progress=progress,
                    executor=on_ray,
                )  # fmt: skip
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"interrupted; what was embedded is kept, {len(opened)} photos in gallery {gallery}. "
                    "To go on, type the same command again"
                ) from None
        if calibrate:
            _calibrate(opened, as_json=as_json)
        failures = ingest.failures_file(opened)
        console.show_report(report, gallery, len(opened), failures, as_json=as_json)
    if report.is_partly_failed:
        raise typer.Exit(PARTLY_FAILED)


def _calibrate(gallery: "Gallery", *, as_json: bool) -> None:
    """Fit the geolocation to a gallery; one without places is for searching only."""
    from ..encoders.errors import NothingToLocateWith
    from ..indexer.locator import Locator
    from . import console

    with (
        console.counting_progress("calibrating", as_json=as_json, is_answer=True) as counting,
        suppress(NothingToLocateWith),
    ):
        stage = console.telling("calibrating", as_json=as_json, is_answer=True)
        Locator(gallery, progress=counting, stage=stage)


def _share(text: str) -> tuple[int, int]:
    """The numbers of a share like 3/8."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise typer.BadParameter(f"--shard {text}: I/N, as 3/8 for the third of eight shares")
    return int(number), int(of)


def galleries(as_json: AsJson = False) -> None:
    """List the galleries: how many photos they have, how many of known place, and by which encoder."""
    from ..encoders.errors import PlaceprintError
    from ..indexer.gallery_files import gallery_names
    from ..indexer.overview import overview
    from . import console

    n_damaged = 0
    for name in gallery_names():
        try:
            console.show_gallery(overview(name), as_json=as_json)
        except PlaceprintError as error:
            console.show_failure(name, str(error), as_json=as_json)
            n_damaged += 1
    if n_damaged:
        raise typer.Exit(PARTLY_FAILED)


def delete(
    gallery: GalleryName,
    ids: Annotated[list[str], typer.Argument(help="Ids of photos, as `search --json` shows them.")],
    erase: Annotated[
        bool, typer.Option("--erase", help="Wipe what the gallery's files hold of them too.")
    ] = False,
) -> None:
    """Take photos out of a gallery. Their files stay; `index --undelete` brings the photos back.

    Example: placeprint delete --gallery trips 5e2bd0a4-5d9a-5a34-9a4a-6a2a2b3a6d7c
    """
    from ..indexer.gallery import Gallery
    from . import console

    ids = list(dict.fromkeys(ids))
    with Gallery.open(gallery) as opened:
        unknown = [id for id in ids if not opened.knows(id)]
        n_out = opened.delete(ids, is_erased=erase)
    typer.echo(f"{n_out} photos {'erased from' if erase else 'taken out of'} {gallery}")
    for id in unknown:
        console.show_failure(id, "no photo of this id was ever in the gallery", as_json=False)
    if unknown:
        raise typer.Exit(PARTLY_FAILED if len(unknown) < len(ids) else FAILED)


def optimize(
    gallery: GalleryName,
    quantization: Annotated[
        str | None,
        typer.Option(
            help="How vectors are searched: none (as they are), int8 (a byte per number), binary (a bit), or "
            "auto: int8 above 50,000 photos. Kept for later; auto unless something was chosen before."
        ),
    ] = None,
    vectors: Annotated[
        str | None, typer.Option(help="Where the original vectors lie: memory or disk. Kept for later.")
    ] = None,
    graph: Annotated[
        str | None, typer.Option(help="Where the search graph lies: memory or disk. Kept for later.")
    ] = None,
) -> None:
    """Build the search index: worth it from some ten thousand photos on.

    Example: placeprint optimize --gallery trips --quantization int8 --vectors disk
    """
    from ..indexer.gallery import Gallery
    from ..indexer.storage import chosen

    with Gallery.open(gallery) as opened:
        storage = chosen(opened.storage, quantization=quantization, vectors=vectors, graph=graph)
        n_photos, is_automatic = len(opened), storage.quantization is None
        storage = opened.optimize(storage)
        why = " (chosen by the number of photos)" if is_automatic else ""
        typer.echo(f"gallery {gallery}: index built over {n_photos} photos, {storage}{why}")


def rebuild(gallery: GalleryName) -> None:
    """Make the vector store anew from the ledger, whatever is left of the old one."""
    from ..indexer.gallery import Gallery

    with Gallery.open(gallery, is_rebuilt=True) as opened:
        typer.echo(f"gallery {gallery}: {len(opened)} photos")
