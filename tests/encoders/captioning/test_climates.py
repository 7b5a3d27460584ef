"""Climates read from the atlas, and their words."""

import numpy as np
import pytest

from placeprint.encoders.captioning import climates
from placeprint.encoders.captioning.climates import GROUPS, PHRASES, climate_classes
from placeprint.encoders.errors import InvalidCoordinate, WeightsUnavailable
from placeprint.encoders.world.tables import CLIMATES


@pytest.mark.parametrize(
    ("lonlat", "name"),
    [((2.35, 48.85), "Cfb"), ((31.2, 30.0), "BWh"), ((103.8, 1.35), "Af"), ((0.0, -90.0), "EF"),
     ((37.6, 55.75), "Dfb"), ((-140.0, 0.0), ""), ((0.0, 90.0), ""), ((133.4, 67.55), "Dfd"),
     ((23.7, 38.0), "Csa"), ((360.0 - 99.1, 19.4), "Cwb")],
)  # fmt: skip
def test_known_places(lonlat: tuple[float, float], name: str) -> None:
    assert climate_classes([lonlat])[0] == name


def test_the_antimeridian_is_one_line() -> None:
    lat = np.linspace(-89, 89, 50)
    west, east = (np.stack([np.full(50, lon), lat], 1) for lon in (-180.0, 180.0))
    assert (climate_classes(west) == climate_classes(east)).all()


def test_every_class_has_two_different_wordings_in_one_of_five_groups() -> None:
    assert set(PHRASES) == set(CLIMATES) and {one[0] for one in PHRASES} == set(GROUPS)
    wordings = [phrase for pair in PHRASES.values() for phrase in pair]
    assert len(set(wordings)) == 62
    assert all(name.startswith(("a ", "an ")) for name, _ in PHRASES.values())


def test_nowhere_is_refused() -> None:
    with pytest.raises(InvalidCoordinate):
        climate_classes([[np.nan, 0.0]])


def test_a_missing_atlas_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climates, "NAME", "nothing-of-that-name")
    with pytest.raises(WeightsUnavailable, match="install placeprint again"):
        climates._raster.__wrapped__()
