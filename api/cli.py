"""The command line: ``placeprint VERB``. Each verb is a few calls of the layers below.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partly failed (some photos could not be indexed).
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from .. import __version__
from ..encoders.errors import PlaceprintError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="An embedding for every photo and every place on Earth: index, search and geolocate photos.",
)

GalleryName = Annotated[str, typer.Option("--gallery", "-g", help="Name of the gallery.")]
EncoderName = Annotated[
    str | None,
    typer.Option(help="Encoder: a name from `placeprint models`, open_clip:MODEL/WEIGHTS or timm:MODEL."),
]
WeightsFile = Annotated[Path | None, typer.Option(help="Local safetensors weights for the encoder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Lines of JSON instead of text.")]


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(f"placeprint {__version__}")
        raise typer.Exit


@app.command()
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
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding processes; all cores by default.")
    ] = None,
    calibrate: Annotated[bool, typer.Option(help="Fit the geolocation when done.")] = True,
    as_json: AsJson = False,
) -> None:
    """Index photos. The same command resumes after an interruption and updates later.

    Example: placeprint index ~/Pictures --gallery trips
    """
    from ..encoders.errors import NothingToLocateWith
    from ..indexer import ingest
    from ..indexer.locator import Locator
    from ..indexer.sources import list_source
    from . import console

    as_json = as_json or not console.out.is_terminal
    items = list_source(source, group_column=group_column)
    loaded, name, weights = _load_encoder(gallery, encoder, weights)
    from ..indexer.gallery import Gallery

    with Gallery.open_or_create(gallery, loaded.fingerprint, encoder=name, weights=weights) as opened:
        with console.indexing_progress(as_json=as_json) as progress:
            report = ingest.index(
                items, opened, loaded,
                retry_failed=retry_failed, prune=prune, workers=workers, progress=progress,
            )  # fmt: skip
        if calibrate:
            with console.counting_progress("calibrating", as_json=as_json) as counting:
                try:
                    Locator(opened, progress=counting)
                except NothingToLocateWith:
                    pass  # a gallery for searching only
        failures = ingest.failures_file(opened)
        console.show_report(report, gallery, len(opened), failures, as_json=as_json)
    if report.is_partly_failed:
        raise typer.Exit(3)


@app.command()
def search(
    gallery: GalleryName,
    photo: Annotated[Path | None, typer.Argument(help="Find photos similar to this one.")] = None,
    text: Annotated[str | None, typer.Option(help="Find photos of what this says.")] = None,
    near: Annotated[str | None, typer.Option(metavar="LON,LAT", help="Only photos near this point.")] = None,
    radius_km: Annotated[float, typer.Option(help="How near, with --near.")] = 25.0,
    within: Annotated[Path | None, typer.Option(help="Only photos inside these GeoJSON polygons.")] = None,
    box: Annotated[str | None, typer.Option(metavar="W,S,E,N", help="Only photos in this box.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only photos with name=value.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="First day or moment.")] = None,
    until: Annotated[str | None, typer.Option(help="First day or moment that is out.")] = None,
    no_place: Annotated[bool, typer.Option("--no-place", help="Only photos of unknown place.")] = False,
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Search by photo, text, place, time and payload, alone or together.

    Examples:
      placeprint search photo.jpg --gallery trips
      placeprint search --near 139.76,35.67 --radius-km 50 --gallery trips
      placeprint search photo.jpg --within japan.geojson --where year=2018 --gallery trips
      placeprint search --text "a red brick church" --gallery trips
    """
    from ..indexer.filters import Filter, parse_moment, parse_where
    from ..indexer.gallery import Gallery, Neighbor
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
        if photo is None and text is None:
            found = _by_distance(opened.find(filter), point)[:k]
            neighbors = [Neighbor(photo=one, similarity=0.0) for one in found]
        else:
            neighbors = opened.nearest(_query(opened, photo, text), k, filter=filter)
    near_point = (point[0], point[1]) if point else None
    console.show_neighbors(neighbors, near=near_point, as_json=as_json)


