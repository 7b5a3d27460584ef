"""A gallery on a Qdrant server, as the server sees it: a stand-in that speaks HTTP and writes down all.

Claims: what is made has the shards, copies, strictness and indexes that were set, indexes before points; a
gallery is reached through an alias, and is made anew beside the old one, which answers until all is in;
what a kill leaves is removed; writes are waited for, in batches; failures pass without a word, or are told.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows
from gallery_rows import E1
from qdrant_client import models
from qdrant_fakes import FakeQdrant, Fault, fake_qdrant

from placeprint.encoders.errors import InvalidFilter, PlaceprintError
from placeprint.indexer import gallery as gallery_module
from placeprint.indexer import server_calls
from placeprint.indexer.filling import Filling
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.server_store import ServerStore
from placeprint.indexer.settings import Settings
from placeprint.indexer.storage import Storage
from placeprint.indexer.store import INDEXES, StoreUnavailable


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with fake_qdrant() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_calls, "FIRST_WAIT_S", 0.001)


def settings_of(server: FakeQdrant, home: Path, **set_: object) -> Settings:
    return Settings(home=home, qdrant_url=server.url, lock_timeout_s=0.2, qdrant_retries=3, **set_)


def gallery_on(server: FakeQdrant, home: Path, **set_: object) -> Gallery:
    return Gallery.create("trips", fingerprint_of(8), settings=settings_of(server, home, **set_))


def rows(n: int, start: int = 0) -> list:
    vectors = unit_rows(np.random.default_rng(start), n)
    return [record(f"photo-{start + i}", v, lon=1.0, lat=2.0, group="a") for i, v in enumerate(vectors)]


def test_a_collection_is_made_as_it_was_set(server: FakeQdrant, tmp_path: Path) -> None:
    settings = {"qdrant_shards": 6, "qdrant_replicas": 2, "qdrant_write_consistency": 2}
    with gallery_on(server, tmp_path, **settings) as gallery:
        gallery.add(rows(3))
    [made] = server.sent("PUT", "/collections/[^/]+")
    assert (made.body.shard_number, made.body.replication_factor) == (6, 2)
    assert made.body.write_consistency_factor == 2 and made.body.hnsw_config.m == 16
    strict = made.body.strict_mode_config
    assert strict.enabled and strict.search_allow_exact and not strict.unindexed_filtering_retrieve
    assert strict.upsert_max_batchsize >= 256 and strict.search_max_batchsize >= 64
    indexed = {r.body.field_name: r.body.field_schema for r in server.sent("PUT", "/collections/.*/index")}
    assert indexed == {key: models.PayloadSchemaType(kind) for key, kind in INDEXES.items()}
    order = [(r.method, r.path.rpartition("/")[2]) for r in server.requests]
    last_index = max(i for i, one in enumerate(order) if one == ("PUT", "index"))
    assert last_index < order.index(("PUT", "points"))


def test_what_was_not_set_is_left_to_the_server(server: FakeQdrant, tmp_path: Path) -> None:
    with gallery_on(server, tmp_path, qdrant_is_strict=False):
        pass
    made = server.sent("PUT", "/collections/[^/]+")[0].body
    assert made.strict_mode_config is None
    assert made.shard_number is made.replication_factor is made.write_consistency_factor is None


def test_a_field_of_the_photos_is_indexed_before_it_is_written(server: FakeQdrant, tmp_path: Path) -> None:
    with gallery_on(server, tmp_path) as gallery:
        gallery.add([record("a", E1, payload='{"country": "NA"}')])
        assert gallery.facet("country") == {"NA": 1}
    paths = [
        r.path if r.path.endswith("points") else str(getattr(r.body, "field_name", ""))
        for r in server.requests
    ]
    written = next(i for i, path in enumerate(paths) if path.endswith("points"))
    assert paths.index("country") < written


def test_writes_are_waited_for_and_in_batches(server: FakeQdrant, tmp_path: Path) -> None:
    set_ = {"qdrant_batch": 64, "qdrant_write_ordering": "strong", "qdrant_streams": 3}
    with gallery_on(server, tmp_path, **set_) as gallery:
        gallery.add(rows(200))
        gallery.delete([gallery.nearest(E1, 1)[0].photo.id])
        assert len(gallery) == 199
    written = server.sent("PUT", "/collections/.*/points")
    assert sorted(len(r.body.points) for r in written) == [8, 64, 64, 64]
    for request in [*written, *server.sent("POST", "/collections/.*/points/delete")]:
        assert request.query["wait"] == "true" and request.query["ordering"] == "strong"


def test_questions_ask_as_many_copies_as_was_set(server: FakeQdrant, tmp_path: Path) -> None:
    with gallery_on(server, tmp_path, qdrant_read_consistency="majority") as gallery:
        gallery.add(rows(3))
        gallery.nearest(E1, 1)
        gallery.nearest_many([E1, E1], 1)
        gallery.facet("group")
        list(gallery.find())
        gallery.get(["00000000-0000-0000-0000-000000000000"])
    for path in ("points/query", "points/query/batch", "facet", "points/scroll", "points"):
        assert {r.query.get("consistency") for r in server.sent("POST", f"/collections/.*/{path}")} == {
            "majority"
        }


def test_filtered_searches_are_exact_and_vectors_compared_again(server: FakeQdrant, tmp_path: Path) -> None:
    with gallery_on(server, tmp_path) as gallery:
        gallery.add(rows(30))
        gallery.nearest(E1, 5, filter=Filter(is_placed=True))
        gallery.nearest(E1, 5)
        [filtered, plain] = server.sent("POST", "/collections/.*/points/query")
        assert filtered.body.params.exact and not plain.body.params.exact
        assert plain.body.params.quantization.rescore and plain.body.params.quantization.oversampling == 3.0
        gallery.optimize(Storage("binary", "disk"))
        [change] = server.sent("PATCH", "/collections/[^/]+")
        image = change.body.vectors["image"]
        assert image.quantization_config.binary.always_ram and image.on_disk
        gallery.nearest(E1, 5)
        assert server.requests[-1].body.params.quantization.oversampling == 8.0


@pytest.mark.parametrize("status", [500, 502, 503, 429, 0])
@pytest.mark.parametrize("is_late", [False, True])
def test_what_passes_is_tried_again(server: FakeQdrant, tmp_path: Path, status: int, is_late: bool) -> None:
    with gallery_on(server, tmp_path, qdrant_batch=10, qdrant_streams=1) as gallery:
        server.faults = [
            Fault(status, "PUT", ".*/points", times=2, is_late=is_late),
            Fault(status, "POST", ".*/points/query", times=3, is_late=is_late),
        ]
        gallery.add(rows(25))
        assert len(gallery) == 25 and len(gallery.nearest(E1, 5)) == 5
        assert all(fault.times == 0 for fault in server.faults)


def test_what_does_not_pass_is_told_and_the_ledger_keeps_the_photos(
    server: FakeQdrant, tmp_path: Path
) -> None:
    with gallery_on(server, tmp_path) as gallery:
        server.faults = [Fault(503, "PUT", ".*/points", times=99)]
        with pytest.raises(StoreUnavailable, match=r"answers 503.*out of order.*ledger is safe"):
            gallery.add(rows(5))
        assert len(server.sent("PUT", ".*/points")) == 4  # once and three times more
        assert len(gallery) == 0
    server.faults.clear()
    with Gallery.open("trips", settings=settings_of(server, tmp_path)) as gallery:
        assert len(gallery) == 5


def test_a_refusal_is_not_tried_again(server: FakeQdrant, tmp_path: Path) -> None:
    with gallery_on(server, tmp_path) as gallery:
        query = ".*/points/query"
        server.faults = [Fault(403, "POST", query)]
        with pytest.raises(StoreUnavailable, match="PLACEPRINT_QDRANT_API_KEY"):
            gallery.nearest(E1, 1)
        said = 'Index required but not found for \\"color\\" of one of the following types: [keyword]'
        server.faults = [Fault(400, "POST", query, said=said)]
        with pytest.raises(InvalidFilter, match="color: no photo"):
            gallery.nearest(E1, 1)
        assert len(server.sent("POST", query)) == 2


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with fake_qdrant() as gone:
        settings = settings_of(gone, tmp_path)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        Gallery.create("trips", fingerprint_of(8), settings=settings)


def test_a_renewed_gallery_answers_from_the_old_one_until_all_is_in(
    server: FakeQdrant, tmp_path: Path
) -> None:
    with gallery_on(server, tmp_path, qdrant_batch=8) as gallery:
        gallery.add(rows(60))
        [(alias, before)] = server.aliases.items()
        done, found = threading.Event(), []

        def ask() -> None:
            while not done.is_set():
                found.append(len(gallery.nearest(E1, 50)))

        asking = threading.Thread(target=ask)
        asking.start()
        writing = threading.Timer(0.05, gallery.add, [rows(3, start=1000)])
        writing.start()
        assert gallery._index.renew()
        writing.join()
        done.set()
        asking.join()
        assert set(found) == {50} and len(found) > 3
        assert len(gallery) == 63
        [(name, after)] = server.aliases.items()
        assert name == alias and after != before and server.collections == {after}
        filled = server.sent("PUT", f"/collections/{after}")[0].body
        assert filled.hnsw_config.m == 0
        linked = server.sent("PATCH", f"/collections/{after}")[0].body
        assert linked.hnsw_config.m == 16
        [switch] = [r for r in server.sent("POST", "/collections/aliases") if len(r.body.actions) == 2]
        assert switch.body.actions[0].delete_alias.alias_name == alias
        gallery.add(rows(1, start=2000))
        assert len(gallery) == 64
    with Gallery.open("trips", settings=settings_of(server, tmp_path)) as gallery:
        assert len(gallery) == 64
        assert len(server.sent("PUT", "/collections/[^/]+")) == 2  # opening made nothing anew


def test_erased_photos_leave_no_collection_that_holds_them(server: FakeQdrant, tmp_path: Path) -> None:
    with gallery_on(server, tmp_path) as gallery:
        gallery.add(rows(5))
        before = server.collections
        gallery.delete([gallery.nearest(E1, 1)[0].photo.id], is_erased=True)
        assert len(gallery) == 4 and not before & server.collections


@pytest.mark.parametrize("method", ["link", "take_over", "clear_others"])
def test_a_renewal_that_was_cut_off_is_tidied_up(
    server: FakeQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    with gallery_on(server, tmp_path) as gallery:
        gallery.add(rows(9))
        with monkeypatch.context() as patch:
            patch.setattr(ServerStore, method, lambda store: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                gallery._index.renew()
        assert len(server.collections) == 2 and len(gallery) == 9
    with Gallery.open("trips", settings=settings_of(server, tmp_path)) as gallery:
        assert len(gallery) == 9
        assert server.collections == set(server.aliases.values())


def test_a_new_collection_that_lacks_photos_does_not_take_over(
    server: FakeQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gallery_on(server, tmp_path) as gallery:
        gallery.add(rows(9))
        before = dict(server.aliases)
        real = Filling.catch_up
        monkeypatch.setattr(
            Filling,
            "catch_up",
            lambda filling, live: (real(filling, live), live.store.delete([gallery_id(gallery)])),
        )
        with pytest.raises(StoreUnavailable, match="has 8 photos and the ledger 9"):
            gallery._index.renew()
        assert server.aliases == before and len(gallery) == 9


def gallery_id(gallery: Gallery) -> str:
    return next(iter(gallery.find())).id


def test_the_collection_of_an_early_gallery_is_used_and_gives_way(server: FakeQdrant, tmp_path: Path) -> None:
    with gallery_on(server, tmp_path) as gallery:
        alias = gallery._index._server.alias
    gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    server.client.update_collection_aliases([gone])
    server.client.delete_collection(f"{alias}-1")
    params = models.VectorParams(size=8, distance=models.Distance.COSINE)
    server.client.create_collection(alias, vectors_config={"image": params})
    with Gallery.open("trips", settings=settings_of(server, tmp_path)) as gallery:
        gallery.add(rows(4))
        assert server.collections == {alias} and not server.aliases
        gallery._index.renew()
        assert server.aliases == {alias: f"{alias}-1"} and server.collections == {f"{alias}-1"}
        assert len(gallery) == 4
    Gallery.remove("trips", settings=settings_of(server, tmp_path))
    assert not server.collections and not server.aliases


def test_who_may_only_read_has_a_key_for_it_and_makes_nothing(
    server: FakeQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"qdrant_api_key": "full", "qdrant_read_api_key": "readers"}
    with pytest.warns(UserWarning, match="insecure"), gallery_on(server, tmp_path, **keys) as gallery:
        gallery.add(rows(4))
        leftover = gallery._index.store.successor(gallery._index._kinds)._name
    assert {r.headers.get("api-key") for r in server.requests} == {"full"}
    server.requests.clear()
    monkeypatch.setattr(gallery_module, "is_writable", lambda path: False)
    settings = settings_of(server, tmp_path, **keys)
    with (
        pytest.warns(UserWarning, match="insecure"),
        Gallery.open("trips", settings=settings) as gallery,
    ):
        assert len(gallery.nearest(E1, 9)) == 4 and leftover in server.collections
    assert {r.headers.get("api-key") for r in server.requests} == {"readers"}
    assert {r.method for r in server.requests} <= {"GET", "POST"}


@pytest.mark.parametrize(
    "set_",
    [{"qdrant_shards": 0}, {"qdrant_read_consistency": "most"}, {"qdrant_write_ordering": "any"},
     {"qdrant_batch": 257}, {"qdrant_retries": -1}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, set_: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(set_))):
        Settings(home=tmp_path, **set_)


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, qdrant_url="nowhere:port:x", qdrant_retries=0)
    with pytest.raises(PlaceprintError):
        Gallery.create("trips", fingerprint_of(8), settings=settings)


def test_the_wait_grows_and_heeds_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_calls, "FIRST_WAIT_S", 0.2)
    lost = ConnectionError("gone")
    waits = [server_calls._passing_s(lost, attempt) for attempt in range(8)]
    assert all(0.1 * 2**i <= wait <= 0.2 * 2**i for i, wait in enumerate(waits[:5]))
    assert max(waits) <= server_calls.LONGEST_WAIT_S
    lost.retry_after_s = 4
    assert server_calls._passing_s(lost, 0) == 4.0
    assert server_calls._passing_s(ValueError("of the caller"), 0) is None
