"""The scoreboard as text: a page with every figure, and the short table of README."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- scoreboard -->", "<!-- /scoreboard -->"
_Row = Mapping[str, Any]
_Figure = Mapping[str, Any]


def page_of(board: Mapping[str, Any]) -> str:
    """Every row with all its figures, as Markdown."""
    lines = ["# Scoreboard", "", _machine_line(board), "", *_summary(board["rows"]), ""]
    for row in board["rows"]:
        lines += [
            f"## {row['row']}: {row['title']}",
            "",
            f"Target: {row['target']}. **{row['verdict']}**",
            "",
        ]
        if row["figures"]:
            lines += ["| | ours | peer | | ratio [95 %] | of minima | by CPU | control |", "|" + "---|" * 8]
            lines += [_figure_line(one) for one in row["figures"]]
            lines.append("")
        lines += [f"- planted: {fault}: {found}" for fault, found in row["planted"].items()]
        lines += [_escaped(row["why"]), ""] if row["why"] else []
        lines += [f"`{row['command']}`", ""] if row["command"] else []
    return "\n".join(lines)


def readme_part(board: Mapping[str, Any]) -> str:
    """What stands in README between the markers: the short table, and where a peer is faster."""
    lines = [
        _machine_line(board), "",
        "| row | measure | ours | peer | ratio [95 %] | target | verdict |", "|" + "---|" * 7,
        *(_short_line(row) for row in board["rows"]),
        "", *_summary(board["rows"]), "",
    ]  # fmt: skip
    speeds = [row for row in board["rows"] if row["row"].startswith("P")]  # others stand beside themselves
    slower = [_slower_line(row, one) for row in speeds for one in row["figures"] if is_slower(one)]
    lines += ["Where a peer is faster:", "", *slower] if slower else ["No peer that was measured is faster."]
    return "\n".join(lines) + "\n"


def with_readme_part(text: str, part: str) -> str:
    """README with what stands between its markers replaced.

    Raises:
        ValueError: it does not have both markers, once each, in their order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"README needs the lines {BEGIN} and {END}, once each and in this order")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{part}{END}{after}"


def write_readme(path: Path, board: Mapping[str, Any]) -> None:
    """Put the short table into a README."""
    path.write_text(with_readme_part(path.read_text(encoding="utf-8"), readme_part(board)), encoding="utf-8")


def is_slower(figure: _Figure) -> bool:
    """Whether a peer is ahead, beyond the interval where there is one."""
    if figure["ratio"] is None:
        return False
    return bool((figure["ratio"] if figure["high"] is None else figure["high"]) < 1.0)


def deciding_figure(row: _Row) -> _Figure | None:
    """The figure that the short table shows: farthest below or least above its target, else the first."""
    aimed = [one for one in row["figures"] if one.get("target") and one["ratio"] is not None]
    if aimed:
        return min(aimed, key=lambda one: one["ratio"] / one["target"])
    compared = [one for one in row["figures"] if one["ratio"] is not None]
    return (compared or [*row["figures"], None])[0]


def number(value: float | None, unit: str = "") -> str:
    """Three digits, as people write them; "–" for nothing."""
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        # The format g would write 1234.5 as 1.23e+03.
        text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    else:
        text = f"{value:.2g}"
    return f"{text} {unit}".rstrip()


def ratio_text(figure: _Figure) -> str:
    """A ratio with its interval."""
    if figure["ratio"] is None:
        return "–"
    text = f"{number(figure['ratio'])}×"
    return text if figure["low"] is None else f"{text} [{number(figure['low'])}, {number(figure['high'])}]"


def _summary(rows: Sequence[_Row]) -> list[str]:
    counts = {word: 0 for word in ("reached", "short", "not measured")}
    for row in rows:
        counts[row["verdict"]] += 1
    told = ", ".join(f"{n} {word}" for word, n in counts.items())
    return [f"Of {len(rows)} targets: {told}. Ratios above 1 are in our favor, whatever the unit."]


def _machine_line(board: Mapping[str, Any]) -> str:
    one = board["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in one["packages"].items())
    return (
        f"{one['processor'] or 'an unknown processor'}, {one['cores']} cores, {one['system']}, "
        f"Python {one['python']}, {packages}; {board['measured_at']}."
    )


def _short_line(row: _Row) -> str:
    one = deciding_figure(row)
    if one is None:
        cells = ["–", "–", "–"]
    else:
        name = f"{one['name']}: " if len(row["figures"]) > 1 else ""
        theirs = f"{one['peer']}: {number(one['theirs'], one['unit'])}" if one["peer"] else "–"
        cells = [f"{name}{number(one['ours'], one['unit'])}", theirs, ratio_text(one)]
    cells = [row["row"], row["title"], *cells, row["target"] or "–", row["verdict"]]
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _figure_line(one: _Figure) -> str:
    cells = [
        one["name"], number(one["ours"], one["unit"]), number(one["theirs"], one["unit"]), one["peer"] or "–",
        ratio_text(one), number(one["ratio_of_minima"]), number(one.get("cpu_ratio")),
        number(one.get("control")),
    ]  # fmt: skip
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _slower_line(row: _Row, one: _Figure) -> str:
    return f"- {row['row']}, {_escaped(one['name'])}: {ratio_text(one)} of {_escaped(one['peer'])}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
