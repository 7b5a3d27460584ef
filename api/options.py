"""Options that several verbs share, and what they stand for: encoders, files to write."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..encoders.errors import InvalidCoordinate, PlaceprintError, WeightsUnavailable

if TYPE_CHECKING:  # they load torch and the store, which `--help` must not
    from ..encoders.areas import Area
    from ..encoders.image import ImageEncoder
    from ..indexer.gallery import Gallery

GalleryName = Annotated[str, typer.Option("--gallery", "-g", help="Name of the gallery.")]
EncoderName = Annotated[
    str | None,
    typer.Option(help="Encoder: a name from `placeprint models`, open_clip:MODEL/WEIGHTS or timm:MODEL."),
]
WeightsFile = Annotated[Path | None, typer.Option(help="Local safetensors weights for the encoder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Lines of JSON instead of text.")]


def load_encoder_for(
    gallery: str, name: str | None, weights: Path | None, *, device: str = "cpu"
) -> tuple["ImageEncoder", str, Path | None]:
    """The encoder asked for; without a word the gallery's own, and for a new gallery the default.

    Returns:
        The encoder, its name, and the file of its weights where it has one.
    """
    from ..encoders.catalog import DEFAULT, load_encoder
    from ..indexer.gallery_files import gallery_config

    config = gallery_config(gallery)
    if config is None or name not in (None, config["encoder"]):
        name = name or DEFAULT
        return load_encoder(name, weights=weights, device=device), name, weights
    name = str(config["encoder"])
    if weights is None and config["weights"] is not None:
        weights = Path(config["weights"])
        _require_weights(weights, gallery)
    return load_encoder(name, weights=weights, device=device), name, weights


def encoder_of(gallery: "Gallery", weights: Path | None = None) -> "ImageEncoder":
    """The encoder that built a gallery, by default with its weights from where they were then.

    Raises:
        WeightsUnavailable: they are there no more.
        FingerprintMismatch: these are other weights.
    """
    from ..encoders.catalog import load_encoder

    if weights is None and gallery.weights is not None:
        weights = Path(gallery.weights)
        _require_weights(weights, gallery.name)
    loaded = load_encoder(gallery.encoder, weights=weights)
    gallery.check(loaded.fingerprint)
    return loaded


def _require_weights(path: Path, gallery: str) -> None:
    if not path.is_file():
        raise WeightsUnavailable(
            f"{path}: the encoder's weights were there when gallery {gallery!r} was made, and are there no "
            "more. Say where they are now with --weights FILE; after `placeprint index … --weights FILE` "
            "the gallery knows it"
        )


def writable_target(path: Path | None, option: str, suffixes: tuple[str, ...]) -> None:
    """See that a file can be written at the end, before the work of an hour is begun.

    Raises:
        BadParameter: another kind of file, or no such folder.
    """
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise typer.BadParameter(f"{option} {path}: write {' or '.join(suffixes)}")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(
            f"{option} {path}: {'that is a folder' if path.is_dir() else f'there is no folder {path.parent}'}"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise typer.BadParameter(f"{option} {path}: may not be written")


def area_of(path: Path) -> "Area":
    """The polygons of a file that an option names.

    Raises:
        PlaceprintError: a coordinate in it that is not on Earth; what was typed is not to blame.
    """
    from ..encoders.areas import load_area

    try:
        return load_area(path)
    except InvalidCoordinate as error:
        raise PlaceprintError(str(error)) from None
