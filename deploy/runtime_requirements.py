"""The part of constraints.txt that a running service needs, with its hashes, for the image.

constraints.txt pins what developers need too. Each of its entries says for whom it is there ("via"); from
the dependencies of pyproject.toml on, those that are needed by what is needed are written out, as they
stand. Standard library only, so that it runs before anything is installed.

    python deploy/runtime_requirements.py                  everything, as pinned
    python deploy/runtime_requirements.py --without-torch  the same without torch, torchvision and CUDA
    python deploy/runtime_requirements.py --torch          torch==… torchvision==…, to get them elsewhere
"""

import re
import sys
import tomllib
from pathlib import Path

CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
TORCH = ("torch", "torchvision")


def entries(constraints: str) -> dict[str, list[tuple[str, set[str]]]]:
    """The entries of a lock file by name: the text without its comments, and the names after "via".

    A name has several where Pythons or systems need several versions.
    """
    found: dict[str, list[tuple[str, set[str]]]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", constraints.strip()):
        lines = block.splitlines()
        comments = [line.strip().removeprefix("#").strip() for line in lines if line.strip().startswith("#")]
        needed_by = {comment.removeprefix("via").strip() for comment in comments} - {""}
        text = "\n".join(line for line in lines if line.strip() and not line.strip().startswith("#"))
        found.setdefault(_name(text), []).append((text, {_name(one) for one in needed_by}))
    return found


def runtime(constraints: str, pyproject: str) -> dict[str, list[str]]:
    """The entries that the dependencies of a project need, by name."""
    locked = entries(constraints)
    needed = {_name(one) for one in tomllib.loads(pyproject)["project"]["dependencies"]}
    if missing := needed - locked.keys():
        raise SystemExit(f"constraints.txt does not pin {', '.join(sorted(missing))}; run `make lock`")
    while more := {
        name
        for name, found in locked.items()
        if name not in needed and any(needed_by & needed for _, needed_by in found)
    }:
        needed |= more
    return {name: [text for text, _ in locked[name]] for name in sorted(needed)}


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def main(arguments: list[str]) -> None:
    """Write the requirements to the standard output."""
    root = Path(__file__).resolve().parent
    root = root if (root / "constraints.txt").exists() else root.parent
    found = runtime((root / "constraints.txt").read_text(), (root / "pyproject.toml").read_text())
    if arguments == ["--torch"]:
        print(" ".join(found[name][0].split()[0] for name in TORCH))
        return
    if arguments not in ([], ["--without-torch"]):
        raise SystemExit(__doc__)
    for name, texts in found.items():
        if not arguments or (name not in TORCH and not CUDA.fullmatch(name)):
            print("\n".join(texts))


if __name__ == "__main__":
    main(sys.argv[1:])
