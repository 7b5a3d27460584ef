"""The verb that judges a gallery by photos of known place: evaluate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..encoders.errors import InvalidProbe, UnknownProtocol
from .options import AsJson, GalleryName, WeightsFile, encoder_of, writable_target

if TYPE_CHECKING:  # they load the store, which `--help` must not
    from ..indexer.evaluation_report import Evaluation
    from ..indexer.listing import Listing
    from ..indexer.protocols import Protocol


def _list_protocols(is_asked: bool) -> None:
    """Say which benchmarks there are, and end."""
    if not is_asked:
        return
    from ..indexer.protocols import NEVER_RELEASED, PROTOCOLS

    for one in PROTOCOLS.values():
        sign = "≤" if one.is_inclusive else "<"
        typer.echo(f"{one.name}: {one.title}, {one.counted} photos, errors {sign} the radius count")
        typer.echo(f"  names: as {one.ids_look}")
        typer.echo(f"  metadata: columns {one.id_column}, {one.lon_column}, {one.lat_column}")
        typer.echo(f"  photos: {one.photos_from}")
        typer.echo(f"  remarks: {one.remarks}")
    for name, reason in NEVER_RELEASED.items():
        typer.echo(f"{name} is not here: {reason}")
    raise typer.Exit


def evaluate(
    gallery: GalleryName,
    queries: Annotated[
        Path | None, typer.Argument(help="Photos of known place, any source; by default the gallery's own.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="The benchmark they are; see --list-protocols. They are checked.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="A part of the benchmark will do.")] = False,
    group_column: Annotated[
        str | None, typer.Option(help="Column of what belongs together; it is hidden from its own photos.")
    ] = None,
    exclude_km: Annotated[float, typer.Option(min=0.0, help="Hide nearer photos of the gallery too.")] = 0.0,
    exclude_similarity: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Hide more similar photos too, such as 0.98: copies of a scene."),
    ] = None,
    without_burned_in: Annotated[
        bool,
        typer.Option(
            "--without-burned-in", help="Leave out photos that may show text, such as coordinates, burned in."
        ),
    ] = False,
    block_deg: Annotated[
        float | None, typer.Option(help="Hide whole blocks of so many degrees, also from what is fitted.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write all figures as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw errors and calibration: .png, .svg or .pdf.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of folds, samples and the bootstrap.")] = 0,
    weights: WeightsFile = None,
    as_json: AsJson = False,
    list_protocols: Annotated[
        bool,
        typer.Option(
            "--list-protocols", is_eager=True, callback=_list_protocols, help="Show the benchmarks and end."
        ),
    ] = False,
) -> None:
    """Measure geolocation against prior, random photo and nearest photo, with intervals.

    Photos that are in the gallery do not see themselves nor their group, and the probabilities
    that judge them are fitted on other groups. Example: placeprint evaluate queries.csv -g trips
    """
    from ..indexer.gallery import Gallery
    from . import console

    writable_target(out, "--out", ())
    writable_target(plot, "--plot", (".png", ".svg", ".pdf"))
    _check_block_deg(block_deg)
    if without_burned_in and queries is None:
        raise typer.BadParameter("--without-burned-in looks at photos given as files: name them")
    hidden = {"exclude_km": exclude_km, "exclude_similarity": exclude_similarity, "block_deg": block_deg}
    asked = _protocol(protocol, queries, is_partial=partial)
    items = None if queries is None else _listed(queries, asked, group_column, is_partial=partial)
    for note in items.notes if items is not None else ():
        console.warn(note, as_json=False)
    with (
        Gallery.open(gallery) as opened,
        console.counting_progress("evaluating", as_json=as_json) as counting,
    ):
        figures, skipped = _judged(
            opened, items, asked, weights, {**hidden, "seed": seed}, without_burned_in, counting
        )
    told = figures.to_dict() | _of_protocol(asked, figures)
    if as_json:
        typer.echo(json.dumps(told))
    else:
        _show(figures, asked)
    if skipped:
        console.err.print(f"{len(skipped)} photos were left out; the first: {skipped[0]}", soft_wrap=True)
    if out is not None:
        out.write_text(json.dumps(told, indent=1))
    if plot is not None:
        figures.plot(plot)


def _check_block_deg(degrees: float | None) -> None:
    from ..indexer.blocks import check_block_deg

    try:
        if degrees is not None:
            check_block_deg(degrees)
    except InvalidProbe as error:
        raise typer.BadParameter(f"--block-deg {degrees}: {error}") from None


def _protocol(name: str | None, queries: Path | None, *, is_partial: bool) -> "Protocol | None":
    from ..indexer.protocols import protocol_named

    if name is None and is_partial:
        raise typer.BadParameter("--partial says that a part of a benchmark will do: name it with --protocol")
    if name is None:
        return None
    try:
        found = protocol_named(name)
    except UnknownProtocol as error:
        raise typer.BadParameter(f"--protocol {error}") from None
    if queries is None:
        raise typer.BadParameter(
            f"--protocol {name} goes with the benchmark's photos: a folder of them, or its table of "
            f"metadata. They are had from {found.photos_from}"
        )
    return found


def _listed(
    queries: Path, protocol: "Protocol | None", group_column: str | None, *, is_partial: bool
) -> "Listing":
    from ..indexer.protocol_source import list_protocol
    from ..indexer.sources import list_source

    if protocol is None:
        return list_source(queries, group_column=group_column)
    return list_protocol(queries, protocol, is_partial=is_partial, group_column=group_column)


def _judged(
    gallery: Any,
    items: "Listing | None",
    protocol: "Protocol | None",
    weights: Path | None,
    settings: dict[str, Any],
    without_burned_in: bool,
    progress: Any,
) -> "tuple[Evaluation, list[str]]":
    """The figures, and a line for each photo that could not be asked."""
    from ..indexer.evaluate import evaluate_gallery, evaluate_source

    if items is None:
        return evaluate_gallery(gallery, **settings, progress=progress), []
    if protocol is not None:
        _warn_of_unknown_groups(gallery, items)
    is_inclusive = protocol is None or protocol.is_inclusive
    encoder = encoder_of(gallery, weights)
    return evaluate_source(
        items, gallery, encoder, **settings, without_burned_in=without_burned_in,
        is_inclusive=is_inclusive, progress=progress,
    )  # fmt: skip


def _warn_of_unknown_groups(gallery: Any, items: "Listing") -> None:
    """Photos by one author know each other, and only groups that the gallery has too are hidden."""
    from . import console

    groups = {item.group for item in items if item.group}
    if groups and groups.isdisjoint(photo.group for photo in gallery.placed()[0]):
        console.warn(
            f"none of these photos' groups is one of gallery {gallery.name!r}. If it has photos by the same "
            "authors, or of the same drives, they find each other: index it with --group-column",
            as_json=False,
        )


def _of_protocol(protocol: "Protocol | None", figures: "Evaluation") -> dict[str, Any]:
    """What to write beside the figures of a benchmark."""
    from ..indexer.published import CAVEAT, published

    if protocol is None:
        return {}
    return {
        "protocol": {
            "name": protocol.name,
            "n_photos": list(protocol.n_photos),
            "is_whole": len(figures.group) in protocol.n_photos,
        },
        "published": {"caveat": CAVEAT, "methods": [one.to_dict() for one in published(protocol.name)]},
    }


def _show(figures: "Evaluation", protocol: "Protocol | None") -> None:
    from ..indexer.evaluation_tables import N_COUNTRIES, comparison_table, parts_table, radius_sign
    from ..indexer.published import published
    from . import console

    sign = radius_sign(figures)
    console.out.print(figures.table())
    console.out.print(figures.summary(), markup=False)
    console.out.print()
    console.out.print(comparison_table(figures, published(protocol.name) if protocol else ()))
    console.out.print(parts_table(figures.breakdown("continent"), "continent", sign=sign))
    countries = figures.breakdown("country")
    if len(countries) > 1:
        console.out.print(parts_table(countries, "country", at_most=N_COUNTRIES, sign=sign))
