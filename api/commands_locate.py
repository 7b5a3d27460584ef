"""The verbs of geolocation: locate and evaluate."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..encoders.errors import UnreadableImage
from .exits import FAILED, PARTLY_FAILED
from .options import AsJson, GalleryName, WeightsFile, encoder_of, writable_target


def locate(
    photos: Annotated[list[Path], typer.Argument(help="Photos to locate, each by itself.")],
    gallery: GalleryName,
    map: Annotated[Path | None, typer.Option(help="Write a map: .png, or .html with the evidence.")] = None,
    tiles: Annotated[
        str | None, typer.Option(help="Background from the network: OpenStreetMap.Mapnik …")
    ] = None,
    countries: Annotated[
        Path | None, typer.Option(help="Polygons to name countries by, any vector file.")
    ] = None,
    states: Annotated[Path | None, typer.Option(help="Polygons to name states by.")] = None,
    same_place: Annotated[bool, typer.Option(help="All the photos show one place.")] = False,
    prior: Annotated[
        Literal["gallery", "uniform", "population"],
        typer.Option(help="What counts before the photo is looked at: the gallery's places, area, people."),
    ] = "gallery",
    weights: WeightsFile = None,
    as_json: AsJson = False,
) -> None:
    """Say where photos were taken, how sure that is, and by which photos.

    Example: placeprint locate photo.jpg --gallery trips --map out.html
    """
    from ..indexer.filters import Filter
    from ..indexer.gallery import Gallery
    from ..indexer.locator import Locator
    from . import console

    writable_target(map, "--map", (".png", ".html"))
    if map is not None and len(photos) > 1 and not same_place:
        raise typer.BadParameter("--map takes one photo, or several with --same-place")
    polygons = {"countries": _polygons(countries), "states": _polygons(states)}
    failures: dict[Path, str] = {}
    with Gallery.open(gallery) as opened:
        asked = _embedded(photos, encoder_of(opened, weights), failures, as_json=as_json)
        locator = None
        for group in _questions(asked, same_place=same_place):
            if locator is None:
                with console.counting_progress("calibrating", as_json=as_json) as counting:
                    stage = console.telling("calibrating", as_json=as_json)
                    locator = Locator(opened, progress=counting, stage=stage)
            # A photo that is in the gallery must not answer for itself.
            others = Filter(exclude_ids=frozenset(id for _, id, _ in group))
            embedding = sum(embedding for _, _, embedding in group)
            location, neighbors = locator.locate(embedding, filter=others, prior=prior, **polygons)
            shown = [photo for photo, _, _ in group]
            if as_json:
                images: dict[str, Any] = {"images": [str(photo) for photo in shown]} if same_place else {}
                console.say("location", image=str(shown[0]), **images, **location.to_dict())
            else:
                console.show_location(location, _title(shown))
            if map is not None:
                _write_map(map, shown, location, neighbors, opened.placed()[1], tiles)
    if failures:
        raise typer.Exit(FAILED if len(failures) == len(photos) else PARTLY_FAILED)


def evaluate(
    gallery: GalleryName,
    queries: Annotated[
        Path | None, typer.Argument(help="Photos of known place, any source; by default the gallery's own.")
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Column of what belongs together; it is hidden from its own photos.")
    ] = None,
    exclude_km: Annotated[float, typer.Option(min=0.0, help="Hide nearer photos of the gallery too.")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="Write all figures as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw errors and calibration: .png, .svg or .pdf.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of folds, samples and the bootstrap.")] = 0,
    weights: WeightsFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure geolocation against prior, random photo and nearest photo, with intervals.

    Photos that are in the gallery do not see themselves nor their group, and the probabilities
    that judge them are fitted on other groups. Example: placeprint evaluate queries.csv -g trips
    """
    from ..indexer.evaluate import evaluate_gallery, evaluate_source
    from ..indexer.gallery import Gallery
    from ..indexer.sources import list_source
    from . import console

    writable_target(out, "--out", ())
    writable_target(plot, "--plot", (".png", ".svg", ".pdf"))
    items = None if queries is None else list_source(queries, group_column=group_column)
    for note in items.notes if items is not None else ():
        console.warn(note, as_json=False)
    skipped: list[str] = []
    with (
        Gallery.open(gallery) as opened,
        console.counting_progress("evaluating", as_json=as_json) as counting,
    ):
        if items is None:
            figures = evaluate_gallery(opened, exclude_km=exclude_km, seed=seed, progress=counting)
        else:
            figures, skipped = evaluate_source(
                items,
                opened,
                encoder_of(opened, weights),
                exclude_km=exclude_km,
                seed=seed,
                progress=counting,
            )
    if as_json:
        typer.echo(json.dumps(figures.to_dict()))
    else:
        console.out.print(figures.table())
        console.out.print(figures.summary(), markup=False)
    if skipped:
        console.err.print(f"{len(skipped)} photos were left out; the first: {skipped[0]}", soft_wrap=True)
    if out is not None:
        out.write_text(json.dumps(figures.to_dict(), indent=1))
    if plot is not None:
        figures.plot(plot)


def _polygons(path: Path | None) -> Any:
    from ..indexer.regions import load_regions

    return None if path is None else load_regions(path)


def _embedded(
    photos: Sequence[Path], encoder: Any, failures: dict[Path, str], *, as_json: bool
) -> Iterator[tuple[Path, str, Any]]:
    """Each readable photo with its id and embedding; the others are named and noted.

    Raises:
        UnreadableImage: the only photo asked about is none.
    """
    from ..encoders.image import embed_images
    from ..indexer.record import photo_id_of
    from . import console

    for photo in photos:
        try:
            embedding = embed_images(encoder, [photo])[0]
            id = photo_id_of(photo.read_bytes())
        except UnreadableImage as error:
            if len(photos) == 1:
                raise
            failures[photo] = str(error)
            console.show_failure(str(photo), str(error), as_json=as_json)
            continue
        yield photo, id, embedding


def _questions(asked: Iterator[Any], *, same_place: bool) -> Iterator[list[Any]]:
    """The photos by what they are asked for: each by itself, or all that there are together."""
    if not same_place:
        yield from ([one] for one in asked)
    elif together := list(asked):
        yield together


def _title(photos: Sequence[Path]) -> str:
    return photos[0].name if len(photos) == 1 else f"{len(photos)} photos of one place"


def _write_map(
    path: Path, photos: Sequence[Path], location: Any, neighbors: Any, lonlat: Any, tiles: str | None
) -> None:
    from ..encoders.photo import open_photo
    from .maps import draw_location
    from .pages import location_page, thumbnail

    near = draw_location(location, None, gallery_lonlat=lonlat, neighbors=neighbors, tiles=tiles)
    if path.suffix.lower() == ".png":
        path.write_bytes(near)
        return
    page = location_page(
        location,
        photos=[open_photo(photo)[0] for photo in photos],
        maps={
            "near": near,
            "world": draw_location(location, None, gallery_lonlat=lonlat, neighbors=neighbors, view="world"),
        },
        neighbors=neighbors,
        thumbnails=[thumbnail(one.image) for one in neighbors.photos[:12]],
        title=_title(photos),
    )
    path.write_text(page, encoding="utf-8")
