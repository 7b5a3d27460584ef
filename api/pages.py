"""Reports as single HTML files that need nothing else: no network, no scripts, pictures inside.

Names of photos and places come from strangers, so everything passes through Jinja's escaping.
Pictures are made anew from their pixels: no EXIF, and with it no position, gets into a page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from ..encoders.errors import UnreadableImage
from ..encoders.photo import open_photo
from ..encoders.places import describe
from ..encoders.sphere import great_circle_km
from ..indexer.evaluation_report import Evaluation
from ..indexer.explanation import DecisiveCell
from ..indexer.geolocate import REMOTE, Location, NamedShare
from ..indexer.neighbors import Neighbor, Neighborhood
from .maps import in_words, percent, point_in_words

LIMITS = (
    "A place that the gallery does not cover cannot be recognized, only something that looks like it.",
    "Figures hold for photos like those of this gallery; on other photos they will be worse.",
    "Names of places and countries follow the nearest town, and are approximate near borders.",
)

_PHOTO_SIDE = 960
_STRIP_SIDE = 320
_HEAT_SIDE = 1200
_N_NAMES = 6
_SCALES = {1.0: "street", 25.0: "city", 200.0: "region", 750.0: "country", 2500.0: "continent"}


@dataclass(frozen=True, kw_only=True)
class SearchExample:
    """A query and what the gallery answered.

    Attributes:
        title: the text searched for, or what was searched with.
        query: the photo searched with, as from `thumbnail`; None for a text.
        neighbors: the answers, most similar first.
        thumbnails: of the answers, in the same order; None where there is no picture.
    """

    title: str
    query: bytes | None = None
    neighbors: Sequence[Neighbor]
    thumbnails: Sequence[bytes | None]


@dataclass(frozen=True, kw_only=True)
class LocateExample:
    """A photo that was located without its own place being known.

    Attributes:
        name: of the photo.
        photo: as from `thumbnail`.
        map: PNG as from `draw_location`.
        location: the answer.
        truth: (lon, lat) where it was taken, if known.
        error_km: from the best point to the truth, if known; not shown when the answer abstains.
    """

    name: str
    photo: bytes | None
    map: bytes
    location: Location
    truth: tuple[float, float] | None = None
    error_km: float | None = None


def location_page(
    location: Location,
    *,
    photos: Sequence[Image.Image],
    maps: Mapping[str, bytes],
    neighbors: Neighborhood,
    thumbnails: Sequence[bytes | None],
    title: str,
    heat: tuple[bytes, str] | None = None,
    cells: Sequence[DecisiveCell] = (),
) -> str:
    """The report on one photo, or on several of one place.

    Args:
        location: the answer.
        photos: what was asked about; one is shown large, several in a strip.
        maps: PNGs as from `draw_location`, under "near" and "world".
        neighbors: what the answer rests on.
        thumbnails: of the first neighbors, as from `thumbnail`; as many are shown.
        title: name of the photo, or what the photos are together.
        heat: what in the photos spoke for the answer, as from `draw_heat`, and the same in words; it is
            shown beside the photos.
        cells: that decided, the foremost first.
    """
    side = _PHOTO_SIDE if len(photos) == 1 else _STRIP_SIDE
    evidence = [
        _card(photo.image, similarity, lonlat, picture, location)
        for photo, similarity, lonlat, picture in zip(
            neighbors.photos,
            neighbors.similarity.tolist(),
            neighbors.lonlat.tolist(),
            thumbnails,
            strict=False,
        )
    ]
    return template("location.html.jinja").render(
        title=title,
        location=location,
        answer=in_words(location),
        point=point_in_words(location.lon, location.lat, digits=4),
        near=_place_name((location.lon, location.lat)),
        photos=[data_uri(thumbnail(photo, side=side)) for photo in photos],
        heat=None
        if heat is None
        else {"picture": data_uri(thumbnail(heat[0], side=_HEAT_SIDE)), "words": heat[1]},
        near_map=data_uri(maps.get("near"), "png"),
        # An answer that spans the Earth has the same map twice.
        world_map=None if maps.get("world") == maps.get("near") else data_uri(maps.get("world"), "png"),
        radii=[_radius_bar(radius_km, p) for radius_km, p in sorted(location.p_within_km.items())],
        countries=_name_bars(location.countries),
        states=_name_bars(location.states),
        evidence=evidence,
        cells=[_cell_bar(cell) for cell in cells],
    )


def demo_page(
    *,
    facts: Sequence[tuple[str, str]],
    gallery_map: bytes,
    searches: Sequence[SearchExample] = (),
    located: Sequence[LocateExample] = (),
    evaluation: Sequence[Mapping[str, str]] = (),
    plot: bytes | None = None,
    notes: Sequence[str] = LIMITS,
    title: str = "Placeprint: a demonstration",
    summary: str = "",
) -> str:
    """The report on a demonstration: what was done, and what came of it.

    Args:
        facts: figures with their names, such as ("photos indexed", "1,234").
        gallery_map: PNG as from `draw_gallery`.
        searches: queries and their answers.
        located: held-out photos and where they were put.
        evaluation: rows of the table, as from `evaluation_rows`: from column title to formatted
            figure. The first row's keys are the header; its first column names the method, and the
            last row is ours.
        plot: PNG of the curves.
        notes: limits, a sentence or two each.
        title: heading of the page.
        summary: one paragraph on what was done.
    """
    return template("demo.html.jinja").render(
        title=title,
        summary=summary,
        facts=facts,
        gallery_map=data_uri(gallery_map, "png"),
        searches=[_search(example) for example in searches],
        located=[_located(example) for example in located],
        evaluation=evaluation,
        plot=data_uri(plot, "png"),
        notes=notes,
    )


def evaluation_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """The table of an evaluation as `demo_page` takes it: a row for each method."""
    first, *methods = evaluation.table().columns
    titles = [str(cell) for cell in first.cells]
    rows = []
    for method in methods:
        row, last = {"method": str(method.header)}, ""
        for title, cell in zip(titles, method.cells, strict=True):
            if title:
                row[title], last = str(cell), title
            elif cell:  # the interval of the figure above
                row[last] += f" [{cell}]"
        rows.append(row)
    return rows


def thumbnail(source: str | Path | bytes | Image.Image, side: int = 224) -> bytes | None:
    """A small JPEG of a photo, upright, without anything but its pixels; None when unreadable.

    Args:
        source: a path, the bytes of a file, or a PIL image.
        side: of the square it fits into, pixels.
    """
    try:
        picture, _ = open_photo(source, at_least=side)
    except UnreadableImage:
        return None
    picture.thumbnail((side, side))
    # Pillow copies a comment from the opened file into the saved one; a new picture has none.
    bare = Image.frombytes("RGB", picture.size, picture.tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, format="JPEG", quality=82, optimize=True)
    return buffer.getvalue()


def _search(example: SearchExample) -> dict[str, Any]:
    cards = [
        _card(one.photo.image, one.similarity, _lonlat(one.photo.lon, one.photo.lat), picture, None)
        for one, picture in zip(example.neighbors, example.thumbnails, strict=False)
    ]
    return {"title": example.title, "picture": data_uri(example.query), "results": cards}


def _located(example: LocateExample) -> dict[str, Any]:
    error_km = None if example.location.abstain else example.error_km
    return {
        "name": example.name,
        "photo": data_uri(example.photo),
        "map": data_uri(example.map, "png"),
        "answer": in_words(example.location),
        "abstain_reason": example.location.abstain_reason,
        "near": _place_name((example.location.lon, example.location.lat)),
        "truth": None if example.truth is None else _place_name(example.truth),
        "error": None if error_km is None else _kilometers(error_km),
    }


def _card(
    name: str,
    similarity: float,
    lonlat: Sequence[float] | None,
    picture: bytes | None,
    answer: Location | None,
) -> dict[str, Any]:
    """One photo of the gallery; its distance from the answer where there is one."""
    distance = None
    if lonlat is not None and answer is not None and not answer.abstain:
        distance = _kilometers(float(great_circle_km(np.array(lonlat), np.array([answer.lon, answer.lat]))))
    return {
        "name": PurePath(name).name,
        "similarity": f"{similarity:.2f}",
        "place": "Place unknown" if lonlat is None else _place_name(lonlat),
        "distance": distance,
        "picture": data_uri(picture),
    }


def _lonlat(lon: float | None, lat: float | None) -> tuple[float, float] | None:
    return None if lon is None or lat is None else (lon, lat)


def _place_name(lonlat: Sequence[float]) -> str:
    """City, state and country nearest to a point, or that there is none near."""
    place = describe([lonlat])[0]
    if place.is_remote:
        return REMOTE.capitalize()
    return place.full_name


def _kilometers(distance_km: float) -> str:
    return f"{distance_km:,.0f} km" if distance_km >= 10.0 else f"{distance_km:.1f} km"


def _radius_bar(radius_km: float, p: float) -> dict[str, Any]:
    scale = f" ({_SCALES[radius_km]})" if radius_km in _SCALES else ""
    return {"name": f"{radius_km:,g} km{scale}", "percent": percent(p), "share": p}


def _name_bars(shares: Sequence[NamedShare]) -> list[dict[str, Any]]:
    """The most probable names, and the rest in one."""
    bars = [
        (f"{one.name} ({one.code})" if one.code else one.name, one.probability) for one in shares[:_N_NAMES]
    ]
    rest = sum(one.probability for one in shares[_N_NAMES:])
    if rest > 0.0:
        bars.append((f"{len(shares) - _N_NAMES} others", rest))
    return [{"name": name, "percent": percent(p), "share": p} for name, p in bars]


def _cell_bar(cell: DecisiveCell) -> dict[str, Any]:
    before = f"{cell.name} (from {percent(cell.prior_probability)})"
    return {"name": before, "percent": percent(cell.probability), "share": cell.probability}


def data_uri(picture: bytes | None, kind: str = "jpeg") -> str | None:
    """A picture as an address that holds it; None for none."""
    return None if picture is None else f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> jinja2.Template:
    """A page of this folder, by the name of its file; everything put into it is escaped."""
    return _environment().get_template(name)
