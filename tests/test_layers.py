"""Imports point down, and Qdrant is behind one door."""

import ast
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BELOW: dict[str, set[str]] = {"encoders": set(), "indexer": {"encoders"}, "api": {"indexer", "encoders"}}
FILES = sorted(path for layer in BELOW for path in (ROOT / layer).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """All modules a file imports, by absolute name."""
    package = ".".join(["placeprint", *file.relative_to(ROOT).parts[:-1]])
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, package) if node.level else relative
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def layers(names: set[str]) -> set[str]:
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "placeprint" and len(part) > 1} & set(BELOW)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    layer = file.relative_to(ROOT).parts[0]
    assert layers(imported(file)) <= BELOW[layer] | {layer}


def test_a_climbing_import_would_be_seen() -> None:
    assert layers({"placeprint.indexer", "placeprint.indexer.gallery", "numpy"}) == {"indexer"}


def test_the_two_stores_alone_import_qdrant() -> None:
    users = {file.name for file in FILES if any(name.startswith("qdrant") for name in imported(file))}
    assert users == {"edge_store.py", "server_store.py"}


@pytest.mark.parametrize(
    ("statement", "late"),
    [
        ("import placeprint", {"torch", "pandas", "sklearn"}),
        ("import placeprint.api.cli", {"torch", "pandas", "sklearn"}),
        ("import placeprint.api.app", {"timm", "pandas", "sklearn", "rasterio", "scipy.optimize"}),
        (
            "from placeprint.indexer.sources import list_source; list_source('.', may_be_empty=True)",
            {"pandas"},
        ),
    ],
)
def test_what_takes_seconds_is_loaded_when_it_is_needed(statement: str, late: set[str]) -> None:
    code = f"{statement}; import sys; print({late} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_every_public_name_is_there() -> None:
    import placeprint

    assert [name for name in placeprint.__all__ if not hasattr(placeprint, name)] == []
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = placeprint.nothing_such


def test_every_folder_of_modules_is_shipped() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {".".join(["placeprint", *file.relative_to(ROOT).parts[:-1]]) for file in FILES}
    assert set(pyproject["tool"]["setuptools"]["packages"]) == folders | {"placeprint"}
