"""How wide should targets be smoothed? The same head at each τ, over several deals of the photos.

The seed deals out the photos and begins the head, so that differences between seeds are those a user
would see with other photos held out. Figures are means over seeds with their standard deviations.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from ..csp_sampling import Pairs
from ..errors import AnotherRun
from ..geocell_targets import Tau, tau_km_of
from ..location_files import write_atomically
from ..prototypes import log_density, prototypes_of
from ..train_geocells import target_figures
from .figures import best_expected, cell_figures, place_figures, top_cells
from .partition import Partition
from .settings import HeadRun
from .training import Material, digest_of, train_head

TAUS: tuple[Tau, ...] = (0.0, 15.0, 25.0, 40.0, 65.0, 75.0, 100.0, 150.0, 250.0, "auto")
SEEDS = (0, 1, 2)
COLUMNS = (
    "within_1_km", "within_25_km", "within_200_km", "within_750_km", "within_2500_km", "median_km",
    "mean_km", "geoscore", "expected_geoscore", "bits", "nll", "ece", "entropy", "top_cell_mass",
)  # fmt: skip


def sweep_tau(
    pairs: Pairs,
    cells: Partition,
    run: HeadRun,
    out: Path,
    *,
    taus: Sequence[Tau] = TAUS,
    seeds: Sequence[int] = SEEDS,
    show: Callable[[dict[str, Any], int], None] = lambda record, total: None,
) -> dict[str, Any]:
    """Train at each τ and seed; what was trained before in the folder is not trained again.

    Args:
        pairs: photos and places.
        cells: the partition.
        run: the settings; τ and seed are set for each.
        out: folder, made if needed: ``sweep/``, ``sweep.json``, ``sweep.png``.
        taus: to try; 0 is the hard label.
        seeds: of the deals.
        show: told each record and how many there will be.

    Returns:
        ``rows``, by name of the τ, each figure of `COLUMNS` with ``mean`` and ``sd`` over seeds; and
        ``settings``.

    Raises:
        TooFewPairs, InvalidOption: as `run_geocells`.
        AnotherRun: the folder holds a sweep of other photos, cells or settings.
        UnwritableFile: the folder is full or not ours to write to.
    """
    kept = out / "sweep"
    kept.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    for tau in taus:
        found = []
        for seed in seeds:
            one = replace(run, tau=tau, seed=seed)
            record = _one(pairs, cells, one, kept / f"tau-{name_of(tau)}-seed-{seed}.json".replace(" ", "-"))
            show({"tau": name_of(tau), "seed": seed, **record}, len(taus) * len(seeds))
            found.append(record)
        values = {name: np.array([record[name] for record in found]) for name in COLUMNS}
        sd = {name: float(some.std(ddof=1)) if len(some) > 1 else 0.0 for name, some in values.items()}
        rows[name_of(tau)] = {
            "tau_km": float(np.median(tau_km_of(tau, cells))),
            **{name: {"mean": float(some.mean()), "sd": sd[name]} for name, some in values.items()},
        }
    report = {"rows": rows, "seeds": list(seeds), "cells_id": cells.cells_id, "settings": run.to_dict()}
    write_atomically(out / "sweep.json", json.dumps(report, indent=1).encode())
    draw_sweep(rows, out / "sweep.png")
    return report


def name_of(tau: Tau) -> str:
    """As tables show it: hard, 75 km, auto."""
    if isinstance(tau, str):
        return tau
    return "hard" if tau == 0.0 else f"{tau:g} km"


def draw_sweep(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw GeoScore, bits and calibration over τ, with a standard deviation to both sides, as PNG."""
    drawing = Drawing(figsize=(13.0, 4.0), layout="constrained")
    FigureCanvasAgg(drawing)
    panels = (
        ("geoscore", "GeoScore, likeliest cell"),
        ("bits", "bits over the prior"),
        ("ece", "calibration error of the top cell"),
    )
    for axes, (name, title) in zip(drawing.subplots(1, 3), panels, strict=True):
        places = np.arange(len(rows))
        mean = [row[name]["mean"] for row in rows.values()]
        sd = [row[name]["sd"] for row in rows.values()]
        axes.errorbar(places, mean, yerr=sd, fmt="o", capsize=3)
        labels = [
            f"auto\n({row['tau_km']:.0f} km)" if tau == "auto" else tau.removesuffix(" km")
            for tau, row in rows.items()
        ]
        axes.set_xticks(places, labels, fontsize="small")
        axes.set(title=title, xlabel="τ, km")
        axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, dpi=150)


def _one(pairs: Pairs, cells: Partition, run: HeadRun, path: Path) -> dict[str, float]:
    """Figures of one τ and seed on its test part, read where they are known."""
    identity = {"settings": run.to_dict(), "data": digest_of(pairs), "cells_id": cells.cells_id}
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = {}
        if found.get("identity") != json.loads(json.dumps(identity)):
            raise AnotherRun(
                f"{path} is of a sweep with other photos, cells or settings; choose another --out, or delete "
                f"{path.parent}"
            )
        return dict(found["figures"])
    material = Material.of(pairs, cells, run)
    head = train_head(material, run)
    training, test = material.rows(0), material.rows(2)
    truth, centers = pairs.lonlat[test], cells.center_lonlat
    log_p = head.log_probabilities(material.pairs.images[test])
    # Only the spreads of the cells are asked of the prototypes here.
    spreads = prototypes_of(material.pairs.images[training], pairs.lonlat[training], cells)
    prior = np.broadcast_to(head.log_prior.numpy(), log_p.shape)
    gain = log_density(spreads, None, log_p, truth) - log_density(spreads, None, prior, truth)
    figures = {
        **place_figures(top_cells(log_p, centers), truth),
        "expected_geoscore": place_figures(best_expected(log_p, centers), truth)["geoscore"],
        "bits": float(gain.mean() / np.log(2.0)),
        **cell_figures(log_p, material.cell[test]),
        **target_figures(material),
    }
    write_atomically(path, json.dumps({"identity": identity, "figures": figures}, indent=1).encode())
    return figures