@app.command()
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
    as_json: AsJson = False,
) -> None:
    """Say where photos were taken, how sure that is, and by which photos.

    Example: placeprint locate photo.jpg --gallery trips --map out.html
    """
    from ..encoders.image import embed_images
    from ..indexer.filters import Filter
    from ..indexer.gallery import Gallery
    from ..indexer.ledger import photo_id_of
    from ..indexer.locator import Locator
    from . import console

    if map is not None and map.suffix.lower() not in (".png", ".html"):
        raise typer.BadParameter(f"--map {map}: write .png or .html")
    if map is not None and len(photos) > 1 and not same_place:
        raise typer.BadParameter("--map takes one photo, or several with --same-place")
    polygons = {"countries": _polygons(countries), "states": _polygons(states)}
    with Gallery.open(gallery) as opened:
        embeddings = embed_images(_encoder_of(opened), photos)
        if same_place:
            embeddings = embeddings.mean(axis=0, keepdims=True)
        with console.counting_progress("calibrating", as_json=as_json) as counting:
            locator = Locator(opened, progress=counting)
        # A photo that is in the gallery must not answer for itself.
        others = Filter(exclude_ids=frozenset(photo_id_of(photo.read_bytes()) for photo in photos))
        for photo, embedding in zip(photos, embeddings, strict=False):
            location, neighbors = locator.locate(embedding, filter=others, **polygons)
            if as_json:
                console.say("location", image=str(photo), **location.to_dict())
            else:
                console.show_location(location, photo.name if not same_place else "these photos")
            if map is not None:
                _write_map(map, photo, location, neighbors, opened.placed()[1], tiles)


@app.command()
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
    plot: Annotated[Path | None, typer.Option(help="Draw errors and calibration as PNG.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of folds, samples and the bootstrap.")] = 0,
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

    items = list_source(queries, group_column=group_column) if queries else None
    skipped: list[str] = []
    with (
        Gallery.open(gallery) as opened,
        console.counting_progress("neighbors", as_json=as_json) as counting,
    ):
        if items is None:
            figures = evaluate_gallery(opened, exclude_km=exclude_km, seed=seed, progress=counting)
        else:
            figures, skipped = evaluate_source(
                items, opened, _encoder_of(opened), exclude_km=exclude_km, seed=seed, progress=counting
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


@app.command()
def galleries(as_json: AsJson = False) -> None:
    """List the galleries."""
    from ..indexer.gallery import gallery_config, gallery_names
    from . import console

    for name in gallery_names():
        config = gallery_config(name) or {}
        if as_json:
            console.say(
                "gallery", name=name, encoder=config["encoder"], store=config["qdrant_url"] or "folder"
            )
        else:
            console.out.print(f"{name:<24} {config['encoder']}", soft_wrap=True)


@app.command()
def delete(
    gallery: GalleryName,
    ids: Annotated[list[str], typer.Argument(help="Ids of photos, as `search --json` shows them.")],
) -> None:
    """Take photos out of a gallery. Their files stay, and indexing them again brings them back."""
    from ..indexer.gallery import Gallery

    with Gallery.open(gallery) as opened:
        typer.echo(f"{opened.delete(ids)} photos taken out of {gallery}")


@app.command()
def optimize(gallery: GalleryName) -> None:
    """Build the search index: worth it from some ten thousand photos on."""
    from ..indexer.gallery import Gallery

    with Gallery.open(gallery) as opened:
        opened.optimize()
        typer.echo(f"gallery {gallery}: index built over {len(opened)} photos")


@app.command()
def rebuild(gallery: GalleryName) -> None:
    """Make the vector store anew from the ledger, whatever is left of the old one."""
    from ..indexer.gallery import Gallery

    with Gallery.open(gallery, is_rebuilt=True) as opened:
        typer.echo(f"gallery {gallery}: {len(opened)} photos")


@app.command()
def models() -> None:
    """Show the cards of the encoders."""
    from ..encoders.catalog import CARDS

    for card in CARDS.values():
        typer.echo(f"{card.name}: {card.backend} {card.model} {card.pretrained}, {card.dimension}-d")
        for title in ("licence", "training_data", "source", "sha256", "known_failures", "reason"):
            typer.echo(f"  {title.replace('_', ' ')}: {getattr(card, title)}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to put photos, gallery and report.")] = Path("demo"),
    photos: Annotated[Path | None, typer.Option(help="Your own photos instead of drawn scenes.")] = None,
    n_scenes: Annotated[int, typer.Option(min=50, help="How many scenes to draw.")] = 1500,
    encoder: EncoderName = None,
    weights: WeightsFile = None,
) -> None:
    """Run everything once, on drawn scenes or on your photos, and leave a report to look at."""
    from .demo import run_demo

    run_demo(folder, photos=photos, n_scenes=n_scenes, encoder=encoder, weights=weights)


