"""Vectors of photos by other encoders, beside the gallery's own, on every store.

Claims: neighbors by a named vector are those of an exact scan of it; photos without one are no answers and
are told; the gallery's own vectors, filters and payloads stay as they are, also when a photo is changed;
a kill between ledger and store loses nothing; a store that never heard of a name is made anew; erasing,
backups, restoring and another model of the gallery's own take them along; another encoder is refused.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows

from placeprint.encoders.errors import (
    DamagedGallery,
    FingerprintMismatch,
    InvalidOption,
    ReadOnlyGallery,
    UnknownVector,
)
from placeprint.encoders.fingerprint import Fingerprint
from placeprint.indexer import gallery as gallery_module
from placeprint.indexer import switching
from placeprint.indexer.backup import back_up
from placeprint.indexer.edge_store import EdgeStore
from placeprint.indexer.filling import Filling
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.index import Index
from placeprint.indexer.named_vectors import VectorCard
from placeprint.indexer.record import photo_id
from placeprint.indexer.restore import restore
from placeprint.indexer.settings import Settings

N, D = 40, 6
OTHER = Fingerprint(
    name="other", weights_sha256="0" * 64, preprocessing="none", dimension=D, architecture="x"
)
CARD = VectorCard(name="map", fingerprint=OTHER, encoder="map:other", facts={"ground_m": 500.0})
SHA256 = [f"sha-photo-{i}" for i in range(N)]
IDS = [photo_id(one) for one in SHA256]


def own() -> np.ndarray:
    return unit_rows(np.random.default_rng(1), N)


def other() -> np.ndarray:
    return unit_rows(np.random.default_rng(2), N, D)


def fill(gallery: Gallery, *, n_named: int = N - 5) -> None:
    rows = [
        record(f"photo-{i}", vector, lon=float(i), lat=10.0, group="even" if i % 2 == 0 else "odd")
        for i, vector in enumerate(own())
    ]
    gallery.add(rows[:25])
    gallery.vectors.begin(CARD)
    gallery.vectors.add("map", SHA256[:10], other()[:10])
    gallery.add(rows[25:])
    gallery.vectors.add("map", SHA256[10:n_named], other()[10:n_named])


def named(gallery: Gallery, k: int = N, **how: object) -> list[str]:
    return [one.photo.id for one in gallery.nearest(other()[3], k, using="map", **how)]  # type: ignore[arg-type]


def test_neighbors_are_those_of_an_exact_scan_of_the_named_vectors(any_gallery: Gallery) -> None:
    fill(any_gallery)
    similarity = other()[: N - 5] @ other()[3]
    found = any_gallery.nearest(other()[3], N, using="map")
    assert [one.photo.id for one in found] == [IDS[i] for i in np.argsort(-similarity)]
    np.testing.assert_allclose([one.similarity for one in found], np.sort(similarity)[::-1], atol=1e-5)
    even = np.argsort(-np.where(np.arange(N - 5) % 2 == 0, similarity, -2.0))[:18]
    filter = Filter(exclude_groups=frozenset({"odd"}))
    assert named(any_gallery, filter=filter) == [IDS[i] for i in even]
    assert any_gallery.vectors.lacking("map") == IDS[N - 5 :]
    kept = any_gallery.embeddings([IDS[7], IDS[2]], using="map")
    np.testing.assert_allclose(kept, other()[[7, 2]], atol=1e-6)


def test_the_gallerys_own_vectors_and_facts_stay(any_gallery: Gallery) -> None:
    fill(any_gallery)
    assert [one.photo.id for one in any_gallery.nearest(own()[0], N)] == [
        IDS[i] for i in np.argsort(-(own() @ own()[0]))
    ]
    assert any_gallery.get([IDS[4]])[0].group == "even" and len(any_gallery) == N
    np.testing.assert_allclose(any_gallery.embeddings([IDS[4]]), own()[[4]], atol=1e-6)
    before = named(any_gallery)
    moved = record("photo-3", own()[3], lon=77.0, lat=-20.0, group="moved")
    any_gallery.add([replace(moved, status="seen", embedding=None)])
    assert any_gallery.get([IDS[3]])[0].lon == 77.0
    assert named(any_gallery) == before


def test_a_deleted_photo_is_no_answer_and_has_its_vector_again_when_it_is_back(any_gallery: Gallery) -> None:
    fill(any_gallery)
    before = named(any_gallery)
    any_gallery.delete([IDS[3]])
    assert named(any_gallery) == before[1:]
    any_gallery.add([record("photo-3", own()[3], lon=3.0, lat=10.0)])
    assert named(any_gallery) == before


def test_a_vector_may_come_before_its_photo(settings: Settings) -> None:
    with Gallery.create("early", fingerprint_of(8), settings=settings) as gallery:
        gallery.vectors.begin(CARD)
        gallery.vectors.add("map", SHA256[:3], other()[:3])
        assert named(gallery) == []
        gallery.add([record(f"photo-{i}", own()[i]) for i in range(3)])
        assert set(named(gallery)) == set(IDS[:3])


@pytest.fixture
def filled(settings: Settings) -> Settings:
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        fill(gallery)
    return settings


def test_they_are_there_when_the_gallery_is_opened_again_rebuilt_and_optimized(filled: Settings) -> None:
    with Gallery.open("trips", settings=filled) as gallery:
        before = named(gallery)
        assert gallery.vectors.cards["map"] == CARD
        gallery.optimize()
        assert named(gallery) == before
    for is_rebuilt in (True, False):
        with Gallery.open("trips", settings=filled, is_rebuilt=is_rebuilt) as gallery:
            assert named(gallery) == before and len(before) == N - 5


def test_a_kill_between_the_ledger_and_the_store_loses_nothing(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("trips", settings=filled) as gallery, monkeypatch.context() as patch:
        patch.setattr(Filling, "set_named", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gallery.vectors.add("map", SHA256[N - 5 :], other()[N - 5 :])
        assert len(named(gallery)) == N - 5
    with Gallery.open("trips", settings=filled) as gallery:
        assert len(named(gallery)) == N and gallery.vectors.lacking("map") == []


def test_a_store_that_never_heard_of_a_name_is_made_anew(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("trips", settings=filled) as gallery, monkeypatch.context() as patch:
        patch.setattr(Index, "renew", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gallery.vectors.begin(VectorCard(name="corner", fingerprint=OTHER, encoder="x"))
    with Gallery.open("trips", settings=filled) as gallery:
        gallery.vectors.add("corner", SHA256[:2], other()[:2])
        assert len(gallery.nearest(other()[0], 5, using="corner")) == 2 and len(named(gallery)) == N - 5


def test_a_store_of_another_kind_of_vectors_is_made_anew(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the card that says bytes, and the store of bytes."""
    with Gallery.open("trips", settings=filled) as gallery, monkeypatch.context() as patch:
        patch.setattr(Index, "renew", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gallery.vectors.begin(replace(CARD, is_quantized=True))
        before = gallery._index.store
    made = []
    monkeypatch.setattr(Index, "_start_anew", lambda self, real=Index._start_anew: made.append(real(self)))
    with Gallery.open("trips", settings=filled) as gallery:
        assert len(made) == 1 and gallery._index.store is not before and len(named(gallery)) == N - 5


def test_what_comes_in_while_a_store_is_made_is_in_it(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos and vectors that are added after the new store has read the ledgers, before it notes so."""
    with Gallery.open("trips", settings=filled) as gallery:
        before, real = named(gallery), Filling.apply
        came = []

        def meanwhile(filling: Filling, live: object, touched: object, rows: dict[object, object]) -> None:
            real(filling, live, touched, rows)  # type: ignore[arg-type]
            if not came:
                came.append("something")
                gallery.add([record("late", own()[0], lon=1.0, lat=1.0)])
                gallery.vectors.add("map", [SHA256[N - 1], "sha-late"], other()[[N - 1, 0]])

        monkeypatch.setattr(Filling, "apply", meanwhile)
        gallery._index.renew()
        late = {IDS[N - 1], photo_id("sha-late")}
        assert set(named(gallery, N + 1)) == {*before, *late} and len(gallery) == N + 1
    with Gallery.open("trips", settings=filled) as gallery:
        assert set(named(gallery, N + 1)) == {*before, *late} and len(gallery) == N + 1


def test_a_new_store_is_given_each_vector_once(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(EdgeStore, "set_vectors", lambda store, name, ids, vectors: given.extend(ids))
    with Gallery.open("trips", settings=filled, is_rebuilt=True) as gallery:
        assert len(named(gallery)) == N - 5 and given == []


def test_a_ledger_that_came_back_from_earlier_is_noticed(filled: Settings, tmp_path: Path) -> None:
    with Gallery.open("trips", settings=filled) as gallery:
        folder = gallery.folder
    ledger = folder / "vectors" / "map" / "ledger"
    (ledger / "00000002.parquet").unlink()
    with Gallery.open("trips", settings=filled) as gallery:
        assert set(named(gallery)) == set(IDS[:10])


def test_a_name_can_be_ended(any_gallery: Gallery) -> None:
    fill(any_gallery)
    any_gallery.vectors.end("map")
    with pytest.raises(UnknownVector, match="no vectors 'map'; there are image"):
        named(any_gallery)
    assert len(any_gallery) == N and not (any_gallery.folder / "vectors" / "map").exists()
    any_gallery.vectors.begin(CARD)
    assert any_gallery.vectors.lacking("map") == sorted(IDS, key=IDS.index)


def test_erasing_takes_them_along(filled: Settings) -> None:
    with Gallery.open("trips", settings=filled) as gallery:
        gallery.delete([IDS[3], IDS[N - 1]], is_erased=True)
        assert IDS[3] not in named(gallery)
        rows = [
            row
            for n in gallery.vectors.ledger("map").numbers()
            for row in gallery.vectors.ledger("map").records(n)
        ]
        assert [row.status for row in rows if row.id == IDS[3]] == ["deleted"]
        assert all(row.embedding is None for row in rows if row.id == IDS[3])
        assert sum(row.embedding is not None for row in rows) == N - 6
        gallery.add([record("photo-3", own()[3])])
        assert gallery.vectors.lacking("map")[0] in IDS and IDS[3] in gallery.vectors.lacking("map")


def test_a_backup_takes_them_along(filled: Settings, tmp_path: Path) -> None:
    back_up("trips", tmp_path / "trips.tar", settings=filled)
    with Gallery.open("trips", settings=filled) as gallery:
        before = named(gallery)
    there = Settings(home=tmp_path / "elsewhere", qdrant_url=None)
    restore(tmp_path / "trips.tar", "back", settings=there)
    with Gallery.open("back", settings=there) as gallery:
        assert named(gallery) == before and gallery.vectors.cards["map"] == CARD


def test_another_model_of_the_gallerys_own_leaves_them(filled: Settings) -> None:
    fresh = Fingerprint(name="new", weights_sha256="1" * 64, preprocessing="", dimension=8, architecture="y")
    with Gallery.open("trips", settings=filled) as gallery:
        before = named(gallery)
        twin = switching.open_twin("trips", fresh, encoder="new", weights=None, settings=filled)
        with twin:
            switching.carry_vectors(gallery, twin)
            gallery.vectors.remove("map", SHA256[4:5])  # meanwhile
            gallery.vectors.add("map", SHA256[5:6], -other()[[5]], said=["moved"])
            twin.add([record(f"photo-{i}", vector) for i, vector in enumerate(own())])
            switching.carry_vectors(gallery, twin)
            assert named(twin) == named(gallery) != before
            assert twin.vectors.marks("map") == gallery.vectors.marks("map")
            assert twin.vectors.cards == gallery.vectors.cards
            n_shards = len(twin.vectors.ledger("map"))
            switching.carry_vectors(gallery, twin)
            assert len(twin.vectors.ledger("map")) == n_shards  # nothing new, nothing written
    switching.exchange("trips", filled)
    with Gallery.open("trips", settings=filled) as gallery:
        assert gallery.fingerprint == fresh and len(named(gallery)) == N - 6


def test_quantized_vectors_answer_like_exact_ones(settings: Settings, rng: np.random.Generator) -> None:
    wide = Fingerprint(name="wide", weights_sha256="2" * 64, preprocessing="", dimension=64, architecture="z")
    vectors = unit_rows(rng, 2000, 64)
    with Gallery.create("bytes", fingerprint_of(8), settings=settings) as gallery:
        gallery.vectors.begin(VectorCard(name="corner", fingerprint=wide, encoder="w", is_quantized=True))
        small = unit_rows(rng, 2000)
        gallery.add([record(f"photo-{i}", one) for i, one in enumerate(small)])
        gallery.vectors.add("corner", [f"sha-photo-{i}" for i in range(2000)], vectors)
        gallery.optimize()
        for query in unit_rows(rng, 10, 64):
            found = gallery.nearest(query, 10, using="corner")
            best = np.argsort(-(vectors @ query))[:10]
            assert len({one.photo.image for one in found} & {f"photo-{i}" for i in best}) >= 9
            np.testing.assert_allclose(found[0].similarity, (vectors @ query).max(), atol=1e-5)  # as it is


def test_what_cannot_be_is_refused(filled: Settings) -> None:
    another = Fingerprint(
        name="else", weights_sha256="3" * 64, preprocessing="", dimension=D, architecture="x"
    )
    with Gallery.open("trips", settings=filled) as gallery:
        with pytest.raises(
            FingerprintMismatch, match="vectors 'map' of gallery 'trips' are by encoder other"
        ):
            gallery.vectors.begin(VectorCard(name="map", fingerprint=another, encoder="e"))
        with pytest.raises(FingerprintMismatch):
            gallery.check(another, using="map")
        for name in ("image", "../up", "Map", ""):
            with pytest.raises(InvalidOption, match="cannot name a vector"):
                gallery.vectors.begin(VectorCard(name=name, fingerprint=OTHER, encoder="e"))
        with pytest.raises(UnknownVector, match="there are image, map"):
            gallery.vectors.add("mpa", SHA256[:1], other()[:1])
        with pytest.raises(ValueError, match="no direction"):
            gallery.vectors.add("map", SHA256[:1], np.zeros((1, D)))
        with pytest.raises(KeyError):
            gallery.embeddings([IDS[N - 1]], using="map")
        assert len(named(gallery)) == N - 5
        card = gallery.folder / "vectors" / "map" / "vector.json"
    card.write_text("{}")
    with pytest.raises(DamagedGallery, match=r"vector\.json: cannot be read"):
        Gallery.open("trips", settings=filled)
    shutil.rmtree(card.parent)
    with Gallery.open("trips", settings=filled) as gallery:
        assert len(gallery) == N and gallery.vectors.cards == {}


def test_who_may_not_write_may_ask(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Gallery.open("trips", settings=filled) as gallery:
        before = named(gallery)
    monkeypatch.setattr(gallery_module, "is_writable", lambda folder: False)
    with Gallery.open("trips", settings=filled) as gallery:
        assert named(gallery) == before
        for change in (
            lambda: gallery.vectors.add("map", SHA256[:1], other()[:1]),
            lambda: gallery.vectors.begin(CARD),
            lambda: gallery.vectors.end("map"),
        ):
            with pytest.raises(ReadOnlyGallery):
                change()


def test_the_card_is_plain_json(filled: Settings) -> None:
    with Gallery.open("trips", settings=filled) as gallery:
        told = json.loads((gallery.folder / "vectors" / "map" / "vector.json").read_text())
    assert told["encoder"] == "map:other" and told["facts"] == {"ground_m": 500.0} and told["format"] == 1


def test_a_vector_can_be_taken_away_and_comes_back_with_another_mark(any_gallery: Gallery) -> None:
    fill(any_gallery)
    before = named(any_gallery)
    any_gallery.vectors.remove("map", [SHA256[3], SHA256[N - 1], "sha-of-nobody"])
    assert named(any_gallery) == before[1:] and IDS[3] in any_gallery.vectors.lacking("map")
    assert SHA256[3] not in any_gallery.vectors.marks("map") and len(any_gallery) == N
    any_gallery.add([record("photo-3", own()[3], group="again")])
    assert named(any_gallery) == before[1:]
    any_gallery.vectors.add("map", [SHA256[3]], other()[[3]], said=["looked again"])
    assert named(any_gallery) == before and any_gallery.vectors.marks("map")[SHA256[3]] == "looked again"


def test_a_sample_is_of_photos_that_have_the_vector(any_gallery: Gallery) -> None:
    fill(any_gallery)
    assert any_gallery.sample(N).shape == (N, 8)
    sampled = any_gallery.sample(N, using="map")
    assert sampled.shape == (N - 5, D)
    assert {tuple(one) for one in sampled.round(5).tolist()} <= {
        tuple(one) for one in other().round(5).tolist()
    }
