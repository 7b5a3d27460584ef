"""The verbs of region classifiers: `regions report` shows what one learned, `predict-region` asks it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands_vectors import encoder_using
from .options import AsJson, EncoderName, WeightsFile, writable_target

if TYPE_CHECKING:  # they load torch and the store, which `--help` must not
    from ..encoders.image import ImageEncoder
    from ..encoders.region_head import RegionHead
    from ..encoders.train_regions import Answers
    from ..indexer.gallery import Gallery
    from .regions_report import Elsewhere, Heat

regions_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What classifiers of regions learned."
)


@regions_app.callback()
def _group() -> None:
    """Typer makes a group of one command that command itself, but for this."""


@regions_app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of `placeprint train regions`.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write this .html; RUN/report.html.")
    ] = None,
    gallery: Annotated[
        str | None, typer.Option("--gallery", "-g", help="That the photos are in; the one learned from.")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="Another gallery to be asked about; may be given again.")
    ] = None,
    heat_maps: Annotated[
        int, typer.Option(min=0, help="Photos, the surest ones of as many regions, to show what mattered in.")
    ] = 4,
    title: Annotated[str, typer.Option(help="Heading.")] = "What regions look like",
    weights: WeightsFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what a region classifier learned, in one HTML file.

    Recall of each region with intervals, what is taken for what, the photos that look most like a region and
    those that look most like another, what it looks at in them, how far it can be believed, and nine photos
    to guess at. With --also, how it does on photos of another source.

    Example: placeprint regions report runs/wards --also phone-photos -o wards.html
    """
    from ..encoders.location_files import write_atomically
    from ..encoders.region_head import RegionHead
    from ..encoders.train_regions import ANSWERS_FILE, HEAD_FILE, read_answers
    from ..indexer.gallery import Gallery
    from . import console
    from .regions_report import regions_page

    answers = read_answers(run / ANSWERS_FILE)
    target = out or run / "report.html"
    writable_target(target, "--out", (".html",))
    head = RegionHead.load(run / HEAD_FILE)
    source = head.card["source"]
    with Gallery.open(gallery or source["gallery"]) as opened:
        read = _reader(opened)
        heats: list[Heat] = []
        if heat_maps:
            encoder = encoder_using(opened, source["vectors"], weights)
            head.require(encoder.fingerprint.id)
            with console.counting_progress("heat maps", as_json=as_json) as count:
                heats = _heats(head, encoder, answers, read, heat_maps, count)
        elsewhere = [_elsewhere(head, name, run, answers) for name in also or ()]
        page = regions_page(dict(head.card), answers, read, title=title, heats=heats, elsewhere=elsewhere)
    write_atomically(target, page.encode())
    if as_json:
        found = {one.gallery: dict(one.figures) for one in elsewhere}
        console.say("regions", report=str(target), elsewhere=found)
    else:
        for one in elsewhere:
            console.out.print(
                f"{one.gallery}: {one.n} photos, mean recall {one.figures['macro_recall']:.1%}, "
                f"right {one.figures['accuracy']:.1%}",
                markup=False,
            )
        console.out.print(f"report: {target}", soft_wrap=True, markup=False)


def predict_region(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos to ask about.")],
    model: Annotated[
        Path, typer.Option("--model", "-m", help="region-head.safetensors of `placeprint train regions`.")
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="Regions to name.")] = 3,
    heat_map: Annotated[
        Path | None, typer.Option(help="Draw what spoke for the first answer into this .png; of one photo.")
    ] = None,
    encoder: EncoderName = None,
    weights: WeightsFile = None,
    as_json: AsJson = False,
) -> None:
    """Say in which region photos were taken, by their look alone.

    The probabilities are those of a classifier that knows its regions and no others, and to which all of
    them are equally likely beforehand.

    Example: placeprint predict-region photo.jpg --model runs/wards/region-head.safetensors
    """
    writable_target(heat_map, "--heat-map", (".png",))
    if heat_map is not None and len(photos) > 1:
        raise typer.BadParameter("--heat-map is drawn of one photo")
    import numpy as np

    from ..encoders.errors import UnreadableImage
    from ..encoders.image import embed_images
    from ..encoders.location_files import write_atomically
    from ..encoders.region_head import RegionHead
    from . import console
    from .exits import PARTLY_FAILED

    head = RegionHead.load(model)
    loaded = _encoder_of(head, encoder, weights)
    n_failed = 0
    for photo in photos:
        try:
            log_p = head.log_probabilities(embed_images(loaded, [photo]))[0]
        except UnreadableImage as error:
            n_failed += 1
            console.show_failure(str(photo), str(error), as_json=as_json)
            continue
        order = np.argsort(-log_p, kind="stable")[:k]
        found = [(head.names[one], float(np.exp(log_p[one]))) for one in order]
        if as_json:
            said = [{"region": name, "probability": p} for name, p in found]
            console.say("region", image=str(photo), regions=said)
        else:
            words = ", ".join(f"{name} {p:.0%}" for name, p in found)
            console.out.print(f"{photo}: {words}", markup=False, soft_wrap=True)
        if heat_map is not None:
            with console.counting_progress("heat map", as_json=as_json) as count:
                heat = _heat(head, loaded, photo, int(order[0]), photo.name, count)
            write_atomically(heat_map, heat[0])
            if as_json:
                console.say("heat_map", image=str(photo), file=str(heat_map), says=heat[1])
            else:
                console.out.print(f"  {heat[1]}", markup=False, soft_wrap=True)
    if n_failed:
        raise typer.Exit(PARTLY_FAILED if n_failed < len(photos) else 1)


