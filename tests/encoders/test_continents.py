"""Continents of countries and points.

Claims: every country of the table of places has one, and every country but one; codes and points keep
their shape; borders of continents inside countries are where the documentation says, from the
Bosporus to the antimeridian; the far south is Antarctica.
"""

import numpy as np
import pytest

from placeprint.encoders.continents import CONTINENTS, continent_at, continent_of
from placeprint.encoders.errors import InvalidCoordinate, UnknownCountry
from placeprint.encoders.places import load_places

SIDES = [
    ("EU", {"Sultanahmet": (28.977, 41.006), "Beşiktaş": (29.005, 41.043), "Sarıyer": (29.05, 41.17),
            "Edirne": (26.55, 41.67), "Eceabat": (26.36, 40.185), "Gelibolu": (26.67, 40.41)}),
    ("AS", {"Üsküdar": (29.015, 41.023), "Kadıköy": (29.03, 40.99), "Beykoz": (29.10, 41.13),
            "Şile": (29.61, 41.17), "Çanakkale": (26.41, 40.15), "Lapseki": (26.685, 40.345)}),
    ("EU", {"Kaliningrad": (20.5, 54.7), "Moscow": (37.6, 55.75), "Perm": (56.25, 58.0),
            "Ufa": (55.97, 54.73), "Orenburg": (55.1, 51.77), "Vorkuta": (64.05, 67.5)}),
    ("AS", {"Yekaterinburg": (60.6, 56.84), "Miass": (60.1, 55.05), "Salekhard": (66.6, 66.53),
            "Vladivostok": (131.9, 43.1), "Anadyr": (177.5, 64.73), "Lavrentiya": (-171.0, 65.58)}),
    ("EU", {"Oral": (51.37, 51.2), "Ganyushkino": (49.27, 46.6)}),
    ("AS", {"Makat": (53.3, 47.65), "Aktau": (51.15, 43.65), "Fort Shevchenko": (50.26, 44.51)}),
    ("AF", {"Cairo": (31.2, 30.0), "Hurghada": (33.81, 27.25), "Las Palmas": (-15.4, 28.1),
            "Funchal": (-16.9, 32.65), "Melilla": (-2.94, 35.29)}),
    ("AS", {"Sharm el-Sheikh": (34.33, 27.91), "Nicosia": (33.36, 35.17), "Tbilisi": (44.8, 41.7)}),
    ("OC", {"Honolulu": (-157.86, 21.3), "Jayapura": (140.7, -2.5), "Hanga Roa": (-109.43, -27.15),
            "Fiji, west": (-179.9, -16.8), "Fiji, east": (179.9, -16.8)}),
    ("NA", {"Anchorage": (-149.9, 61.2), "Adak": (-176.66, 51.88), "Nuuk": (-51.7, 64.2),
            "Panama": (-79.5, 9.0)}),
    ("SA", {"Cayenne": (-52.3, 4.9), "Ushuaia": (-68.3, -54.8), "Santiago": (-70.65, -33.45)}),
    ("AN", {"McMurdo": (166.7, -77.8), "Bellingshausen": (-58.96, -62.2), "South Pole": (0.0, -90.0)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("continent", "name", "lonlat"), [(c, name, at) for c, named in SIDES for name, at in named.items()]
)
def test_a_place_is_on_its_continent(continent, name, lonlat):
    assert continent_at(lonlat) == continent, name


def test_every_country_with_places_has_a_continent():
    found = continent_of(load_places().country_code.astype(str))
    assert set(found) == set(CONTINENTS) - {"AN"}


def test_namibia_is_in_africa_and_no_country_on_no_continent():
    assert continent_of(["NA", "", "US", "XK", "AQ"]).tolist() == ["AF", "", "NA", "EU", "AN"]


@pytest.mark.parametrize("code", ["XX", "us", "FRA", "Europe"])
def test_a_code_that_no_country_has_is_refused(code):
    with pytest.raises(UnknownCountry, match=f"'{code}'.*ISO 3166-1"):
        continent_of(["FR", code])


def test_shapes_are_kept():
    assert continent_of("FR").shape == continent_at([2.35, 48.85]).shape == ()
    assert continent_of([["FR"], ["JP"]]).tolist() == [["EU"], ["AS"]]
    assert continent_at([[[2.35, 48.85], [139.7, 35.7]]]).tolist() == [["EU", "AS"]]
    assert continent_of([]).shape == continent_at(np.empty((0, 2))).shape == (0,)


def test_a_longitude_may_be_counted_to_360():
    assert continent_at([[188.0, 65.0], [-172.0, 65.0]]).tolist() == ["AS", "AS"]


def test_a_point_off_the_earth_is_refused():
    with pytest.raises(InvalidCoordinate):
        continent_at([48.85, 139.7])
