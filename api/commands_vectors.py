"""The verbs for named vectors: what other encoders say of the photos of a gallery, kept beside its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..encoders.errors import WeightsUnavailable
from .exits import PARTLY_FAILED
from .options import AsJson, GalleryName, WeightsFile, encoder_of

if TYPE_CHECKING:  # they load torch and the store, which `--help` must not
    from ..encoders.image import ImageEncoder
    from ..indexer.gallery import Gallery

vectors_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Embed a gallery's photos by other encoders too, and keep what they say beside.",
)
VectorName = Annotated[str, typer.Argument(metavar="NAME", help="Of the vectors: place, second, …")]


@vectors_app.command()
def build(
    name: VectorName,
    gallery: GalleryName,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="An image encoder as for `index`, or place:FILE.safetensors; by default the one before."
        ),
    ] = None,
    weights: WeightsFile = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Search bytes, and compare the best again as they are.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding processes; all cores by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Embed the photos that have no such vector yet. The same command resumes after an interruption.

    Each photo is read again from where it was indexed. Search by it with: placeprint search --using NAME

    Example:
      placeprint vectors build second --gallery trips --encoder clip-b16
    """
    from ..indexer.gallery import Gallery
    from ..indexer.look_again import look_again
    from ..indexer.named_vectors import VectorCard
    from ..indexer.settings import Settings
    from . import console

    as_json = as_json or not console.out.is_terminal
    with Gallery.open(gallery) as opened:
        before = opened.vectors.cards.get(name)
        if before is None and encoder is None:
            raise typer.BadParameter(f"gallery {gallery} has no vectors {name!r} yet: say by which --encoder")
        if before is not None:
            encoder = encoder or before.encoder
            weights = weights or (None if before.weights is None else Path(before.weights))
        assert encoder is not None
        loaded = _load(encoder, weights, device=Settings().device)
        opened.vectors.begin(
            VectorCard(
                name=name,
                fingerprint=loaded.fingerprint,
                encoder=encoder,
                weights=None if weights is None else str(weights.resolve()),
                is_quantized=int8 or (before is not None and before.is_quantized),
                facts={} if before is None else before.facts,
            )
        )
        with console.counting_progress("looking", as_json=as_json) as progress:
            try:
                found = look_again(opened, name, loaded, workers=workers, progress=progress)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"interrupted; what was embedded is kept. To go on, type the same command again; "
                    f"{len(opened.vectors.lacking(name))} photos are left"
                ) from None
        images = [photo.image for photo in opened.get(found.missing)]
        n_photos = len(opened)
    if as_json:
        console.say(
            "vectors", gallery=gallery, name=name, encoder=encoder, n_embedded=found.n_embedded,
            n_there=found.n_there, n_photos=n_photos, missing=images,
        )  # fmt: skip
    else:
        console.out.print(
            f"gallery {gallery}: {found.n_embedded:,} photos embedded by {encoder}, {found.n_there:,} there "
            f"before, of {n_photos:,}", markup=False, soft_wrap=True,
        )  # fmt: skip
    for image in images:
        console.show_failure(image, "its file is not at hand any more, or is another", as_json=as_json)
    if images:
        raise typer.Exit(PARTLY_FAILED)


@vectors_app.command("list")
def list_vectors(gallery: GalleryName, as_json: AsJson = False) -> None:
    """Show which encoders have looked at the photos of a gallery, and at how many."""
    from ..indexer.gallery import Gallery
    from . import console

    with Gallery.open(gallery) as opened:
        n_photos = len(opened)
        told = [("image", opened.encoder, opened.fingerprint.dimension, n_photos, False)]
        for name, card in opened.vectors.cards.items():
            n = n_photos - len(opened.vectors.lacking(name))
            told.append((name, card.encoder, card.fingerprint.dimension, n, card.is_quantized))
    for name, encoder, dimension, n, is_quantized in told:
        if as_json:
            console.say(
                "vector", name=name, encoder=encoder, dimension=dimension, n_photos=n, is_int8=is_quantized
            )
        else:
            kind = f"{dimension}-d{', int8' if is_quantized else ''}"
            console.out.print(
                f"{name}: {n:,} of {n_photos:,} photos, {kind}, by {encoder}", markup=False, soft_wrap=True
            )


@vectors_app.command()
def remove(name: VectorName, gallery: GalleryName) -> None:
    """Forget the vectors of a name; the photos stay."""
    from ..indexer.gallery import Gallery

    with Gallery.open(gallery) as opened:
        opened.vectors.end(name)
    typer.echo(f"gallery {gallery}: no vectors {name} any more")


def encoder_of_vectors(gallery: "Gallery", name: str, weights: Path | None = None) -> "ImageEncoder":
    """The encoder of a gallery's named vectors, by default with its weights from where they were then.

    Raises:
        UnknownVector: there are no vectors of that name.
        WeightsUnavailable: the weights are there no more.
        FingerprintMismatch: these are other weights.
    """
    card = gallery.vectors.card(name)
    loaded = _load(card.encoder, weights or (None if card.weights is None else Path(card.weights)))
    gallery.check(loaded.fingerprint, using=name)
    return loaded


def encoder_using(gallery: "Gallery", using: str, weights: Path | None = None) -> "ImageEncoder":
    """The encoder of a gallery's own vectors, or of those of a name."""
    from ..indexer.store import VECTOR

    return encoder_of(gallery, weights) if using == VECTOR else encoder_of_vectors(gallery, using, weights)


def _load(encoder: str, weights: Path | None, *, device: str = "cpu") -> "ImageEncoder":
    from ..encoders.catalog import load_encoder

    if weights is not None and not weights.is_file():
        raise WeightsUnavailable(f"{weights}: no such file; say where the weights are with --weights FILE")
    return load_encoder(encoder, weights=weights, device=device)
