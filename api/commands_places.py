"""The verbs for places: `places build` embeds places of a map, `places like` finds others like some."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..encoders.errors import InvalidCoordinate, InvalidOption
from .cells import _progress
from .commands_maps import length_m
from .options import AsJson, GalleryName, area_of, writable_target

if TYPE_CHECKING:  # they load torch and the store, which `--help` must not
    import numpy as np
    from numpy.typing import NDArray

    from ..encoders.areas import Area
    from ..indexer.place_embedder import PlaceEmbedder
    from ..indexer.place_list import PlaceList
    from ..indexer.places import PlacesReport

places_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Embed places of a map, and find places like one."
)
Mosaics = Annotated[
    list[Path] | None, typer.Option("--mosaic", "-m", help="A map to look at; several times for several.")
]
MapEncoderFile = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="Map encoder: placeprint-streets-v1, placeprint-regions-v1 or FILE.safetensors; by default "
        "what fits the finest zoom of the maps.",
    ),
]
StudentFile = Annotated[
    str | None,
    typer.Option(help="Student of the encoder, for places beyond the maps: a name or FILE.safetensors."),
]
WithinFile = Annotated[Path | None, typer.Option(help="Only places inside these GeoJSON polygons.")]
InBox = Annotated[str | None, typer.Option("--box", metavar="W,S,E,N", help="Only places in this box.")]


@places_app.command()
def build(
    gallery: GalleryName,
    mosaic: Mosaics = None,
    area: Annotated[Path | None, typer.Option(help="A grid inside these GeoJSON polygons.")] = None,
    box: Annotated[str | None, typer.Option("--box", metavar="W,S,E,N", help="A grid in this box.")] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="The places of this table with columns lon, lat.")
    ] = None,
    spacing: Annotated[str, typer.Option(help="Of the grid: 500m, 2km.")] = "500m",
    encoder: MapEncoderFile = None,
    student: StudentFile = None,
    as_json: AsJson = False,
) -> None:
    """Embed places of a map into a gallery. The same command resumes after an interruption.

    Without --area, --box and --list: a grid all over the maps. Places of which the maps know too
    little are left out and counted. Without --mosaic a student embeds coordinates alone.

    A gallery of photos keeps its photos: the maps are looked at where they were taken, and what they
    show is kept beside each photo. Do it again when photos have come in, or were moved.

    Examples:
      placeprint places build --gallery li --mosaic li.tif --spacing 500m
      placeprint places build --gallery stations --mosaic jp.tif --list stations.csv
      placeprint places build --gallery trips --mosaic jp.tif
    """
    asked = [name for name, given in (("--area", area), ("--box", box), ("--list", list_file)) if given]
    if len(asked) > 1:
        raise typer.BadParameter(f"{' and '.join(asked)} each say which places: give one of them")
    spacing_m = length_m(spacing)
    from ..indexer.gallery_files import gallery_config
    from ..indexer.place_card import is_of_photos, is_of_places
    from ..indexer.place_opening import open_or_make
    from ..indexer.places import build_places, look_around_photos
    from . import console, places_report

    config = gallery_config(gallery)
    if not asked and not mosaic and config is None:
        raise typer.BadParameter(
            "say which places: --area, --box or --list; or all over a map with --mosaic FILE"
        )
    if asked and is_of_photos(config):
        raise typer.BadParameter(
            f"gallery {gallery!r} holds photos, and the maps are looked at where these are; for the places "
            f"of {asked[0]} name another --gallery"
        )
    as_json = as_json or not console.out.is_terminal
    # Read before the gallery is made: a wrong file leaves no empty one behind.
    places = None if not asked else _wanted(area, box, list_file, spacing_m)
    if places is not None and not len(places) and (area or box):
        raise typer.BadParameter(f"no place of a grid of {spacing} lies in there; a finer --spacing has some")
    opened, embedder = open_or_make(gallery, mosaics=mosaic or (), encoder=encoder, student=student)
    with opened:
        try:
            with _progress(as_json=as_json) as progress:

                def tell(report: "PlacesReport", total: int) -> None:
                    progress("looking", report.n_done, total)

                if is_of_places(opened):
                    places = places if places is not None else _all_over(embedder, spacing_m)
                    report = build_places(opened, places, embedder, progress=tell)
                else:
                    report = look_around_photos(opened, embedder, progress=tell)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; what was embedded is kept in gallery {gallery}. To go on, type the same "
                "command again"
            ) from None
        places_report.show_built(report, opened, as_json=as_json)


@places_app.command()
def like(
    point: Annotated[str, typer.Argument(metavar="LON,LAT", help="Find places like this one, degrees.")],
    gallery: GalleryName,
    also: Annotated[
        list[str] | None, typer.Option("--and", metavar="LON,LAT", help="And like this one; repeatable.")
    ] = None,
    unlike: Annotated[
        list[str] | None, typer.Option(metavar="LON,LAT", help="But unlike this one; repeatable.")
    ] = None,
    unlike_weight: Annotated[float, typer.Option(help="How much unlike places count.")] = 0.5,
    within: WithinFile = None,
    box: InBox = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many.")] = 12,
    apart: Annotated[
        str | None, typer.Option(help="Least distance from what was asked: 2km; a map's width by default.")
    ] = None,
    near_each_other: Annotated[
        bool, typer.Option("--near-each-other", help="Answers may overlap one another.")
    ] = False,
    sheet: Annotated[Path | None, typer.Option(help="Draw the maps of all into this .png.")] = None,
    style: Annotated[str, typer.Option(help="Of the sheet: plain, dark or contrast.")] = "plain",
    mosaic: Mosaics = None,
    encoder: MapEncoderFile = None,
    student: StudentFile = None,
    as_json: AsJson = False,
) -> None:
    """Find places whose map is like that of one or several places, and unlike others.

    A place that the gallery has not is looked up in its maps. --mosaic, --encoder and --student say
    where a file is now that was moved; the gallery remembers. A point west of Greenwich begins with a
    dash: write -- before it.

    Examples:
      placeprint places like 9.5215,47.1410 --gallery li --sheet like.png
      placeprint places like 9.5215,47.1410 --unlike 9.5090,47.2200 --gallery li -k 20
      placeprint places like --gallery ca -- -122.42,37.77
    """
    writable_target(sheet, "--sheet", (".png",))
    asked = _points([point, *(also or [])]), _points(unlike or [])
    area = _area_of(within, box)
    apart_m = None if apart is None else 0.0 if apart.strip() in ("0", "0m", "0km") else length_m(apart)
    if sheet is not None:
        from ..encoders.mosaics.styles import style_named

        style_named(style)
    from ..indexer.filters import Filter
    from ..indexer.gallery import Gallery
    from ..indexer.place_embedder import embedded_in
    from ..indexer.place_opening import is_redrawn, open_embedder
    from ..indexer.places_like import direction, likest
    from . import console, places_report

    with Gallery.open(gallery) as opened:
        embedder, card = open_embedder(opened, mosaics=mosaic or (), encoder=encoder, student=student)
        if is_redrawn(opened, card):
            console.warn(
                f"a map of gallery {gallery} was drawn anew since it was looked at; look again with: "
                f"placeprint places build --gallery {gallery}", as_json=as_json,
            )  # fmt: skip
        elif mosaic or encoder or student:
            card.keep(opened, embedder.fingerprint)
        liked, disliked = (embedded_in(opened, points, embedder) for points in asked)
        together = direction(liked.embeddings, disliked.embeddings, unlike_weight=unlike_weight)
        found = likest(
            opened, together, k, like=liked.lonlat, unlike=disliked.lonlat,
            apart_m=embedder.ground_m if apart_m is None else apart_m,
            is_thinned=not near_each_other, filter=Filter(within=area),
        )  # fmt: skip
        z_scores = places_report.z_scores(opened, together, found)
    if sheet is not None:
        places_report.draw(
            sheet, embedder.maps, liked, disliked, found, embedder.ground_m, card.credit, style, gallery
        )
    places_report.show_found(liked, disliked, found, z_scores, card.credit, sheet, as_json=as_json)


def _wanted(area: Path | None, box: str | None, list_file: Path | None, spacing_m: float) -> "PlaceList":
    from ..indexer.place_grid import grid_places
    from ..indexer.place_list import listed
    from ..indexer.place_list_file import read_place_list

    if list_file is not None:
        return read_place_list(list_file)
    chosen = _area_of(area, box)
    assert chosen is not None
    return listed(grid_places(chosen, spacing_m), f"grid {spacing_m:g} m")


def _all_over(embedder: "PlaceEmbedder", spacing_m: float) -> "PlaceList":
    """A grid all over the maps."""
    import numpy as np

    from ..indexer.place_grid import grid_places
    from ..indexer.place_list import listed

    if embedder.maps is None:
        raise typer.BadParameter("without a map, say which places: --area, --box or --list")
    grids = [grid_places(box, spacing_m) for box in embedder.maps.boxes]
    return listed(np.concatenate(grids), f"grid {spacing_m:g} m")


def _area_of(within: Path | None, box: str | None) -> "Area | None":
    from ..encoders.areas import Box

    if within is not None and box is not None:
        raise typer.BadParameter("polygons and --box each say where: give one of them")
    if within is not None:
        return area_of(within)
    try:
        return None if box is None else Box(*_numbers(box, 4, "W,S,E,N"))
    except InvalidCoordinate as error:
        raise typer.BadParameter(f"--box {box}: {error}") from None


def _points(texts: list[str]) -> "NDArray[np.float64]":
    import numpy as np

    from ..encoders.sphere import as_lonlat

    try:
        return as_lonlat(np.array([_numbers(text, 2, "LON,LAT") for text in texts]).reshape(-1, 2))
    except InvalidCoordinate as error:
        raise InvalidOption(f"{' '.join(texts)}: {error}") from None


def _numbers(text: str, n: int, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        raise InvalidOption(f"{text!r}: write {form} as {n} numbers in degrees, with commas and no spaces")
    return numbers
