"""Tables and pictures of `csp`: means over seeds and 95 % intervals of Student's t."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.markdown import Markdown
from scipy import stats

FUSED = ("image", "image × 5 nearest labels", "image × supervised", "image × CSP")
ALONE = ("majority", "place, 5 nearest labels", "place, supervised", "place, CSP")
PAPERS = ("image × supervised, paper's head and product", "image × CSP, paper's head and product")
COLORS = {"image": "0.35", "5 nearest labels": "tab:green", "supervised": "tab:blue", "CSP": "tab:red"}


class Mean(NamedTuple):
    """A mean over seeds and half the width of its interval."""

    value: float
    half: float


def mean(values: list[float]) -> Mean:
    """Mean and half the width of the 95 % interval; 0 for a single seed."""
    if len(values) < 2:
        return Mean(float(np.mean(values)), 0.0)
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return Mean(float(np.mean(values)), float(half))


def write_results(results: dict[str, Any], out: Path, console: Console) -> None:
    """Write csp.json, csp.md and two pictures, and show the tables."""
    lines = [
        "# Contrastive spatial pre-training",
        "",
        f"{results['seeds']} seeds, each with its own regions, labels and starting weights; mean ± half of "
        "the 95 % interval of Student's t. Test regions are seen by nothing before they are scored.",
        "",
        "Rows with * have the objective, temperatures, encoder and images of that preset, and our "
        "optimization.",
        "",
        *ablation_lines(results["ablation"]),
        *labels_lines(results["labels"]),
    ]
    text = "\n".join(lines)
    (out / "csp.json").write_text(json.dumps(results, indent=1))
    (out / "csp.md").write_text(text + "\n", encoding="utf-8")
    draw_ablation(results["ablation"], out / "csp_ablation.png")
    draw_labels(results["labels"], out / "csp_labels.png")
    console.print(Markdown(text))


def ablation_lines(ablation: dict[str, Any]) -> list[str]:
    """One table a collection: parts of the objective, presets, baselines."""
    lines = []
    for name, rows in ablation.items():
        any_row = next(iter(rows.values()))
        lines += [
            f"## {name}: photo to place",
            "",
            "| run | median error, km | share ranked above the truth | place alone, 20 % of labels |",
            "|---|---|---|---|",
        ]
        for row, units in rows.items():
            km, rank, hit = (
                mean([unit[key] for unit in units]) for key in ("median_km", "rank_share", "accuracy")
            )
            lines.append(f"| {row} | {_km(km)} | {_three(rank)} | {_share(hit)} |")
        for key, title in (
            ("floor_km", "nearest training place (floor)"),
            ("nearest_image_km", "place of the most similar photo"),
            ("constant_km", "best single place"),
            ("random_km", "random training place"),
        ):
            lines.append(f"| {title} | {_km(mean([unit[key] for unit in any_row]))} | – | – |")
        untrained = mean([unit["accuracy_untrained"] for unit in rows["ours B"]])
        lines += [f"| encoder without pre-training | – | 0.5 | {_share(untrained)} |", ""]
    return lines


def labels_lines(labels: dict[str, Any]) -> list[str]:
    """One table a task: methods by shares of labels, and the paired gain of pre-training."""
    lines = []
    for collection, task, by_share in _tasks(labels):
        counts = {
            share: round(np.mean([unit["labels"] for unit in units])) for share, units in by_share.items()
        }
        lines += [
            f"## {collection}: {task}, accuracy %",
            "",
            "| method | " + " | ".join(f"{float(share):.0%} ({counts[share]})" for share in by_share) + " |",
            "|---" * (len(by_share) + 1) + "|",
        ]
        for method in (*ALONE, *FUSED, *PAPERS):
            cells = [_share(mean([unit[method] for unit in units])) for units in by_share.values()]
            lines.append(f"| {method} | {' | '.join(cells)} |")
        for title, one, other in (
            ("gain of pre-training, place alone", "place, CSP", "place, supervised"),
            ("gain of pre-training, with the image", "image × CSP", "image × supervised"),
            ("gain of the place, with pre-training", "image × CSP", "image"),
        ):
            gains = [mean([unit[one] - unit[other] for unit in units]) for units in by_share.values()]
            lines.append(f"| **{title}** | {' | '.join(_gain(gain) for gain in gains)} |")
        lines.append("")
    return lines


def draw_labels(labels: dict[str, Any], path: Path) -> None:
    """Accuracy over shares of labels, a panel for each task."""
    tasks = list(_tasks(labels))
    n_columns = min(4, len(tasks))
    n_rows = -(-len(tasks) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 3.6 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(n_rows, n_columns, squeeze=False)).ravel()
    for panel, (collection, task, by_share) in zip(panels, tasks, strict=False):
        shares = np.array([float(share) for share in by_share])
        for shift, method in enumerate((*ALONE[1:], *FUSED)):
            name = method.removeprefix("place, ").removeprefix("image × ")
            told = [mean([unit[method] for unit in units]) for units in by_share.values()]
            panel.errorbar(
                shares * 1.02 ** (shift - 3),
                [100 * one.value for one in told],
                yerr=[100 * one.half for one in told],
                color=COLORS[name],
                linestyle=":" if method.startswith("place") else "-",
                marker="o",
                markersize=3,
                linewidth=1.3,
                capsize=2,
                label=method,
            )
        panel.set(title=f"{collection}: {task}", xscale="log", xticks=shares)
        panel.set_xticks(shares, [f"{share:.0%}" for share in shares])
        panel.minorticks_off()
        panel.set_xlabel("share of labels", fontsize="small")
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    figure.supylabel("accuracy on held-out regions, %", fontsize="medium")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize="small", frameon=False)
    figure.savefig(path, dpi=140)


def draw_ablation(ablation: dict[str, Any], path: Path) -> None:
    """Share ranked above the truth for each run, a panel for each collection."""
    figure = Figure(figsize=(4.2 * len(ablation), 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(ablation), sharey=True, squeeze=False)[0]
    for panel, (name, rows) in zip(panels, ablation.items(), strict=True):
        told = [mean([unit["rank_share"] for unit in units]) for units in rows.values()]
        y = np.arange(len(rows))
        colors = ["tab:red" if row.startswith("ours") else "0.5" for row in rows]
        for row, one, color in zip(y, told, colors, strict=True):
            panel.errorbar(one.value, row, xerr=one.half, fmt="o", color=color, capsize=3)
        panel.axvline(0.5, color="0.7", linewidth=1, linestyle="--")
        panel.set(title=name, xlim=(0.0, 0.6), xlabel="ranked above the truth (0.5: chance)")
        panel.set_yticks(y, list(rows))
        panel.invert_yaxis()
        panel.grid(axis="x", alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(len(next(iter(ablation.values()))) - 0.5, -0.5)
    figure.savefig(path, dpi=140)


def _tasks(labels: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(collection, task, share -> units) of every task."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for collection, units in labels.items():
        for key, figures in units.items():
            task, share = key.split("|")
            found.setdefault((collection, task), {})[share] = figures
    return [(collection, task, by_share) for (collection, task), by_share in found.items()]


def _share(one: Mean) -> str:
    return f"{100 * one.value:.1f} ± {100 * one.half:.1f}"


def _gain(one: Mean) -> str:
    return f"{100 * one.value:+.1f} ± {100 * one.half:.1f}"


def _km(one: Mean) -> str:
    digits = 1 if one.value < 100 else 0
    return f"{one.value:,.{digits}f} ± {one.half:,.{digits}f}"


def _three(one: Mean) -> str:
    return f"{one.value:.3f} ± {one.half:.3f}"
