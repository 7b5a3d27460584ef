"""The verb that judges place recognition on two sets of photos: evaluate places."""

import json
import os
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, EncoderName, WeightsFile, encoder_of, writable_target

if TYPE_CHECKING:  # they load torch and the store, which `--help` must not
    from ..encoders.image import Embeddings, ImageEncoder
    from ..indexer.place_matcher import LocalReader
    from ..indexer.place_report import PlaceEvaluation
    from ..indexer.place_search import EmbeddedSet
    from ..indexer.place_sets import PlaceSet
    from ..indexer.place_trial import Answers, PlaceTrial


def evaluate_places(
    queries: Annotated[Path, typer.Option(help="Photos to recognize: a folder, or a table of them.")],
    gallery_images: Annotated[
        Path | None, typer.Option(help="Photos to recognize them by, likewise; or --gallery.")
    ] = None,
    gallery: Annotated[
        str | None, typer.Option("--gallery", "-g", help="An indexed gallery to recognize them by.")
    ] = None,
    truth: Annotated[
        str, typer.Option(help="What is right: meters:25, frames:5, or a table of query, references.")
    ] = "meters:25",
    suppress_groups: Annotated[
        bool,
        typer.Option(
            "--suppress-groups", help="One answer for each group: cut-outs of a panorama, a sequence."
        ),
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Queries without a right photo do not count as failures.")
    ] = False,
    rerank: Annotated[
        int | None, typer.Option(min=2, help="Look again at so many first answers, by local features.")
    ] = None,
    rerank_above: Annotated[
        float | None, typer.Option(help="Only of queries with a doubt above this; see the report's signs.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Of the local features; three quarters up by default.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Pixels of their input.")] = None,
    sequence: Annotated[
        int | None, typer.Option(min=2, help="Follow walks: frames of a window, such as 9.")
    ] = None,
    both_ways: Annotated[
        bool, typer.Option("--both-ways", help="Walks may have been done backwards.")
    ] = False,
    encoder: EncoderName = None,
    weights: WeightsFile = None,
    out: Annotated[Path | None, typer.Option(help="Write all figures as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw recall, errors and doubt: .png, .svg, .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure recognition of places: recall@N by meters, frames or a list, with chance and intervals.

    A set is a folder or a table with columns image, lon, lat. Names of benchmarks, such as
    @easting@northing@zone@letter@lat@lon@….jpg, are understood, and so is EXIF.

    Examples:
      placeprint evaluate places --queries q/ --gallery-images db/ --truth meters:25 --suppress-groups
      placeprint evaluate places --queries walk2/ --gallery-images walk1/ --truth frames:2 --sequence 9
      placeprint evaluate places --queries q.csv --gallery trips --rerank 20 --out report.json
    """
    _check(
        gallery_images,
        gallery,
        encoder,
        rerank,
        {"--rerank-above": rerank_above, "--layer": layer, "--size": size},
    )
    writable_target(out, "--out", ())
    writable_target(plot, "--plot", (".png", ".svg", ".pdf"))
    from ..indexer.place_matcher import LocalReader
    from ..indexer.place_report import evaluate_places as judge
    from ..indexer.place_search import EmbeddedSet
    from ..indexer.place_sets import read_place_set
    from ..indexer.place_trial import PlaceTrial
    from ..indexer.place_truth import WithinMeters, truth_of
    from . import console

    # Whatever can be seen to be wrong is told before an hour of embedding.
    policy, photos = truth_of(truth), read_place_set(queries)
    loaded, there, known, ids = _gallery_of(gallery_images, gallery, encoder, weights)
    if not isinstance(policy, WithinMeters):  # EXIF may still tell places
        policy.positives(photos, there)
    reader = None if rerank is None else LocalReader(loaded, layer=layer, size=size)
    asked = _embedded(photos, loaded, "queries", as_json=as_json)
    if known is None:
        answering = _embedded(there, loaded, "gallery", as_json=as_json)
    else:
        answering = EmbeddedSet(there, known, None, [])
    trial = PlaceTrial(asked, answering, policy, suppress_groups, not leave_out)
    ways, facts = [trial.retrieve()], _facts(loaded, asked, answering)
    if gallery is not None:
        facts["approximate_search"] = _approximation(trial, gallery, ids)
    if reader is not None and rerank is not None:
        with console.counting_progress("looking again", as_json=as_json) as counting:
            again, facts["second_look"] = _look_again(trial, ways[0], reader, rerank, rerank_above, counting)
        ways += again
    if sequence is not None:
        ways.append(trial.follow(sequence, both_ways=both_ways))
    evaluation = judge(trial, ways, facts, _notes(asked.photos, answering.photos))
    _tell(evaluation, asked.skipped + answering.skipped, as_json=as_json)
    if out is not None:
        out.write_text(evaluation.to_json())
    if plot is not None:
        from ..indexer.place_plot import plot_places

        plot_places(evaluation, plot)


def _check(
    gallery_images: Path | None,
    gallery: str | None,
    encoder: str | None,
    rerank: int | None,
    of_rerank: dict[str, float | int | None],
) -> None:
    if (gallery_images is None) == (gallery is None):
        raise typer.BadParameter(
            "say what to recognize the photos by: --gallery-images DIR or --gallery NAME"
        )
    if gallery is not None and encoder is not None:
        raise typer.BadParameter("--encoder: a gallery is asked by the encoder that built it; leave it away")
    given = [name for name, value in of_rerank.items() if value is not None]
    if rerank is None and given:
        raise typer.BadParameter(f"{given[0]} is about a second look: ask for one with --rerank 20")


def _gallery_of(
    images: Path | None, gallery: str | None, encoder: str | None, weights: Path | None
) -> "tuple[ImageEncoder, PlaceSet, Embeddings | None, list[str]]":
    """The encoder and the photos that may answer; of an indexed gallery their embeddings and ids too."""
    from ..encoders.catalog import DEFAULT, load_encoder
    from ..indexer.gallery import Gallery
    from ..indexer.place_sets import place_set_of_gallery, read_place_set

    if images is not None:
        there = read_place_set(images)
        return load_encoder(encoder or DEFAULT, weights=weights), there, None, []
    with Gallery.open(str(gallery)) as opened:
        photos, ids = place_set_of_gallery(opened)
        return encoder_of(opened, weights), photos, opened.embeddings(ids), ids


def _embedded(photos: "PlaceSet", encoder: "ImageEncoder", what: str, *, as_json: bool) -> "EmbeddedSet":
    from ..indexer.place_search import embed_place_set
    from . import console

    with console.counting_progress(f"embedding {what}", as_json=as_json) as counting:
        return embed_place_set(photos, encoder, progress=counting)


def _approximation(trial: "PlaceTrial", gallery: str, ids: list[str]) -> dict[str, Any]:
    from ..indexer.gallery import Gallery
    from ..indexer.place_approximation import held_against_exact

    with Gallery.open(gallery) as opened:
        return held_against_exact(trial, opened, ids).to_dict()


def _look_again(
    trial: "PlaceTrial",
    first: "Answers",
    reader: "LocalReader",
    k: int,
    threshold: float | None,
    progress: Any,
) -> "tuple[list[Answers], dict[str, Any]]":
    """Second looks at all queries, and where unsure by cross-fitted thresholds; or by the one given.

    Args:
        trial: what is asked.
        first: what is looked at again.
        reader: of local features.
        k: answers looked at.
        threshold: of doubt; None to fit it.
        progress: called with queries done and their number.

    Returns:
        The answers, and JSON facts on how they were found.
    """
    from ..indexer.place_matcher import PlaceMatcher

    sign = "spread" if "spread" in first.doubt else "ratio"
    matcher = PlaceMatcher(reader, trial.queries.photos, trial.gallery.photos)
    name = "+ second look" if threshold is None else f"+ second look above {sign} {threshold:g}"
    again = trial.look_again(
        first, matcher, k=k, sign=sign, threshold=threshold, name=name, progress=progress
    )
    ways, thresholds = [again], [threshold or 0.0]
    if threshold is None:
        unsure, thresholds = trial.cross_fitted(first, again, sign=sign)
        ways.append(unsure)
    told = [one if isfinite(one) else str(one) for one in thresholds]  # JSON has no infinities
    features = reader.features
    return ways, {
        "answers": k, "sign_of_doubt": sign, "thresholds": told, "layer": features.layer,
        "input_size": features.size, "grid": list(features.grid), "channels": features.channels,
    }  # fmt: skip


def _notes(queries: "PlaceSet", gallery: "PlaceSet") -> list[str]:
    from ..indexer.place_sets import copies_in

    notes = [*queries.notes, *gallery.notes]
    if copies := copies_in(queries, gallery):
        notes.append(
            f"{len(copies)} of the queries are photos of the gallery, the first {copies[0]}: they find "
            "themselves"
        )
    return notes


def _facts(encoder: "ImageEncoder", queries: "EmbeddedSet", gallery: "EmbeddedSet") -> dict[str, Any]:
    from ..encoders.catalog import CARDS

    fingerprint, card = encoder.fingerprint, CARDS.get(encoder.fingerprint.name)
    return {
        "encoder": fingerprint.name,
        "fingerprint": fingerprint.id,
        "dimension": fingerprint.dimension,
        "input_size": encoder.preprocessing.size,
        "licence_of_weights": card.licence if card else "not told",
        "training_data": card.training_data if card else "not told",
        "seconds_of_reading_and_embedding": {"query": queries.seconds, "gallery": gallery.seconds},
        "cores": os.cpu_count(),
        "skipped": queries.skipped + gallery.skipped,
    }


def _tell(evaluation: "PlaceEvaluation", skipped: list[str], *, as_json: bool) -> None:
    from ..indexer.place_published import published_on
    from ..indexer.place_tables import meters_table, parts_table, recall_table, risk_table
    from . import console

    trial = evaluation.trial
    published = published_on(trial.queries.photos, trial.gallery.photos)
    if as_json:
        told = evaluation.to_dict()
        told |= {"published": {name: list(shares) for name, shares in published.items()}} if published else {}
        typer.echo(json.dumps(told))
    else:
        console.out.print(evaluation.headline(), markup=False, soft_wrap=True)
        tables = [recall_table(evaluation, published), meters_table(evaluation), risk_table(evaluation)]
        tables += [parts_table(row, part) for row in evaluation.rows for part in row.parts]
        for table in tables:
            if table is not None:
                console.show_table(table)
        for line in _lines(evaluation.facts):
            console.out.print(line, markup=False, soft_wrap=True)
    for note in evaluation.notes:
        console.warn(note, as_json=as_json)
    if skipped:
        console.err.print(f"{len(skipped)} photos were left out; the first: {skipped[0]}", soft_wrap=True)


def _lines(facts: Any) -> list[str]:
    """What the tables do not say."""
    seconds = facts["seconds_of_reading_and_embedding"]["query"]
    lines = [
        f"encoder {facts['encoder']}, {facts['dimension']} dimensions, {facts['input_size']} pixels, "
        f"{1000.0 * seconds:.0f} ms for reading and embedding a query, {facts['cores']} cores"
    ]
    if "second_look" in facts:
        look = facts["second_look"]
        told = ", ".join(one if isinstance(one, str) else f"{one:.4g}" for one in look["thresholds"])
        lines.append(
            f"looked at again: layer {look['layer']} at {look['input_size']} pixels, where "
            f"{look['sign_of_doubt']} is above {told}"
        )
    if "approximate_search" in facts:
        ann = facts["approximate_search"]
        lost = ", ".join(f"@{at} {100.0 * loss:+.1f}" for at, loss in ann["recall_lost"].items())
        lines.append(
            f"the gallery's own search finds {ann['agreement']:.1%} of the exact first {ann['k']} of "
            f"{ann['n_queries']} queries; recall lost in points: {lost}"
        )
    return lines
