"""The examples run, on the real table, and show what they say."""

import runpy
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared"


@pytest.mark.real
@pytest.mark.slow
def test_prices_are_told_better_with_embeddings_of_places(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = SHARED / "data" / "prices" / "california_housing.csv"
    if not table.exists():
        pytest.skip("the table of house prices is not here")
    monkeypatch.setattr(sys, "argv", ["example", str(table), "--encoder", "sh-10"])
    runpy.run_path(str(HERE / "location_features_prices.py"))
    lines = capsys.readouterr().out.splitlines()
    random = {line[:14].strip(): float(line[14:26]) for line in lines[1:]}
    assert list(random) == ["attributes", "+ lon, lat", "+ embeddings", "+ neighbors"]
    assert random["attributes"] < random["+ lon, lat"] < random["+ embeddings"] < random["+ neighbors"]
