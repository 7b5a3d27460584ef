"""The verb that places photos: locate."""

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
    heat_map: Annotated[
        Path | None, typer.Option(help="Draw over the photo what in it spoke for the place: .png.")
    ] = None,
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
    from ..indexer.explanation import decisive_cells
    from ..indexer.filters import Filter
    from ..indexer.gallery import Gallery
    from ..indexer.locator import Locator
    from . import console

    writable_target(map, "--map", (".png", ".html"))
    writable_target(heat_map, "--heat-map", (".png",))
    for path, option in ((map, "--map"), (heat_map, "--heat-map")):
        if path is not None and len(photos) > 1 and not same_place:
            raise typer.BadParameter(f"{option} takes one photo, or several with --same-place")
    if map is not None and heat_map is not None and map.resolve() == heat_map.resolve():
        raise typer.BadParameter(f"--map and --heat-map both write {map}; give them two files")
    polygons = {"countries": _polygons(countries), "states": _polygons(states)}
    failures: dict[Path, str] = {}
    with Gallery.open(gallery) as opened:
        encoder = encoder_of(opened, weights)
        asked = _embedded(photos, encoder, failures, as_json=as_json)
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
            cells = decisive_cells(location, locator.prior) if as_json or map is not None else []
            if as_json:
                images: dict[str, Any] = {"images": [str(photo) for photo in shown]} if same_place else {}
                told = [cell._asdict() for cell in cells]
                console.say("location", image=str(shown[0]), **images, **location.to_dict(), cells=told)
            else:
                console.show_location(location, _title(shown))
            heat = None
            if heat_map is not None:
                with console.counting_progress("heat map", as_json=as_json) as counting:
                    asked_of = {"filter": others, "prior": prior}
                    heat = _heat(locator, encoder, group, location, asked_of, counting)
                heat_map.write_bytes(heat[0])
                if as_json:
                    console.say("heat_map", image=str(shown[0]), file=str(heat_map), says=heat[1])
                else:
                    console.out.print(f"  photo       {heat[1]}", markup=False, soft_wrap=True)
            if map is not None:
                _write_map(map, shown, location, neighbors, opened.placed()[1], tiles, heat, cells)
    if failures:
        raise typer.Exit(FAILED if len(failures) == len(photos) else PARTLY_FAILED)


def _heat(
    locator: Any, encoder: Any, group: Sequence[Any], location: Any, asked_of: dict[str, Any], counting: Any
) -> tuple[bytes, str]:
    """What in the photos spoke for the answered point: a picture, and the same in words.

    Of several photos of one place, parts of each are hidden in turn while the others stay whole.
    """
    from ..encoders.heat_map import heat_map
    from ..encoders.photo import open_photo
    from ..indexer.heat import density_score
    from .heat_picture import draw_heat, heat_in_words

    maps, point = [], (location.lon, location.lat)
    for number, (photo, _, embedding) in enumerate(group):
        rest = sum(other for _, _, other in group) - embedding if len(group) > 1 else None
        score = density_score(locator, point, others=rest, **asked_of)

        def count(done: int, total: int, before: int = number) -> None:
            counting(before * total + done, len(group) * total)

        maps.append(heat_map(encoder, photo, score, progress=count))
    shown = [photo for photo, _, _ in group]
    picture = draw_heat(
        [open_photo(photo)[0] for photo in shown], maps, title=_title(shown), location=location
    )
    place = "the most probable place" if location.abstain else "this place"
    said = [heat_in_words(heat, place) for heat in maps]
    if len(said) > 1:
        said = [f"{photo.name}: {words}" for photo, words in zip(shown, said, strict=True)]
    return picture, " ".join(said)


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
    path: Path,
    photos: Sequence[Path],
    location: Any,
    neighbors: Any,
    lonlat: Any,
    tiles: str | None,
    heat: tuple[bytes, str] | None,
    cells: Sequence[Any],
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
        heat=heat,
        cells=cells,
    )
    path.write_text(page, encoding="utf-8")
