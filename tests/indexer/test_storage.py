"""How a gallery keeps its vectors: as they are, as bytes or as bits, in memory or on disk.

Claims: answers stay right whatever is chosen, as nearly as it promises; a choice is kept, takes effect when
the index is built, while questions and photos go on, and may be taken back; without one the number of photos
decides; galleries that know nothing of it work; what means nothing is refused.
"""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import copy_folder
from fakes import fingerprint_of, record, unit_rows
from gallery_rows import E1
from program import run_program

from placeprint.encoders.errors import DamagedGallery, InvalidOption, PlaceprintError
from placeprint.indexer import gallery as gallery_module
from placeprint.indexer import optimize, storage
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.storage import AUTOMATIC, Storage, chosen, storage_of

N, D, K = 800, 3584, 10
"""As wide as this, so that few photos are as many bytes as the engine builds an index for."""


def vectors_of(n: int = N) -> np.ndarray:
    rng = np.random.default_rng(7)
    latent = rng.normal(size=(N, 24)) @ rng.normal(size=(24, D)) + 0.3 * rng.normal(size=(N, D))
    return (latent / np.linalg.norm(latent, axis=1, keepdims=True)).astype(np.float32)[:n]


def queries_of() -> np.ndarray:
    noisy = vectors_of(60) + 0.01 * np.random.default_rng(8).normal(size=(60, D)).astype(np.float32)
    return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


def recall(gallery: Gallery) -> float:
    best = np.argsort(-(queries_of() @ vectors_of().T), axis=1)[:, :K]
    found = [{int(n.photo.image) for n in gallery.nearest(query, K)} for query in queries_of()]
    return float(np.mean([len(f & set(b.tolist())) / K for f, b in zip(found, best, strict=True)]))


def quantized_bytes(gallery: Gallery) -> int:
    files = gallery._index._generations.current.rglob("quantized*")
    return sum(path.stat().st_size for path in files if path.suffix != ".json")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("storage") / "home"
    with Gallery.create("wide", fingerprint_of(D), settings=Settings(home=home, qdrant_url=None)) as gallery:
        gallery.add([record(str(i), v, group="odd" if i % 2 else "even") for i, v in enumerate(vectors_of())])
    return home


@pytest.fixture
def wide(prepared: Path, tmp_path: Path) -> Settings:
    """The settings of a home with a gallery of `N` photos, without a search index yet."""
    return Settings(home=copy_folder(prepared, tmp_path / "home"), qdrant_url=None, lock_timeout_s=0.2)


