"""The encoders we vouch for, a card each, and the one function that loads any encoder by name.

A name is that of a card, or names a model of a backend outright: ``open_clip:MODEL/PRETRAINED``,
``timm:MODEL?option=value`` or ``place:FILE.safetensors``. To add an encoder, add its card here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import UnknownEncoder

if TYPE_CHECKING:
    from .image import ImageEncoder


@dataclass(frozen=True, kw_only=True)
class EncoderCard:
    """What one should know of an encoder before trusting it."""

    name: str
    backend: Literal["demonstration", "open_clip", "timm"]
    model: str  # as the backend knows it
    pretrained: str  # which weights of that model
    dimension: int
    input_size: int  # pixels, both sides
    licence: str  # of the weights
    training_data: str
    source: str
    sha256: str  # of the weights' file; "not pinned" where we could not hold the file in hands
    known_failures: str
    reason: str  # why it is in the catalog


DEFAULT = "clip-b32-256"

CARDS = {
    card.name: card
    for card in (
        EncoderCard(
            name=DEFAULT,
            backend="open_clip",
            model="ViT-B-32-256",
            pretrained="datacomp_s34b_b86k",
            dimension=512,
            input_size=256,
            licence="MIT",
            training_data="DataComp-1B: image-text pairs of the open web, filtered by CLIP score",
            source="https://huggingface.co/laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
            sha256="not pinned",
            known_failures=(
                "Reads signs and brands better than landscapes; counts and directions badly; the web's"
                " bias towards Europe and North America; English texts only."
            ),
            reason=(
                "Default. Of the permissively licensed models it gives the most for its cost on a CPU:"
                " 11.5 GFLOPs an image; MSCOCO text recall@1 57.9 % and image recall@1 39.9 %, ImageNet"
                " 72.8 %, Country211 19.7 %. ViT-B-16 (LAION-2B) costs three times as much (35.1 GFLOPs)"
                " for 59.4 / 42.3 / 70.2 / 20.3 %; ViT-B-32 (LAION-2B, 8.8 GFLOPs) has 56.3 / 39.3 / 66.6"
                " / 16.7 %. Figures as published in open_clip's result tables."
            ),
        ),
        EncoderCard(
            name="clip-b16",
            backend="open_clip",
            model="ViT-B-16",
            pretrained="datacomp_xl_s13b_b90k",
            dimension=512,
            input_size=224,
            licence="MIT",
            training_data="DataComp-1B: image-text pairs of the open web, filtered by CLIP score",
            source="https://huggingface.co/laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
            sha256="not pinned",
            known_failures="As the default; three times slower on a CPU.",
            reason="For a GPU: the best Country211 (22.2 %) among the permissive models of its size.",
        ),
        EncoderCard(
            name="demonstration",
            backend="demonstration",
            model="DemonstrationNet",
            pretrained="demonstration.safetensors",
            dimension=64,
            input_size=96,
            licence="Apache-2.0",
            training_data="Street scenes drawn by our own program, `encoders/scenes/scene.py`; no photograph",
            source="https://github.com/placeprint/placeprint/blob/main/encoders/train_demonstration.py",
            sha256="4ef559ad1da85e2ccfe6449a0875d17bd0cf0a0b365f7dde0183076ddeafcb45",
            known_failures=(
                "Knows drawings only: on photographs its answers mean next to nothing. Its texts are bags"
                " of a few dozen words."
            ),
            reason="Lets everything be tried and tested with no download. Not for use.",
        ),
    )
}


def load_encoder(
    name: str = DEFAULT, *, weights: str | Path | None = None, device: str = "cpu"
) -> "ImageEncoder":
    """Load an encoder by its card's name or by its backend's name for it.

    Args:
        name: a card of the catalog, ``open_clip:ViT-B-32/laion2b_s34b_b79k``, or
            ``timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5`` (needs `weights`), or
            ``place:FILE.safetensors``, what `train place-recognition` leaves (`weights` are those of its
            backbone). A model of open_clip may end in ``?precision=bf16`` (`image.OpenClipEncoder`).
        weights: a local safetensors file to take instead of the network's.
        device: where it computes: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a GPU where there is one.
            The demonstration encoder is too small for a GPU, and stays on the processor.

    Raises:
        InvalidOption: no such device here, or an option that the model does not take.
        UnknownEncoder: no card of that name, no such model.
        WeightsUnavailable: no network and no local file, or a file that does not fit the model.
        FingerprintMismatch: a place encoder was made with other weights of its backbone.
    """
    from . import image  # loads torch, which listing the catalog must not
    from .device import compute_device

    path = None if weights is None else Path(weights)
    backend, _, model = name.partition(":")
    plain, _, options = name.partition("?precision=")
    how = {"precision": options or "fp32", "device": device}
    if (card := CARDS.get(plain)) and (plain == name or card.backend == "open_clip"):
        if card.backend == "demonstration":
            compute_device(device)  # one that is not there is told here as well
            return image.DemonstrationEncoder(card.name, path)
        return image.OpenClipEncoder(name, card.model, card.pretrained, path, **how)
    if backend == "open_clip" and model:
        model, _, pretrained = plain.removeprefix("open_clip:").partition("/")
        return image.OpenClipEncoder(name, model, pretrained, path, **how)
    if backend == "timm" and model:
        return image.TimmEncoder(name, model, path, device=device)
    if backend == "place" and model:
        from .place_recognition.encoder import PlaceEncoder  # it loads its backbone from here

        return PlaceEncoder.load(model, weights=path, name=name, device=device)
    if backend == "map" and model:
        raise UnknownEncoder(
            f"{name} embeds places of a map, and neither photos nor texts; a gallery of places is asked "
            "with: placeprint places like LON,LAT --gallery NAME"
        )
    raise UnknownEncoder(
        f"no encoder {name!r}; there are {', '.join(CARDS)}, open_clip:MODEL/PRETRAINED, timm:MODEL "
        "and place:FILE"
    )
