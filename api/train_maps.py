"""``placeprint train maps``: a map encoder from mosaics, by self-distillation."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .exits import resumable
from .map_places import DrawnIn, Maps, Points, RunFolder, opened_maps, places_of
from .options import AsJson

if TYPE_CHECKING:  # they load torch and GDAL, which `--help` must not
    pass

N_PLACES = 5000


def maps(
    mosaic: Maps,
    out: RunFolder,
    area: DrawnIn = None,
    places: Annotated[int, typer.Option(min=1, help="How many places to draw.")] = N_PLACES,
    points: Points = None,
    preset: Annotated[str, typer.Option(help="small-data, gpu or paper.")] = "small-data",
    ground_m: Annotated[float | None, typer.Option(help="Ground width of a place's crop, meters.")] = None,
    price: Annotated[
        Path | None, typer.Option(help="Land prices: points (.csv, .geojson, …) or a raster.")
    ] = None,
    price_column: Annotated[str | None, typer.Option(help="Of the prices' points.")] = None,
    population: Annotated[
        Path | None, typer.Option(help="Places with their population, or a population raster.")
    ] = None,
    population_column: Annotated[str | None, typer.Option(help="Of the populations' points.")] = None,
    population_unit: Annotated[
        Literal["per-km2", "per-cell"], typer.Option(help="What a population raster counts.")
    ] = "per-km2",
    label_radius_km: Annotated[
        float | None, typer.Option(help="Points so near count for a place; half a crop's width.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the places.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Places of a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its height.")] = None,
    n_out: Annotated[int | None, typer.Option(help="Outputs of the self-distillation head.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an interrupted run, with the same options."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn what maps say of places: self-distillation of map crops, no labels needed.

    Leaves the map encoder in OUT/map-encoder.safetensors, and OUT/card.md beside it. Land prices and
    population densities, where there are any, are learned along. A collapse is reported in words.

    Examples:
      placeprint train maps --mosaic liechtenstein.tif --out runs/maps
      placeprint train maps --mosaic liechtenstein.tif --out runs/maps --resume
      placeprint train maps --mosaic japan.tif --points places.csv --price land.csv --out runs/japan
    """
    from ..encoders.map_learning.settings import MapRun

    asked = {
        "ground_m": ground_m, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "n_out": n_out,
    }  # fmt: skip
    changes = {name: value for name, value in asked.items() if value is not None}
    run = MapRun.preset(preset, seed=seed, **changes)
    if label_radius_km is not None and not label_radius_km > 0.0:
        raise typer.BadParameter(f"--label-radius-km {label_radius_km:g}: must be above 0")

    from ..encoders.map_learning.labels import labels_for
    from ..encoders.run_folder import require_free
    from ..encoders.train_maps import run_maps
    from . import console

    require_free(out, is_resumed=resume)
    require_device(device)
    as_json = as_json or not console.out.is_terminal
    source, box, facts = opened_maps(mosaic)
    lonlat = places_of(source, box, area, points, n=places, ground_m=run.ground_m, seed=seed)
    labels = labels_for(
        lonlat, price=price, price_column=price_column, population=population,
        population_column=population_column, population_unit=population_unit,
        radius_km=label_radius_km or run.ground_m / 2000.0,
    )  # fmt: skip
    for note in labels.notes:
        console.say("note", message=note) if as_json else console.err.print(
            note, markup=False, soft_wrap=True
        )
    with _epochs(as_json=as_json) as show, resumable(out):
        report = run_maps(
            source, lonlat, run, out, labels=labels, facts=facts, is_resumed=resume, device=device, show=show,
            tell=lambda message: console.warn(message, as_json=as_json),
        )  # fmt: skip
    _show(report, out, as_json=as_json)


def require_device(device: str) -> None:
    """See that torch has the device.

    Raises:
        BadParameter: no such word, or no such device here.
    """
    import torch

    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(f"--device {device}: cpu or cuda, cuda:1 for the second")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise typer.BadParameter(f"--device {device}: torch sees no such device here; use --device cpu")


@contextmanager
def _epochs(*, as_json: bool) -> Iterator[Callable[[dict[str, Any], int], None]]:
    """Progress over epochs, and the monitor's words as soon as they are known, each once."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import console

    if as_json:
        yield lambda record, total: console.say("epoch", epochs=total, **record)
        return
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    told: set[str] = set()
    with Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("", total=None, figures="")

        def show(record: dict[str, Any], total: int) -> None:
            figures = f"loss {record['loss']:.3f}, RankMe {record['rank_me']:.0f}"
            bar.update(task, completed=record["epoch"], total=total, figures=figures)
            for message in record["messages"]:
                if message not in told:
                    told.add(message)
                    console.warn(f"epoch {record['epoch']}: {message}", as_json=False)

        yield show


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """The last word: how the run ended, in plain words."""
    from . import console

    if as_json:
        console.say("report", out=str(out), **report)
        return
    last, sampling, timing = report["last_epoch"], report["sampling"], report["timing"]
    lines = [
        f"{report['places']['training']:,} places, {report['places']['held_out']:,} more held out; "
        f"{sampling['share_below_full_weight']:.0%} say less than {sampling['full_weight_from_bits']:g} bits "
        "and come less often",
        f"loss {last['loss']:.3f}; distillation {last['distillation']:.3f} nats, "
        f"{last['loss_over_ln_n_out']:.0%} of a uniform student's; RankMe {last['rank_me']:.1f}; "
        f"{last['outputs_used']:.0%} of the outputs used; land-use probe {last['probe']:.0%}",
    ]
    held_out = report["held_out"]
    for name in ("price", "density"):
        if name in held_out:
            lines.append(f"held-out {name}: R² of the logarithm {held_out[name]['r2_log']:.2f}")
    if "position" in held_out:
        lines.append(f"held-out position: median error {held_out['position']['median_km']:.1f} km")
    if timing:
        lines.append(
            f"{timing['step_s']:.3f} s a step, {timing['data_wait_share']:.1%} of it waiting for data"
        )
    lines += report["messages"] or ["no sign of collapse"]
    lines.append(f"encoder: {out / 'map-encoder.safetensors'}")
    for line in lines:
        console.out.print(line, markup=False, soft_wrap=True)
