"""What `placeprint places` tells: how a gallery was built, which places answer, and their maps."""

from pathlib import Path
from typing import Any

from ..encoders.errors import PlaceprintError
from ..encoders.location_files import write_atomically
from ..encoders.map_files import MapFiles
from ..indexer.background import Background
from ..indexer.gallery import Gallery
from ..indexer.place_card import MAP, is_of_places, vectors_of_places
from ..indexer.place_embedder import Embedded
from ..indexer.places import PlacesReport
from ..indexer.places_like import LikePlace
from . import console
from .place_sheet import Shown, draw_sheet

LARGE = 50_000  # places, from which on a built search index pays


def z_scores(gallery: Gallery, embedding: Any, found: list[LikePlace]) -> list[float | None]:
    """How far each answer stands above random places of the gallery, in standard deviations."""
    background = Background.of(gallery, using=vectors_of_places(gallery))
    scores = background.z_scores(embedding, [one.similarity for one in found])
    return [None] * len(found) if scores is None else [float(score) for score in scores]


def draw(
    sheet: Path,
    maps: MapFiles | None,
    liked: Embedded,
    disliked: Embedded,
    found: list[LikePlace],
    ground_m: float,
    credit: tuple[str, ...],
    style: str,
    gallery: str,
) -> None:
    """Write a contact sheet of what was asked and what answers.

    Raises:
        PlaceprintError: no map is at hand to draw.
    """
    if maps is None:
        raise PlaceprintError(f"gallery {gallery!r} has no map at hand to draw; name one with --mosaic FILE")
    shown = [
        Shown(lon, lat, kind, (word, _at(lon, lat)))
        for kind, word, asked in (
            ("like", "asked: like this", liked),
            ("unlike", "but unlike this", disliked),
        )
        for lon, lat in asked.lonlat.tolist()
    ]
    for number, one in enumerate(found, start=1):
        lon, lat = float(one.photo.lon or 0.0), float(one.photo.lat or 0.0)
        first = f"{number}. similarity {one.similarity:.3f}, {_away(one.distance_km)}"
        shown.append(Shown(lon, lat, "found", (first, _name(one) or _at(lon, lat))))
    write_atomically(sheet, draw_sheet(shown, maps, ground_m=ground_m, credit=credit, style=style))


def show_built(report: PlacesReport, gallery: Gallery, *, as_json: bool) -> None:
    """Say what became of a list of places."""
    if as_json:
        console.say("report", gallery=gallery.name, places=len(gallery), **vars(report))
        return
    per_s = report.n_embedded / report.seconds if report.seconds else 0.0
    facts = {
        "embedded": report.n_embedded, "there before": report.n_unchanged, "told anew": report.n_retold,
        "left out, for the map knows too little there": report.n_without_data,
        "left out, for they were deleted": report.n_deleted,
        "without a place": report.n_without_place, "rows of a place listed before": report.n_doubled,
    }  # fmt: skip
    told = ", ".join(f"{n:,} {what}" for what, n in facts.items() if n)
    console.out.print(f"{report.n_listed:,} places: {told or 'none'}", markup=False, soft_wrap=True)
    console.out.print(f"{report.seconds:.1f} s, {per_s:,.0f} embedded/s", soft_wrap=True)
    if not is_of_places(gallery):
        n_looked = len(gallery.vectors.marks(MAP))
        console.out.print(
            f"gallery {gallery.name}: a map was looked at for {n_looked:,} of {len(gallery):,} photos",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        return
    console.out.print(f"gallery {gallery.name}: {len(gallery):,} places", markup=False, soft_wrap=True)
    if len(gallery) > LARGE:
        console.out.print(
            f"faster to search after: placeprint optimize --gallery {gallery.name}", markup=False
        )


def show_found(
    liked: Embedded,
    disliked: Embedded,
    found: list[LikePlace],
    z_scores: list[float | None],
    credit: tuple[str, ...],
    sheet: Path | None,
    *,
    as_json: bool,
) -> None:
    """Say which places answer, and where the embeddings of those asked about come from."""
    asked = [
        {"lon": lon, "lat": lat, "is_like": is_like, "embedded_by": by}
        for is_like, some in ((True, liked), (False, disliked))
        for (lon, lat), by in zip(some.lonlat.tolist(), some.by, strict=True)
    ]
    if as_json:
        neighbors = [
            {
                "id": one.photo.id, "lon": one.photo.lon, "lat": one.photo.lat, "similarity": one.similarity,
                "z_score": z, "distance_km": one.distance_km, "payload": dict(one.photo.payload),
            }
            for one, z in zip(found, z_scores, strict=True)
        ]  # fmt: skip
        console.say(
            "places", asked=asked, neighbors=neighbors, credit=list(credit), sheet=sheet and str(sheet)
        )
        return
    for one in asked:
        if one["embedded_by"] == "student":
            console.warn(f"{_at(one['lon'], one['lat'])}: no map there; a student guessed", as_json=False)
    for number, (place, z) in enumerate(zip(found, z_scores, strict=True), start=1):
        lon, lat = float(place.photo.lon or 0.0), float(place.photo.lat or 0.0)
        standing = "" if z is None else f"  z {z:4.1f}"
        line = (
            f"{number:3d}. {place.similarity:.3f}{standing}  {_away(place.distance_km):>10}  {_at(lon, lat)}"
        )
        console.out.print(f"{line}  {_name(place)}".rstrip(), markup=False, soft_wrap=True)
    if not found:
        console.out.print("no place answers: the area holds none, or none far enough from what was asked")
    if credit:
        console.out.print(f"credit: {'; '.join(credit)}", markup=False, soft_wrap=True)


def _at(lon: Any, lat: Any) -> str:
    return f"{lon:.6f},{lat:.6f}"


def _away(km: float) -> str:
    return f"{km * 1000.0:,.0f} m" if km < 1.0 else f"{km:,.1f} km"


def _name(one: "LikePlace") -> str:
    return str(next((one.photo.payload[key] for key in ("name", "title") if key in one.photo.payload), ""))