def _reader(gallery: "Gallery") -> Callable[[str], bytes | None]:
    """Reads files of a gallery's photos by id; None where one is not at hand."""
    from ..encoders.errors import UnreadableImage
    from ..indexer.originals import read_original

    def read(id: str) -> bytes | None:
        try:
            return read_original(id, gallery.state.keys.get(id, ()))
        except UnreadableImage:
            return None

    return read


def _encoder_of(head: "RegionHead", name: str | None, weights: Path | None) -> "ImageEncoder":
    """The encoder that a classifier reads, by the name it was trained with, and its weights."""
    from ..encoders.catalog import load_encoder
    from ..encoders.errors import UnknownGallery
    from ..indexer.gallery import Gallery

    source = head.card["source"]
    if name is None and weights is None:
        try:
            with Gallery.open(source["gallery"]) as opened:
                loaded = encoder_using(opened, source["vectors"], None)
                head.require(loaded.fingerprint.id)
                return loaded
        except UnknownGallery:
            pass  # it was trained elsewhere, or the gallery is gone
    loaded = load_encoder(name or source["encoder"], weights=weights)
    head.require(loaded.fingerprint.id)
    return loaded


def _heats(
    head: "RegionHead",
    encoder: "ImageEncoder",
    answers: "Answers",
    read: Callable[[str], bytes | None],
    n: int,
    count: Callable[[int, int], None],
) -> "list[Heat]":
    """What spoke for the surest right answer of each of n regions, the surest regions first."""
    from .regions_report import Heat, top_photos

    tops = []
    for region in range(len(answers.names)):
        row = top_photos(answers, region, n=1)[0]
        if int(answers.log_p[row].argmax()) == region:
            tops.append((-float(answers.log_p[row, region]), row, region))
    found = []
    chosen = sorted(tops)[:n]
    for number, (_, row, region) in enumerate(chosen):
        content = read(answers.ids[row])
        if content is None:
            continue

        def along(done: int, total: int, before: int = number) -> None:
            count(before * total + done, len(chosen) * total)

        picture, words = _heat(head, encoder, content, region, answers.names[region], along)
        found.append(Heat(id=answers.ids[row], picture=picture, words=words))
    return found


def _heat(
    head: "RegionHead",
    encoder: "ImageEncoder",
    photo: Any,
    region: int,
    title: str,
    count: Callable[[int, int], None],
) -> tuple[bytes, str]:
    """What in a photo speaks for a region, in bits of its odds: a picture, and the same in words."""
    import numpy as np

    from ..encoders.heat_map import heat_map
    from ..encoders.photo import open_photo
    from .heat_picture import draw_heat, heat_in_words

    heat = heat_map(
        encoder, photo, lambda embeddings: head.log_odds(embeddings, region) / np.log(2.0), progress=count
    )
    name = head.names[region]
    picture = draw_heat([open_photo(photo)[0]], [heat], title=title, about=f"What speaks for {name}")
    return picture, heat_in_words(heat, name)


def _elsewhere(head: "RegionHead", name: str, run: Path, answers: "Answers") -> "Elsewhere":
    """How a classifier does on the photos of another gallery."""
    from ..indexer.gallery import Gallery
    from ..indexer.region_elsewhere import ask_elsewhere
    from ..indexer.region_photos import REGIONS_FILE, Regionalization
    from .regions_report import Elsewhere

    with Gallery.open(name) as other:
        n, figures = ask_elsewhere(
            head, other, Regionalization.read(run / REGIONS_FILE),
            using=head.card["source"]["vectors"], known=set(answers.ids),
        )  # fmt: skip
    return Elsewhere(gallery=name, n=n, figures=figures)
