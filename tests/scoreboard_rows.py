"""A row of the scoreboard: what was asked, what was measured beside what, and the verdict.

Benchmarks (rows P…) and fault tests (rows R…) write one JSON file each; `benchmarks/scoreboard.py` makes
one table, one page and one picture of them.
"""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["reached", "short", "not measured"]
PACKAGES = (
    "torch", "numpy", "scipy", "qdrant-edge-py", "qdrant-client", "open_clip_torch", "pyarrow", "pillow",
    "scikit-learn", "shapely", "geopandas", "h3", "rasterio", "simplejpeg", "haversine", "openvino",
    "onnxruntime", "mapnik",
)  # fmt: skip


@dataclass
class Figure:
    """One measured number.

    Attributes:
        name: of what, in a few words.
        ours: the number.
        unit: of it; "" for a plain count.
        peer: who did the same in the same run; "" for nobody.
        theirs: the peer's number, in the same unit.
        ratio: how many times better ours is: above 1 is better, whatever the unit.
        low: lower end of the ratio's 95 % interval.
        high: upper end of it.
        ratio_of_minima: the same ratio from the quickest run of each.
        cpu_ratio: the same ratio from the processor time of both.
        control: the ratio of ours to ours in the same run; 1 but for noise.
        target: the least ratio that was set out to be reached; None where the figure has none.
    """

    name: str
    ours: float | None
    unit: str = ""
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    ratio_of_minima: float | None = None
    cpu_ratio: float | None = None
    control: float | None = None
    target: float | None = None


@dataclass
class Row:
    """A measure of the scoreboard.

    Attributes:
        row: P1, P2, … for speed, R1, R2, … for faults.
        title: what is measured.
        target: what was set out to be reached.
        verdict: whether it was.
        why: what explains a verdict other than "reached", or what the figures leave out.
        command: how to measure it again.
        figures: the numbers.
        planted: faults put in on purpose, and how they were found.
    """

    row: str
    title: str
    target: str
    verdict: Verdict
    command: str
    why: str = ""
    figures: list[Figure] = field(default_factory=list)
    planted: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(), "cores": os.cpu_count(), "system": platform.system(),
        "python": platform.python_version(), "packages": found,
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def write_row(folder: Path, row: Row) -> Path:
    """Write a row as ``rows/P13.json`` in a folder, over what an earlier run left there."""
    target = folder / "rows" / f"{row.row}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    content = {**asdict(row), "machine": machine(), "measured_at": time.strftime("%Y-%m-%d")}
    target.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return target


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows in a folder, P1 before P2, speed before faults."""
    rows = [json.loads(path.read_text()) for path in (folder / "rows").glob("*.json")]
    return sorted(rows, key=lambda row: (row["row"][0], int(row["row"][1:])))
