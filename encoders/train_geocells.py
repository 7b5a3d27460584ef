"""One run of a geocell head, from photos of known place to a calibrated head, prototypes and a report.

The folder of a run holds ``run.json`` (settings, data, cells), ``fits/`` (a head for each weight decay
tried), and at the end ``geocell-head.safetensors`` (for `GeocellHead.load`), ``prototypes.safetensors``
(for `Prototypes.load`) and ``report.json``. A sweep over the smoothing τ adds ``sweep/`` (a file for each
run of it), ``sweep.json`` and ``sweep.png``.

A run that was killed goes on from the last fit that was finished, and ends with the same head as one that
was not, on the same machine with the same number of threads.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .csp_sampling import Pairs
from .geocell_head import GeocellHead
from .geocell_heads.figures import best_expected, cell_figures, nearest_image, place_figures, top_cells
from .geocell_heads.fitting import calibrate, least_nll, log_kernel_at
from .geocell_heads.partition import Partition
from .geocell_heads.settings import HeadRun
from .geocell_heads.training import PARTS, Material, decays_of, fit_one
from .geocell_targets import target_entropy, tau_km_of, top_cell_mass
from .location_files import write_atomically
from .prototypes import Kind, Prototypes, fit_temperature, log_density, mixture_weights, prototypes_of
from .run_folder import claim

Show = Callable[[dict[str, Any], int], None]
Rows = dict[str, dict[str, float]]
HEAD_FILE, PROTOTYPES_FILE = "geocell-head.safetensors", "prototypes.safetensors"


def run_geocells(
    pairs: Pairs,
    cells: Partition,
    run: HeadRun,
    out: Path,
    *,
    month: NDArray[np.int64] | None = None,
    kind: Kind = "mean",
    is_resumed: bool = False,
    source: Mapping[str, Any] | None = None,
    show: Show = lambda record, rounds: None,
) -> dict[str, Any]:
    """Train a head and write everything the head of this file names.

    Args:
        pairs: photos and places.
        cells: the partition to answer in.
        run: the settings.
        out: folder of the run, made if needed.
        month: of the photos, 1 to 12, 0 unknown, (N,), for the side task of that name.
        kind: of prototypes.
        is_resumed: go on with the folder's run, or begin where there is none.
        source: what the photos are, JSON facts for the card.
        show: called with the record of each round and the most rounds there can be.

    Returns:
        The report, as in ``report.json``.

    Raises:
        TooFewPairs: fewer than 50 photos, or too few groups to hold some out.
        InvalidOption: a setting without meaning, or several processes of `torchrun`.
        AnotherRun: the folder holds a run, and `is_resumed` is False or that run is another.
        UnwritableFile: the folder is full or not ours to write to.
    """
    material = Material.of(pairs, cells, run, month=month)
    identity = {
        "settings": run.to_dict(),
        "data": material.digest,
        "model": {"cells_id": cells.cells_id, "encoder": pairs.encoder},
    }
    claim(out, identity, {"photos": counts_of(material), "cells": len(cells)}, is_resumed=is_resumed)
    head, decay = best_fit(material, run, out, show)
    prototypes = answered(material, head, kind)
    report = report_of(material, head, prototypes, run, weight_decay=decay, source=source)
    write_results(out, head, prototypes, report)
    return report


def answered(material: Material, head: GeocellHead, kind: Kind) -> Prototypes:
    """Calibrate a trained head on the validation, and make the places within cells that go with it."""
    calibrate(head, material.examples(1))
    training, validation = material.rows(0), material.rows(1)
    images, lonlat, cells = material.pairs.images, material.pairs.lonlat, material.cells
    encoder = material.pairs.encoder
    prototypes = prototypes_of(images[training], lonlat[training], cells, kind=kind, encoder=encoder)
    known = images[validation]
    prototypes.card["temperature"] = fit_temperature(
        prototypes, head.log_probabilities(known), known, lonlat[validation], normalize="cell"
    )
    return prototypes


def report_of(
    material: Material,
    head: GeocellHead,
    prototypes: Prototypes,
    run: HeadRun,
    *,
    weight_decay: float,
    source: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What ``report.json`` says: data, cells, targets, figures, settings."""
    return {
        "photos": counts_of(material),
        "cells": len(material.cells),
        "cells_with_photos": len(np.unique(material.cell[material.rows(0)])),
        "cells_id": material.cells.cells_id,
        "tau_km": float(np.median(tau_km_of(run.tau, material.cells))),
        "targets": target_figures(material),
        "weight_decay": weight_decay,
        "temperature": float(head.temperature),
        "rows": rows_of(material, head, prototypes, prototypes.card["temperature"]),
        "settings": run.to_dict(),
        "source": dict(source or {}),
    }


