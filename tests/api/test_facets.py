"""A facet counts photos by what they share, and does not list what names a single one."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from served import TRIPS, is_problem, make_gallery, serving

from placeprint.api.serving import facets
from placeprint.api.serving.refusals import TooPrecise


def facet_of(counts: dict[Any, int]) -> Any:
    return lambda key, limit: dict(Counter(counts).most_common(limit))


def test_a_field_that_names_each_photo_is_refused() -> None:
    names = {f"holiday-{i}.jpg": 1 for i in range(40)}
    with pytest.raises(TooPrecise, match="FACET_FIELDS"):
        facets.counted(facet_of(names), "file", 5)
    assert facets.counted(facet_of(names), "file", 5, allowed=["file"]) == dict.fromkeys(list(names)[:5], 1)


def test_a_field_that_photos_share_is_counted_rare_values_too() -> None:
    cities = {"Kyoto": 9, "Nara": 2, "Uji": 1}
    assert facets.counted(facet_of(cities), "city", 2) == {"Kyoto": 9, "Nara": 2}
    assert facets.counted(facet_of(cities), "city", 50) == cities


def test_one_value_of_many_photos_hides_no_names() -> None:
    """A thousand photos without a title do not make the titles of the others common."""
    titles = {"untitled": 5000} | {f"{i}.jpg": 1 for i in range(4000)}
    assert facets.counted(facet_of(titles), "title", 1000) == {"untitled": 5000}


def test_half_is_the_edge() -> None:
    counts = {"a": 3, "b": 1}
    assert facets.counted(facet_of(counts), "k", 10) == counts
    with pytest.raises(TooPrecise):
        facets.counted(facet_of({"a": 2, "b": 1}), "k", 10)


def test_moments_and_cells_are_counted_as_they_are() -> None:
    assert facets.counted(facet_of({2018: 1, 2019: 1}), "year", 10) == {2018: 1, 2019: 1}
    assert facets.counted(facet_of({}), "city", 10) == {}


def test_the_service_lists_no_names_of_files(tmp_path: Path) -> None:
    home = make_gallery(tmp_path)
    with serving() as start:
        client = start(home, precision="exact")
        answer = client.get(f"{TRIPS}/facets/note")  # of each photo: from holiday-red-0.jpg
        assert is_problem(answer, 403) and "holiday" not in answer.text
        assert len(client.get(f"{TRIPS}/facets/city").json()["counts"]) == 3
    with serving() as start:
        client = start(home, precision="exact", facet_fields=["note"])
        assert len(client.get(f"{TRIPS}/facets/note").json()["counts"]) == 12