@app.command()
def serve(
    gallery: Annotated[str, typer.Option("--gallery", "-g", help="By default the only one there is.")] = "",
    host: Annotated[str, typer.Option(envvar="PLACEPRINT_HOST", help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PLACEPRINT_PORT", help="0 for any that is free.")] = 8000,
) -> None:
    """Serve a gallery over HTTP on this machine; PLACEPRINT_PRECISION caps what is told of places.

    Example: placeprint serve --gallery trips
    """
    from .app import run_server

    run_server(gallery, host, port)


def main() -> None:
    """Run the command line; errors that the user can mend come without a traceback."""
    from . import console

    try:
        app()
    except PlaceprintError as error:
        console.fail(str(error))
    except ValidationError as error:
        console.fail(f"a setting in the environment is wrong: {error}")
    except KeyboardInterrupt:
        console.fail("interrupted; the same command goes on where this one stopped", 130)
    except BrokenPipeError:  # `placeprint search … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno is None or os.environ.get("PLACEPRINT_TRACEBACK"):
            raise
        console.fail(f"{error.filename or 'the disk'}: {error.strerror}")


# --- shared by the verbs ---------------------------------------------------------------------------


def _load_encoder(gallery: str, name: str | None, weights: Path | None) -> tuple[Any, str, Path | None]:
    """The encoder asked for; without a word the gallery's own, and for a new gallery the default."""
    from ..encoders.catalog import DEFAULT, load_encoder
    from ..indexer.gallery import gallery_config

    config = gallery_config(gallery)
    if config is not None and name is None:
        name = config["encoder"]
        weights = weights or (Path(config["weights"]) if config["weights"] else None)
    name = name or DEFAULT
    return load_encoder(name, weights=weights), name, weights


def _encoder_of(gallery: Any) -> Any:
    from ..encoders.catalog import load_encoder

    loaded = load_encoder(gallery.encoder, weights=gallery.weights)
    gallery.check(loaded.fingerprint)
    return loaded


def _query(gallery: Any, photo: Path | None, text: str | None) -> Any:
    """One embedding for a photo, a text, or both together (the direction between them)."""
    from ..encoders.image import embed_images

    encoder = _encoder_of(gallery)
    parts = [embed_images(encoder, [photo])[0]] if photo is not None else []
    parts += [encoder.embed_texts([text])[0]] if text is not None else []
    return sum(parts[1:], start=parts[0])


def _numbers(text: str, n: int, option: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        raise typer.BadParameter(f"{option} {text}: expected {form}, for example {option} 139.76,35.67")
    return numbers


def _area(point: list[float] | None, radius_km: float, within: Path | None, box: str | None) -> Any:
    from ..encoders.areas import Box, Circle, load_area

    if sum(given is not None for given in (point, within, box)) > 1:
        raise typer.BadParameter("give one of --near, --within and --box")
    if point is not None:
        return Circle(point[0], point[1], radius_km)
    if box is not None:
        return Box(*_numbers(box, 4, "--box", "W,S,E,N"))
    return load_area(within) if within is not None else None


def _by_distance(photos: Any, point: list[float] | None) -> list[Any]:
    """Photos nearest to a point first, or by their key."""
    import numpy as np

    from ..encoders.sphere import great_circle_km

    found = sorted(photos, key=lambda photo: str(photo.image))
    if point is None or not found:
        return found
    distance_km = great_circle_km(np.array(point), np.array([(photo.lon, photo.lat) for photo in found]))
    return [found[row] for row in np.argsort(distance_km, kind="stable")]


def _polygons(path: Path | None) -> Any:
    from ..indexer.regions import load_regions

    return None if path is None else load_regions(path)


def _write_map(
    path: Path, photo: Path, location: Any, neighbors: Any, gallery_lonlat: Any, tiles: str | None
) -> None:
    from .maps import draw_location
    from .pages import location_page, thumbnail

    near = draw_location(location, None, gallery_lonlat=gallery_lonlat, neighbors=neighbors, tiles=tiles)
    if path.suffix.lower() == ".png":
        path.write_bytes(near)
        return
    world = draw_location(location, None, gallery_lonlat=gallery_lonlat, neighbors=neighbors, view="world")
    from ..encoders.photo import open_photo

    page = location_page(
        location,
        photo=open_photo(photo)[0],
        maps={"near": near, "world": world},
        neighbors=neighbors,
        thumbnails=[thumbnail(one.image) for one in neighbors.photos[:12]],
        title=photo.name,
    )
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
