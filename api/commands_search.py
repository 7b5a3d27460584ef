"""The verb `search`: by photo, text, place, time and payload."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..encoders.errors import InvalidCoordinate
from .commands_vectors import encoder_using
from .options import AsJson, GalleryName, WeightsFile, area_of, writable_target

RADIUS_KM = 25.0
Mode = Literal["alike", "place"]
EXAMPLES = {"--near": "139.76,35.67", "--box": "139.5,35.5,140.0,35.9"}


def search(
    gallery: GalleryName,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO", help="Find photos similar to this one; with --mode place, a walk of several."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Find photos of what this says.")] = None,
    near: Annotated[str | None, typer.Option(metavar="LON,LAT", help="Only photos near this point.")] = None,
    radius_km: Annotated[
        float | None, typer.Option(help=f"How near, with --near; {RADIUS_KM:g} by default.")
    ] = None,
    within: Annotated[Path | None, typer.Option(help="Only photos inside these GeoJSON polygons.")] = None,
    box: Annotated[str | None, typer.Option(metavar="W,S,E,N", help="Only photos in this box.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only photos with name=value.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="First day or moment.")] = None,
    until: Annotated[str | None, typer.Option(help="First day or moment that is out.")] = None,
    no_place: Annotated[bool, typer.Option("--no-place", help="Only photos of unknown place.")] = False,
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many.")] = 10,
    using: Annotated[
        str | None,
        typer.Option(help="Compare by these vectors, made by `vectors build`; image: the gallery's own."),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="alike: what looks like it; place: the very place, with a second look.")
    ] = "alike",
    look_again: Annotated[
        int | None, typer.Option(min=0, max=500, help="With --mode place: at so many of the first; 20.")
    ] = None,
    unsure: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="With --mode place: look again from this doubt on; 0: always."),
    ] = None,
    match_map: Annotated[
        Path | None,
        typer.Option(help="With --mode place: draw what decided the first answer into this .png."),
    ] = None,
    weights: WeightsFile = None,
    as_json: AsJson = False,
) -> None:
    """Search by photo, text, place, time and payload, alone or together.

    Examples:
      placeprint search photo.jpg --gallery trips
      placeprint search --near 139.76,35.67 --radius-km 50 --gallery trips
      placeprint search photo.jpg --within japan.geojson --where year=2018 --gallery trips
      placeprint search --text "a red brick church" --gallery trips
      placeprint search photo.jpg --mode place --gallery trips
      placeprint search walk/*.jpg --mode place --gallery walks
    """
    if photos and len(photos) > 1 and mode != "place":
        raise typer.BadParameter("several photos are searched with --mode place, as a walk; give one")
    if photos and len(photos) > 1 and (look_again, unsure, match_map) != (None, None, None):
        raise typer.BadParameter("--look-again, --unsure and --match-map are of one photo, not of a walk")
    photo = photos[0] if photos else None
    if mode != "place" and (look_again, unsure, match_map) != (None, None, None):
        raise typer.BadParameter("--look-again, --unsure and --match-map go with --mode place")
    writable_target(match_map, "--match-map", (".png",))
    if mode == "place" and (photo is None or text is not None):
        raise typer.BadParameter("--mode place looks for the place of a photo: give one, and no --text")
    from ..indexer.filters import Filter, parse_moment, parse_where
    from ..indexer.gallery import Gallery
    from ..indexer.neighbors import Neighbor
    from ..indexer.store import VECTOR
    from . import console

    point = _numbers(near, 2, "--near", "LON,LAT") if near else None
    area = _area(point, radius_km, within, box)
    filter = Filter(
        within=area,
        where=parse_where(where or []),
        captured_from=parse_moment(since) if since else None,
        captured_until=parse_moment(until) if until else None,
        is_placed=False if no_place else None,
    )
    if photo is None and text is None and filter.is_empty:
        raise typer.BadParameter(
            "give a photo, --text, --near, --box, --within, --where, --from or --no-place"
        )
    with Gallery.open(gallery) as opened:
        if photos and len(photos) > 1:
            _show_walk(opened, photos, using, weights, k, filter, as_json=as_json)
            return
        if mode == "place" and photo is not None:
            _show_place(
                opened, photo, using, weights, k, filter, look_again, unsure, match_map, as_json=as_json
            )
            return
        if photo is None and text is None:
            found = _by_distance(opened.find(filter), point)[:k]
            neighbors = [Neighbor(photo=one, similarity=0.0) for one in found]
        else:
            chosen = using or VECTOR
            asked = _query(opened, chosen, photo, text, weights)
            neighbors = opened.nearest(asked, k, filter=filter, using=chosen)
    near_point = (point[0], point[1]) if point else None
    console.show_neighbors(neighbors, near=near_point, as_json=as_json)


def _query(gallery: Any, using: str, photo: Path | None, text: str | None, weights: Path | None) -> Any:
    """One embedding for a photo, a text, or both together (the direction between them)."""
    from ..encoders.image import embed_images

    encoder = encoder_using(gallery, using, weights)
    parts = [embed_images(encoder, [photo])[0]] if photo is not None else []
    parts += [encoder.embed_texts([text])[0]] if text is not None else []
    return sum(parts[1:], start=parts[0])


def _show_place(
    gallery: Any,
    photo: Path,
    using: str | None,
    weights: Path | None,
    k: int,
    filter: Any,
    look_again: int | None,
    unsure: float | None,
    match_map: Path | None,
    *,
    as_json: bool,
) -> None:
    """Recognize the place of a photo, by vectors named ``place`` where there are any, and show it."""
    from ..encoders.location_files import write_atomically
    from ..encoders.photo import open_photo
    from ..indexer.place_matcher import LocalReader
    from ..indexer.recognize import LOOKED_AT, UNSURE, explain, recognize, vectors_to_compare
    from . import console

    using = vectors_to_compare(gallery.vectors.cards, using)
    encoder = encoder_using(gallery, using, weights)
    # Not every encoder has layers that can be read; who does not look again needs none.
    reader = None if look_again == 0 and match_map is None else LocalReader(encoder)
    found = recognize(
        gallery, encoder, photo, reader=reader, using=using, k=k, filter=filter,
        looked_at=LOOKED_AT if look_again is None else look_again,
        unsure=UNSURE if unsure is None else unsure,
    )  # fmt: skip
    console.show_recognition(found, as_json=as_json)
    if match_map is not None and reader is not None:
        from .match_picture import draw_match

        content, match = explain(gallery, reader, photo, found)
        title = f"{photo.name} and {Path(found.found[0].photo.image).name}"
        write_atomically(
            match_map, draw_match(open_photo(photo)[0], open_photo(content)[0], match, title=title)
        )
    if found.missing:
        console.warn(
            f"{len(found.missing)} photos could not be looked at again: their files are not at hand",
            as_json=as_json,
        )


def _show_walk(
    gallery: Any,
    photos: list[Path],
    using: str | None,
    weights: Path | None,
    k: int,
    filter: Any,
    *,
    as_json: bool,
) -> None:
    """Recognize where a walk has come to, by its last photos, and show it."""
    from ..encoders.image import embed_images
    from ..indexer.recognize import vectors_to_compare
    from ..indexer.recognize_walk import MOST_PHOTOS, WalkedGallery, recognize_walk
    from . import console

    using = vectors_to_compare(gallery.vectors.cards, using)
    encoder = encoder_using(gallery, using, weights)
    embeddings = embed_images(encoder, photos[-MOST_PHOTOS:])
    found = recognize_walk(WalkedGallery.of(gallery, using=using, filter=filter), embeddings, k=k)
    console.show_recognition(found, as_json=as_json)


def _numbers(text: str, n: int, option: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        raise typer.BadParameter(f"{option} {text}: expected {form}, for example {option} {EXAMPLES[option]}")
    return numbers


def _area(point: list[float] | None, radius_km: float | None, within: Path | None, box: str | None) -> Any:
    from ..encoders.areas import Box, Circle

    if sum(given is not None for given in (point, within, box)) > 1:
        raise typer.BadParameter("give one of --near, --within and --box")
    if radius_km is not None and point is None:
        raise typer.BadParameter("--radius-km goes with --near LON,LAT")
    if within is not None:
        return area_of(within)
    try:
        if point is not None:
            return Circle(point[0], point[1], RADIUS_KM if radius_km is None else radius_km)
        return Box(*_numbers(box, 4, "--box", "W,S,E,N")) if box is not None else None
    except InvalidCoordinate as error:
        typed = f"--box {box}" if box is not None else f"--near {point[0]:g},{point[1]:g}" if point else ""
        typed += "" if radius_km is None else f" --radius-km {radius_km:g}"
        raise typer.BadParameter(f"{typed}: {error}") from None


def _by_distance(photos: Any, point: list[float] | None) -> list[Any]:
    """Photos nearest to a point first, or by their key."""
    import numpy as np

    from ..encoders.sphere import great_circle_km

    found = sorted(photos, key=lambda photo: str(photo.image))
    if point is None or not found:
        return found
    distance_km = great_circle_km(np.array(point), np.array([(photo.lon, photo.lat) for photo in found]))
    return [found[row] for row in np.argsort(distance_km, kind="stable")]
