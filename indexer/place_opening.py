"""From the card of a gallery of places to what embedded them, and back: files are found, and checked."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..encoders.errors import UnreadableSource, WeightsUnavailable
from ..encoders.map_catalog import STUDENT, encoder_for, ground_m_of, load_map_encoder, load_map_student
from ..encoders.map_files import MapFiles
from .gallery import Gallery
from .gallery_files import gallery_config, gallery_folder
from .place_card import MAP, PLACES, PREFIX, PlaceCard, is_of_photos, read_card, vectors_of_places
from .place_embedder import PlaceEmbedder
from .settings import Settings


def open_embedder(
    gallery: Gallery,
    *,
    mosaics: Sequence[str | Path] = (),
    encoder: str | Path | None = None,
    student: str | Path | None = None,
    open_maps: Callable[[Sequence[str | Path]], MapFiles] = MapFiles.open,
) -> tuple[PlaceEmbedder, PlaceCard]:
    """What embedded the places of a gallery, or of its photos, opened again, and its card as it is now.

    Args:
        gallery: of places, or of photos of whose places a map was looked at.
        mosaics: maps to look at besides, or in the place of some that were moved.
        encoder: file of the encoder, where it was moved.
        student: name or file of a student for places beyond the maps.
        open_maps: opens the files of the maps.

    Raises:
        NotOfPlaces: a gallery of photos of which no map was looked at.
        UnreadableSource: a map that is not where it was.
        WeightsUnavailable: the encoder's file is not where it was.
        FingerprintMismatch: it is another encoder.
    """
    card = read_card(gallery).with_mosaics(mosaics)
    card = replace(
        card,
        encoder=str(_named(encoder)) if encoder is not None else card.encoder,
        student=str(_named(student)) if student is not None else card.student,
    )
    _require_files(gallery, card)
    there = [path for path in card.mosaics if Path(path).is_file()]
    maps = open_maps(there) if there else None
    is_map = card.made_by == "map"
    loaded = load_map_encoder(card.encoder) if is_map else None
    own = card.student if is_map else card.encoder
    learned = load_map_student(own) if own is not None else None
    opened = PlaceEmbedder(loaded, maps, learned, card.ground_m, card.least_known)
    gallery.check(opened.fingerprint, using=vectors_of_places(gallery))
    check_student(opened)
    if maps is not None:
        credit = tuple(dict.fromkeys([*maps.credit, *card.credit]))
        facts = tuple(maps.facts) if len(there) == len(card.mosaics) else card.facts
        card = replace(card, credit=credit, facts=facts)
    return opened, card


def is_redrawn(gallery: Gallery, now: PlaceCard) -> bool:
    """Whether a map is of another date or of other sources than when the gallery looked at it last."""
    before = read_card(gallery)
    facts = [json.loads(json.dumps(one.facts)) for one in (before, now)]
    return before.mosaics == now.mosaics and facts[0] != facts[1]


def open_or_make(
    name: str,
    *,
    mosaics: Sequence[str | Path],
    encoder: str | Path | None = None,
    student: str | Path | None = None,
    settings: Settings | None = None,
) -> tuple[Gallery, PlaceEmbedder]:
    """A gallery to be filled, of places where there is none of that name, and what fills it.

    Args:
        name: of the gallery; one of photos gets vectors named ``map``.
        mosaics: maps to look at; an existing gallery looks at those it knows too.
        encoder: name or file of the map encoder.
        student: name or file of its student.
        settings: where galleries live.

    Raises:
        PlaceprintError: as of `open_embedder` and `new_embedder`.
    """
    settings = settings or Settings()
    config = gallery_config(name, settings)
    if is_of_photos(config) or (config is not None and (gallery_folder(name, settings) / PLACES).is_file()):
        gallery = Gallery.open(name, settings=settings)
        how = {"mosaics": mosaics, "encoder": encoder, "student": student}
        try:
            if is_of_photos(config) and MAP not in gallery.vectors.cards:
                opened, card = new_embedder(**how)  # type: ignore[arg-type]
            else:
                opened, card = open_embedder(gallery, **how)  # type: ignore[arg-type]
        except BaseException:
            gallery.close()
            raise
    else:
        opened, card = new_embedder(mosaics=mosaics, encoder=encoder, student=student)
        gallery = Gallery.open_or_create(
            name, opened.fingerprint, encoder=f"{PREFIX}{card.encoder}", settings=settings
        )
    card.keep(gallery, opened.fingerprint)
    return gallery, opened


def new_embedder(
    *,
    mosaics: Sequence[str | Path],
    encoder: str | Path | None = None,
    student: str | Path | None = None,
) -> tuple[PlaceEmbedder, PlaceCard]:
    """What is to embed the places of a new gallery, and its card.

    Args:
        mosaics: the maps; without any a student embeds coordinates alone.
        encoder: name or file of the map encoder; by default ours for maps of such a zoom.
        student: name or file of its student; without maps ours by default.

    Raises:
        UnreadableSource: a map that cannot be read.
        WeightsUnavailable: weights that are not there.
        UnknownEncoder: a name that nobody has.
    """
    if not mosaics:
        name = str(_named(student or STUDENT))
        learned = load_map_student(name)
        ground_m = ground_m_of(learned)
        card = PlaceCard(made_by="student", encoder=name, ground_m=ground_m)
        return PlaceEmbedder(None, None, learned, ground_m), card
    maps = MapFiles.open(mosaics)
    name = str(_named(encoder or encoder_for(maps.finest_zoom)))
    loaded = load_map_encoder(name)
    opened = PlaceEmbedder(
        loaded, maps, None if student is None else load_map_student(student), loaded.config.ground_m
    )
    check_student(opened)
    return opened, PlaceCard(
        made_by="map",
        encoder=name,
        student=None if student is None else str(_named(student)),
        mosaics=tuple(str(Path(path).resolve()) for path in mosaics),
        facts=tuple(maps.facts),
        credit=maps.credit,
        ground_m=loaded.config.ground_m,
    )


def check_student(opened: PlaceEmbedder) -> None:
    """See that a student learned from the map encoder beside it, as far as its card tells.

    Raises:
        WeightsUnavailable: it did not.
    """
    encoder, student = opened.encoder, opened.student
    if encoder is None or student is None:
        return
    teacher = student.card.get("teacher")
    if student.dimension != encoder.dimension or teacher not in (None, encoder.fingerprint.id):
        raise WeightsUnavailable(
            f"the student {student.name} ({student.dimension}-d, of teacher {teacher or 'unknown'}) did not "
            f"learn from the map encoder {encoder.name} ({encoder.dimension}-d, {encoder.fingerprint.id}); "
            "name its own student with --student FILE"
        )


def _require_files(gallery: Gallery, card: PlaceCard) -> None:
    for path in card.mosaics:
        if not Path(path).is_file() and card.student is None:
            raise UnreadableSource(
                f"{path}: the map was there when gallery {gallery.name!r} was made, and is there no "
                f"more. Say where it is now with --mosaic FILE (one named {Path(path).name} takes its place)"
            )
    for option, name in (("--encoder", card.encoder), ("--student", card.student)):
        if name is not None and name.endswith(".safetensors") and not Path(name).is_file():
            raise WeightsUnavailable(
                f"{name}: the encoder of gallery {gallery.name!r} was there when it was made, and is there "
                f"no more. Say where it is now with {option} FILE"
            )


def _named(name: str | Path) -> str | Path:
    """A file by its whole path; a name as it is."""
    return Path(name).resolve() if str(name).endswith(".safetensors") else name
