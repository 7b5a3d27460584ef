"""What the gallery relies on in a store, asked of every store there is.

The stores: Qdrant Edge in a folder, the client's store in memory, a stand-in server over HTTP, and, where
``QDRANT_URL`` names one, a real server. Claims: each method of `Store` does what its words say.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import unit_rows
from qdrant_fakes import fake_qdrant

from placeprint.encoders.areas import Box, Circle
from placeprint.encoders.errors import InvalidFilter
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.indexer.edge_store import EdgeStore
from placeprint.indexer.filters import Filter
from placeprint.indexer.server_options import MEMORY, ServerOptions
from placeprint.indexer.server_store import ServerStore
from placeprint.indexer.store import VECTOR, Store, VectorKind, find_nearest_many
from placeprint.indexer.store_words import GROUP, translate

N, D, E = 60, 8, 5
KINDS = {VECTOR: VectorKind(D), "map": VectorKind(E, is_quantized=True)}
STORES = ["edge", "memory", "http", pytest.param("server", marks=pytest.mark.server)]
IDS = sorted(str(uuid.UUID(int=7919 * i + 1)) for i in range(N))


def own() -> np.ndarray:
    return unit_rows(np.random.default_rng(1), N, D)


def other() -> np.ndarray:
    return unit_rows(np.random.default_rng(2), N, E)


def places() -> np.ndarray:
    return uniform_on_sphere(N, np.random.default_rng(3))


@pytest.fixture(params=STORES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    alias = f"contract-{uuid.uuid4().hex[:8]}"
    if request.param == "edge":
        folder = tmp_path / "gen-0001"
        EdgeStore(folder, KINDS).close()
        store: Any = EdgeStore(folder)
        yield store
        store.close()
    elif request.param == "http":
        with fake_qdrant() as fake:
            store = ServerStore(ServerOptions(fake.url, alias, batch=16), KINDS)
            yield store
            store.close()
    else:
        url = MEMORY if request.param == "memory" else os.environ.get("QDRANT_URL")
        if not url:
            pytest.skip("QDRANT_URL is not set")
        store = ServerStore(ServerOptions(url, alias, batch=16), KINDS)
        yield store
        store.drop()
        store.close()


@pytest.fixture
def store(empty: Store) -> Store:
    """`N` points, of which every third has no vector of the second name."""
    payloads = [
        {"_place": {"lon": lon, "lat": lat}, GROUP: f"walk-{i % 4}", "height": i}
        for i, (lon, lat) in enumerate(places().tolist())
    ]
    empty.create_index("height", "integer")
    named = [{VECTOR: own()[i]} | ({"map": other()[i]} if i % 3 else {}) for i in range(N)]
    empty.upsert(IDS, named, payloads)
    return empty


def ids_of(found: Any) -> list[str]:
    return [point.id for point in found]


def order(vectors: np.ndarray, query: np.ndarray, rows: Any) -> list[str]:
    rows = np.asarray(rows)
    return [IDS[i] for i in rows[np.argsort(-(vectors[rows] @ query))]]


def test_the_most_similar_come_first_by_any_name(store: Store) -> None:
    query = own()[5]
    found = store.query(query, 10, None, exact=False)
    assert ids_of(found) == order(own(), query, range(N))[:10]
    np.testing.assert_allclose([p.similarity for p in found], np.sort(own() @ query)[::-1][:10], atol=1e-5)
    with_map = [i for i in range(N) if i % 3]
    found = store.query(other()[4], N, None, exact=False, using="map")
    assert ids_of(found) == order(other(), other()[4], with_map)
    assert found[0].payload["height"] == 4


@pytest.mark.parametrize("exact", [False, True])
def test_pages_of_answers_follow_one_another(store: Store, exact: bool) -> None:
    whole = ids_of(store.query(own()[0], 20, None, exact=exact))
    assert ids_of(store.query(own()[0], 12, None, exact=exact, offset=8)) == whole[8:20]


def test_many_at_once_are_answered_as_one_by_one(store: Store) -> None:
    condition = translate(Filter(exclude_groups=frozenset({"walk-1"})), store.words)
    for using, vectors in ((VECTOR, own()), ("map", other())):
        for asked in (None, condition):
            at_once = store.query_many(vectors, 7, asked, exact=True, using=using)
            one_by_one = [store.query(v, 7, asked, exact=True, using=using) for v in vectors]
            assert [ids_of(found) for found in at_once] == [ids_of(found) for found in one_by_one]
    assert [ids_of(f) for f in find_nearest_many(store, own(), 3, None)] == [
        order(own(), v, range(N))[:3] for v in own()
    ]


@pytest.mark.parametrize(
    ("filter", "lets_through"),
    [
        (Filter(groups=frozenset({"walk-1", "walk-2"})), lambda i: i % 4 in (1, 2)),
        (Filter(exclude_groups=frozenset({"walk-1"})), lambda i: i % 4 != 1),
        (Filter(exclude_ids=frozenset(IDS[:7])), lambda i: i >= 7),
        (Filter(where={"height": [3, 5.0]}), lambda i: i in (3, 5)),
        (Filter(is_placed=False), lambda i: False),
        (Filter(within=Box(170, -80, -100, 80)), lambda i: Box(170, -80, -100, 80).contains(places())[i]),
        (Filter(near=Circle(179, 60, 5000)), lambda i: Circle(179, 60, 5000).contains(places())[i]),
    ],
)  # fmt: skip
def test_filters_count_and_search_the_same_points(store: Store, filter: Filter, lets_through: Any) -> None:
    condition = translate(filter, store.words)
    wanted = [i for i in range(N) if lets_through(i)]
    assert store.count(condition) == len(wanted)
    found = store.query(own()[0], N, condition, exact=True)
    assert ids_of(found) == (order(own(), own()[0], wanted) if wanted else [])
    assert ids_of(store.scroll(condition, N)) == [IDS[i] for i in wanted]


def test_scrolling_is_in_the_order_of_ids_from_one_on(store: Store) -> None:
    assert ids_of(store.scroll(None, 1000)) == IDS
    assert ids_of(store.scroll(None, 5, IDS[10])) == IDS[10:15]


def test_facets_count_points_by_value_most_first(store: Store) -> None:
    store.delete([IDS[1], IDS[5], IDS[2]])
    assert store.facet(GROUP, None, 3) == {"walk-0": 15, "walk-3": 15, "walk-2": 14}
    only = translate(Filter(groups=frozenset({"walk-1"})), store.words)
    assert store.facet(GROUP, only, 10) == {"walk-1": 13}


def test_a_point_is_replaced_as_a_whole(store: Store) -> None:
    new = own()[[40]] * -1
    store.upsert([IDS[4]], [{VECTOR: new[0]}], [{"height": -1}])
    assert store.count(None) == N
    [point] = store.retrieve([IDS[4]], with_vectors=True)
    assert point.payload == {"height": -1}
    np.testing.assert_allclose(point.vector, new[0], atol=1e-6)
    assert IDS[4] not in ids_of(store.query(other()[4], N, None, exact=True, using="map"))


def test_named_vectors_come_and_go_and_points_stay(store: Store) -> None:
    def having() -> set[str]:
        return set(ids_of(store.query(other()[0], N, None, exact=True, using="map")))

    before = having()
    store.set_vectors("map", [IDS[0], IDS[3]], other()[[0, 3]])
    assert having() == before | {IDS[0], IDS[3]}
    assert ids_of(store.query(other()[0], 1, None, exact=True, using="map")) == [IDS[0]]
    store.delete_vectors("map", [IDS[0], IDS[1]])
    assert having() == before - {IDS[1]} | {IDS[3]}
    assert store.count(None) == N
    assert store.retrieve([IDS[1]], with_vectors=False)[0].payload["height"] == 1


def test_what_is_deleted_is_gone_and_unknown_ids_are_no_matter(store: Store) -> None:
    store.delete([IDS[7], str(uuid.UUID(int=1 << 90))])
    assert store.count(None) == N - 1
    assert store.retrieve([IDS[7]], with_vectors=False) == []
    assert IDS[7] not in ids_of(store.query(own()[7], 3, None, exact=False))
    assert sorted(ids_of(store.retrieve(IDS[6:9], with_vectors=True))) == [IDS[6], IDS[8]]


def test_an_empty_store_answers_with_nothing(empty: Store) -> None:
    assert empty.query(own()[0], 5, None, exact=False) == []
    assert empty.query_many(own()[:3], 5, None, exact=False) == [[], [], []]
    assert empty.count(None) == 0 and list(empty.scroll(None, 10)) == []
    assert empty.facet(GROUP, None, 10) == {}


def test_a_store_beside_takes_over_in_one_step(store: Store) -> None:
    if not isinstance(store, ServerStore):
        pytest.skip("a folder's stores take over by the name of a folder")
    beside = store.successor(KINDS)
    beside.upsert(IDS[:2], [{VECTOR: v} for v in own()[:2]], [{}, {}])
    assert (store.count(None), beside.count(None)) == (N, 2)
    beside.link()
    beside.take_over()
    assert (store.count(None), beside.count(None)) == (2, 2)  # the first one asks by the alias, too
    beside.clear_others()
    assert store.count(None) == 2


@pytest.mark.server
def test_a_strict_server_refuses_a_field_without_an_index() -> None:
    url = os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip("QDRANT_URL is not set")
    store = ServerStore(ServerOptions(url, f"contract-{uuid.uuid4().hex[:8]}"), KINDS)
    try:
        store.upsert(IDS[:1], [{VECTOR: own()[0]}], [{"color": "red"}])
        with pytest.raises(InvalidFilter, match="color"):
            store.count(translate(Filter(where={"color": "red"}), store.words))
    finally:
        store.drop()
        store.close()
