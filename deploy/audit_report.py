"""What .ci/audit makes of the reports of its tools.

    python deploy/audit_report.py installed sbom.json --out licences.md
    python deploy/audit_report.py asked pip-audit.json constraints.txt

The first ends with 1 where a distribution is missing from the list (CycloneDX), or one has a licence that
would bind those who pass Placeprint on; it runs in the environment that the list is of. The second ends with
1 where pip-audit passed a distribution over: what nobody could be asked about it counts as no hole, and as no
failure either. Standard library only.
"""

import argparse
import importlib.metadata as metadata
import json
import re
import sys
from pathlib import Path
from typing import Any

BINDING = re.compile(
    r"\b(A?GPL|(?:Lesser |Affero )?General Public|SSPL|BUSL|Commons Clause|CC-BY-NC)", re.IGNORECASE
)
LESSER = re.compile(r"\bL(?:esser )?G(?:PL|eneral Public)|LGPL", re.IGNORECASE)
NOT_OURS = re.compile(r"(nvidia|cuda)-.*")
"""Of NVIDIA, under its own terms; they come with torch for GPUs and are not passed on with Placeprint."""


def licence_of(distribution: metadata.Distribution) -> str:
    """What a distribution says of its licence: the expression, the classifiers, or the first line."""
    told = distribution.metadata
    if expression := told["License-Expression"]:
        return str(expression)
    classified = [
        one.rsplit(" :: ", 1)[-1] for one in told.get_all("Classifier") or [] if one.startswith("License ::")
    ]
    if classified:
        return "; ".join(classified)
    first = str(told["License"] or "").strip().splitlines()
    return first[0][:80] if first else "not told"


def is_binding(licence: str) -> bool:
    """Whether a licence asks those who pass the whole on for its source.

    Not where another may be chosen ("OR"), and not the lesser GPL, which binds its own files only.
    """
    choices = re.split(r"\bOR\b", licence)
    return all(BINDING.search(LESSER.sub("", choice)) for choice in choices)


def report(components: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """A table of the licences, and what is wrong."""
    installed = {_name(one.metadata["Name"]): one for one in metadata.distributions()}
    listed = {_name(one["name"]) for one in components}
    faults = [
        f"{name} is installed and not in the list"
        for name in sorted(installed.keys() - listed - {"placeprint"})
    ]
    lines = ["| distribution | version | licence |", "|---|---|---|"]
    for name, one in sorted(installed.items()):
        licence = licence_of(one)
        lines.append(f"| {name} | {one.version} | {licence} |")
        if is_binding(licence) and not NOT_OURS.fullmatch(name):
            faults.append(f"{name}: {licence} would bind those who pass Placeprint on")
        if licence == "not told":
            print(f"note: {name} does not tell its licence", file=sys.stderr)
    return "\n".join(lines) + "\n", faults


def unasked(answers: dict[str, Any], constraints: str) -> list[str]:
    """The pinned distributions of which pip-audit does not know whether they have holes."""
    # What is pinned for other systems or Pythons only is not asked about here.
    pinned = {
        _name(one) for one in re.findall(r"^([A-Za-z0-9._-]+)==[^;\n]*$", constraints, flags=re.MULTILINE)
    }
    answered = {_name(one["name"]): "skip_reason" not in one for one in answers["dependencies"]}
    return sorted(name for name in pinned | answered.keys() if not answered.get(name))


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(words: list[str]) -> int:
    """Do as asked; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(required=True, dest="verb")
    installed = verbs.add_parser("installed")
    installed.add_argument("sbom", type=Path)
    installed.add_argument("--out", type=Path, required=True)
    asked = verbs.add_parser("asked")
    asked.add_argument("answers", type=Path)
    asked.add_argument("constraints", type=Path)
    given = parser.parse_args(words)
    if given.verb == "installed":
        table, faults = report(json.loads(given.sbom.read_text()).get("components", []))
        given.out.write_text(table)
    else:
        left = unasked(json.loads(given.answers.read_text()), given.constraints.read_text())
        told = ", ".join(left[:5]) + (", …" if len(left) > 5 else "")
        faults = (
            [f"of {len(left)} distributions it is not known whether they have holes: {told}"] if left else []
        )
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