def write_results(out: Path, head: GeocellHead, prototypes: Prototypes, report: dict[str, Any]) -> None:
    """Write head, prototypes and report, which is the head's card.

    Raises:
        UnwritableFile: the folder is full or not ours to write to.
    """
    head.card = report
    head.save(out / HEAD_FILE)
    prototypes.save(out / PROTOTYPES_FILE)
    write_atomically(out / "report.json", json.dumps(report, indent=1).encode())


def counts_of(material: Material) -> dict[str, int]:
    """Numbers of photos of the parts."""
    return {name: len(material.rows(part)) for part, name in enumerate(PARTS)}


def rows_of(material: Material, head: GeocellHead, prototypes: Prototypes, temperature: float) -> Rows:
    """Figures on the test part: baselines first.

    ``bits`` is log2 of the density at the truth over that of the prior, photo by photo, averaged.
    """
    test, training = material.rows(2), material.rows(0)
    asked, truth, cell = material.pairs.images[test], material.pairs.lonlat[test], material.cell[test]
    centers = material.cells.center_lonlat
    prior = np.broadcast_to(head.log_prior.numpy(), (len(test), len(centers)))
    log_p = head.log_probabilities(asked)
    mixture = mixture_weights(prototypes, log_p, asked, temperature=temperature, normalize="cell")
    neighbor = material.pairs.lonlat[training][nearest_image(asked, material.pairs.images[training])]
    by_prior = log_density(prototypes, None, prior, truth)

    def bits(log_density_of: NDArray[np.float64]) -> float:
        return float((log_density_of - by_prior).mean() / np.log(2.0))

    named = cell_figures(log_p, cell) | {"bits": bits(log_density(prototypes, None, log_p, truth))}
    rows: Rows = {
        "prior": place_figures(best_expected(prior, centers), truth)
        | cell_figures(prior, cell)
        | {"bits": 0.0},
        "nearest image": place_figures(neighbor, truth),
        "head, likeliest cell": place_figures(top_cells(log_p, centers), truth) | named,
        "head, best expected score": place_figures(best_expected(log_p, centers), truth) | named,
    }
    if head.config.offset_rank:
        within = head.points(asked, log_p.argmax(axis=1)[:, None])[:, 0]
        rows["head, place within the cell"] = place_figures(within, truth) | named
    rows["head and prototypes"] = place_figures(mixture.best(prototypes), truth) | {
        "bits": bits(log_density(prototypes, mixture, log_p, truth))
    }
    rows["oracle: right cell"] = place_figures(centers[cell], truth)
    return rows


def target_figures(material: Material) -> dict[str, float]:
    """Mean entropy (nats) and mean largest share of the training photos' targets."""
    targets = material.targets[material.rows(0)]
    targets = csr_array(targets / targets.sum(axis=1)[:, None])  # PIGEON's do not sum to 1
    return {
        "entropy": float(target_entropy(targets).mean()),
        "top_cell_mass": float(top_cell_mass(targets).mean()),
    }


def best_fit(material: Material, run: HeadRun, out: Path, show: Show) -> tuple[GeocellHead, float]:
    """A fit for each weight decay, read from the folder where it is finished; the best by the validation."""
    folder = out / "fits"
    folder.mkdir(exist_ok=True)
    validation = material.examples(1)
    heads: list[tuple[float, float, GeocellHead]] = []
    for decay in decays_of(material, run):
        path = folder / f"weight-decay-{decay:g}.safetensors"
        if path.exists():
            head = GeocellHead.load(path, cells_id=material.cells.cells_id, encoder=material.pairs.encoder)
        else:
            head, fit = fit_one(material, run, decay, show=lambda record: show(dict(record), run.rounds))
            head.card = {"nll": fit.nll, "best_round": fit.best_round, "log": fit.log}
            head.save(path)
        heads.append((least_nll(head, validation, log_kernel_at(head, validation.lonlat)), decay, head))
    _, decay, head = min(heads, key=lambda one: one[:2])
    return head, decay
