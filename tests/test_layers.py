"""Imports point down, and Qdrant is behind one door."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BELOW: dict[str, set[str]] = {"encoders": set(), "indexer": {"encoders"}, "api": {"indexer", "encoders"}}
FILES = sorted(path for layer in BELOW for path in (ROOT / layer).rglob("*.py"))


def imported(file: Path, layer: str) -> set[str]:
    """All modules a file imports, by absolute name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, f"placeprint.{layer}") if node.level else relative
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def layers(names: set[str]) -> set[str]:
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "placeprint" and len(part) > 1} & set(BELOW)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_imports_point_down(file: Path) -> None:
    layer = file.relative_to(ROOT).parts[0]
    assert layers(imported(file, layer)) <= BELOW[layer] | {layer}


def test_a_climbing_import_would_be_seen() -> None:
    assert layers({"placeprint.indexer", "placeprint.indexer.gallery", "numpy"}) == {"indexer"}


def test_one_module_alone_imports_qdrant() -> None:
    users = {
        file.name
        for file in FILES
        if any(name.startswith("qdrant") for name in imported(file, file.relative_to(ROOT).parts[0]))
    }
    assert users == {"store.py"}


@pytest.mark.parametrize("statement", ["import placeprint", "import placeprint.api.cli"])
def test_starting_loads_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; print({{'torch', 'pandas', 'sklearn'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_every_public_name_is_there() -> None:
    import placeprint

    assert [name for name in placeprint.__all__ if not hasattr(placeprint, name)] == []
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = placeprint.nothing_such