def test_each_way_of_keeping_vectors_answers_as_rightly_as_it_promises(
    wide: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("wide", settings=wide) as gallery:
        gallery.optimize(Storage("int8"))
        assert recall(gallery) >= 0.98
        assert N * D <= quantized_bytes(gallery) < 1.1 * N * D
        gallery.optimize(Storage("binary", "disk", "disk"))
        assert N * D / 8 <= quantized_bytes(gallery) < 1.1 * N * D / 8
        rescored = recall(gallery)
        assert rescored >= 0.9
        monkeypatch.setattr(gallery._index.store, "oversampling", 1.0)
        assert recall(gallery) < rescored - 0.05  # so that many are compared again for a reason
    with Gallery.open("wide", settings=wide) as gallery:  # and the choice is known again
        assert gallery.storage == Storage("binary", "disk", "disk")
        assert recall(gallery) == rescored
        exact = gallery.nearest(queries_of()[0], K, exact=True)
        best = np.argsort(-(vectors_of() @ queries_of()[0]))[:K]
        assert [int(n.photo.image) for n in exact] == best.tolist()
        gallery.optimize(Storage("none"))
        assert quantized_bytes(gallery) == 0 and recall(gallery) >= 0.99


def fields_of(gallery: Gallery) -> dict[str, dict[str, Any]]:
    """How each payload field of a store is indexed; the same in all segments."""
    folder = gallery._index._generations.current
    schemas = [json.loads(path.read_text()) for path in folder.glob("segments/*/payload_index/config.json")]
    fields = [schema["indexed_fields"] for schema in schemas]
    assert fields and all(one == fields[0] for one in fields)
    return dict(fields[0])


def test_fields_take_little_memory_and_make_no_graphs(wide: Settings) -> None:
    """Of a million photos they took 0.2 GB more, and building 49 minutes of the processor, not 12."""
    late = record("late", vectors_of(1)[0], payload='{"color": "red", "height": 3, "area": 0.5}')
    with Gallery.open("wide", settings=wide) as gallery:
        gallery.add([late])
        gallery.optimize(Storage("int8"))
        fields = fields_of(gallery)
        gallery.optimize(Storage("int8", "disk"))
        on_disk = fields_of(gallery)
        red = gallery.nearest(vectors_of(1)[0], 1, filter=Filter(where={"color": "red"}))
        assert [one.photo.image for one in red] == ["late"]
        gallery.optimize(Storage("int8"))
        assert fields_of(gallery) == fields
    assert all(how["memory"] == "cold" for how in on_disk.values()) and on_disk.keys() == fields.keys()
    assert {
        "_place",
        "_group",
        "_h3_7",
        "_captured_at",
        "_place.lon",
        "color",
        "height",
        "area",
    } <= fields.keys()
    assert all(how["enable_hnsw"] is False for how in fields.values())
    in_files = {name for name, how in fields.items() if how.get("memory") == "cached"}
    assert in_files == {"_group", "_h3_3", "_h3_5", "_h3_7", "_captured_at", "color"}


@pytest.mark.slow
def test_questions_and_photos_go_on_while_vectors_are_made_smaller(wide: Settings) -> None:
    vectors, wrong, errors = vectors_of(), [], []
    done, n_asked = threading.Event(), 0

    def ask(gallery: Gallery) -> None:
        nonlocal n_asked
        while not done.is_set():
            row = n_asked % N
            try:
                found = gallery.nearest(vectors[row], 3, filter=Filter(exclude_groups=frozenset({"none"})))
                if len(found) != 3 or found[0].photo.image != str(row):
                    wrong.append(row)
            except Exception as error:
                errors.append(error)
            n_asked += 1

    with Gallery.open("wide", settings=wide) as gallery:
        asking = threading.Thread(target=ask, args=(gallery,))
        asking.start()
        try:
            for number, kept in enumerate((Storage("int8"), Storage("none"))):
                late = unit_rows(np.random.default_rng(number), 1, D)[0]
                writing = threading.Timer(0.3, gallery.add, [[record(f"late-{number}", late)]])
                writing.start()
                gallery.optimize(kept)
                writing.join()
                assert gallery.nearest(late, 1)[0].photo.image == f"late-{number}"
        finally:
            done.set()
            asking.join()
        assert len(gallery) == N + 2
    assert not errors and not wrong and n_asked > 100


def test_without_a_choice_the_number_of_photos_decides(
    wide: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run_program(tmp_path, "optimize", "--gallery", "wide", home=wide.home)
    assert told.returncode == 0 and "as they are (chosen by the number of photos)" in told.stdout
    monkeypatch.setattr(storage, "INT8_ABOVE", N - 1)
    told = run_program(tmp_path, "optimize", "--gallery", "wide", home=wide.home)
    assert "as bytes (chosen by the number of photos)" in told.stdout
    with Gallery.open("wide", settings=wide) as gallery:
        assert gallery.storage == AUTOMATIC and quantized_bytes(gallery) >= N * D
    words = ("--quantization", "none", "--vectors", "disk")
    told = run_program(tmp_path, "optimize", "--gallery", "wide", *words, home=wide.home)
    assert told.stdout.strip().endswith(f"over {N} photos, vectors as they are, originals on disk")
    config = json.loads((wide.home / "galleries/wide/gallery.json").read_text())
    assert config["storage"] == {"quantization": "none", "vectors": "disk", "graph": "memory"}


@pytest.mark.slow
def test_where_building_fails_the_gallery_goes_on_and_the_choice_is_tried_again(
    wide: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("wide", settings=wide) as gallery:
        with monkeypatch.context() as patch:
            patch.setattr(optimize, "order", lambda *how: ["false"])
            with pytest.raises(PlaceprintError, match="goes on with the old one"):
                gallery.optimize(Storage("binary"))
        assert recall(gallery) == 1.0 and gallery.storage.quantization == "binary"
    with Gallery.open("wide", settings=wide) as gallery:
        gallery.optimize()
        assert 0 < quantized_bytes(gallery) < N * D / 2


@pytest.mark.slow
def test_who_may_only_read_finds_the_same_in_smaller_vectors(
    wide: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("wide", settings=wide) as gallery:
        gallery.optimize(Storage("int8", "disk"))
        asked = [gallery.nearest(query, K) for query in queries_of()[:5]]
    monkeypatch.setattr(gallery_module, "is_writable", lambda path: False)
    with Gallery.open("wide", settings=wide) as gallery:
        assert [gallery.nearest(query, K) for query in queries_of()[:5]] == asked


def test_a_gallery_that_says_nothing_of_it_works(settings: Settings) -> None:
    with Gallery.create("old", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record("a", E1)])
        assert "storage" not in json.loads((gallery.folder / "gallery.json").read_text())
        assert gallery.optimize().quantization == "none"
        assert "storage" not in json.loads((gallery.folder / "gallery.json").read_text())
    with Gallery.open("old", settings=settings) as gallery:
        assert gallery.storage == AUTOMATIC and len(gallery) == 1


@pytest.mark.parametrize("told", [{"quantization": "int4"}, {"vectors": "tape"}, {"speed": 3}, [], "int8"])
def test_what_means_nothing_is_refused(settings: Settings, told: object) -> None:
    with Gallery.create("odd", fingerprint_of(8), settings=settings) as gallery:
        path = gallery.folder / "gallery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"storage": told}))
    with pytest.raises(DamagedGallery, match=r"gallery\.json: damaged"):
        Gallery.open("odd", settings=settings)


def test_a_wrong_word_is_told_with_the_right_ones(settings: Settings, tmp_path: Path) -> None:
    with Gallery.create("odd", fingerprint_of(8), settings=settings):
        pass
    told = run_program(tmp_path, "optimize", "--gallery", "odd", "--quantization", "int4", home=settings.home)
    assert told.returncode != 0 and "'int4' is not one of auto, none, int8, binary" in told.stderr
    for words in ({"vectors": "tape"}, {"graph": "ram"}, {"quantization": "fp16"}):
        with pytest.raises(InvalidOption, match="is not one of"):
            chosen(AUTOMATIC, **words)


def test_words_not_said_stay_as_they_were() -> None:
    before = Storage("binary", "disk")
    assert chosen(before) == before
    assert chosen(before, graph="disk") == Storage("binary", "disk", "disk")
    assert chosen(before, quantization="auto") == Storage(None, "disk")
    assert storage_of({"storage": {"quantization": None, "vectors": "disk"}}) == Storage(None, "disk")
    assert before.resolved(10**9) == before
    assert [AUTOMATIC.resolved(n).quantization for n in (50_000, 50_001)] == ["none", "int8"]
