"""The sizing page and the simulation behind it say what they must, whatever the figures."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent / "benchmarks"))

from cluster_simulation import ROUTES, Cluster, Photos, asked_shards, loads, lost, placed, route, slowest_ms
from sizing import Measured, Wanted, page, plan, rates_of

PART = Measured(
    ledger_bytes=2.2e9, store_bytes=3e9, memory_bytes=1e9, resident_bytes=3e9, add_s=900.0,
    optimize_s=600.0, p50_ms=2.0, p99_ms=6.0, recall=0.99, cores=2,
)  # fmt: skip
SMALL = Cluster(photos=3000, nodes=6, shards=12, replicas=2, data_sets=20, queries=40)


@pytest.fixture(scope="module")
def photos() -> Photos:
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(SMALL.photos, 8))
    return Photos(
        (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype("f4"),
        np.zeros((SMALL.photos, 2)),
        rng.integers(0, 20, SMALL.photos),
        np.array(["8219affffffffff", "822d57fffffffff", "82754ffffffffff"])[rng.integers(0, 3, SMALL.photos)],
    )


def test_a_hundred_times_the_photos_take_a_hundred_times_the_room_and_not_fewer_machines() -> None:
    small = plan(Wanted(photos=1_000_000, photos_per_s=50.0), PART)
    large = plan(Wanted(photos=100_000_000, photos_per_s=50.0), PART)
    assert large["store on disk, GB"] == pytest.approx(100 * small["store on disk, GB"]) == 600.0
    assert large["ledger, GB"] == pytest.approx(220.0) and large["memory held, GB"] == pytest.approx(200.0)
    assert small["embedding, hours"] == pytest.approx(1e6 / 50 / 3600)
    assert small["nodes"] == 3 and large["nodes"] == large["nodes by memory"] == 5
    busy = plan(replace(Wanted(photos=100_000_000, photos_per_s=50.0), searches_per_s=2000.0), PART)
    assert busy["nodes"] == busy["nodes by load"] == 50


def test_rates_are_of_what_runs_and_not_of_what_was_tried(tmp_path: Path) -> None:
    figures = [("ViT-B-32, bf16", 35.0, "photos/s"), ("trick: ONNX", 99.0, "photos/s"), ("cosine", 1.0, "")]
    ours = [("files to a gallery", 38.0, "photos/s"), ("beside embedding alone", 38.0, "photos/s")]
    (tmp_path / "rows").mkdir()
    for row, told in (("P1", figures), ("P3", ours)):
        written = {"figures": [dict(zip(("name", "ours", "unit"), one, strict=True)) for one in told]}
        (tmp_path / "rows" / f"{row}.json").write_text(json.dumps(written))
    assert rates_of(tmp_path) == {
        "ViT-B-32, bf16, ready pixels": 35.0, "MobileNetV2, files to a gallery": 38.0
    }  # fmt: skip
    (tmp_path / "rows/P3.json").unlink()
    assert list(rates_of(tmp_path)) == ["ViT-B-32, bf16, ready pixels"]


def test_replicas_stand_on_nodes_of_their_own_and_evenly() -> None:
    nodes = placed(SMALL, np.random.default_rng(1))
    assert all(len(set(row)) == SMALL.replicas for row in nodes.tolist())
    assert set(np.bincount(nodes.ravel(), minlength=SMALL.nodes)) == {4}


@pytest.mark.parametrize("how", ROUTES)
def test_what_belongs_together_is_on_one_shard_and_one_loss_loses_nothing(how: str, photos: Photos) -> None:
    rng = np.random.default_rng(2)
    shard = route(photos, how, SMALL, rng)
    assert shard.shape == (SMALL.photos,) and 0 <= shard.min() and shard.max() < SMALL.shards
    if how != "hash of the id":
        names = photos.data_set if how == "data set" else photos.cell
        assert all(len(set(shard[names == name])) == 1 for name in np.unique(names))
    nodes = placed(SMALL, rng)
    shards, chosen = asked_shards(photos, shard, SMALL, rng)
    assert loads(shards, nodes, SMALL, rng).sum() == sum(map(len, shards))
    one = lost(photos, shard, nodes, chosen, SMALL, 1, rng, trials=20)
    assert one["photos out of reach, worst"] == 0.0 and one["recall@10, worst"] == 1.0
    all_but_one = lost(photos, shard, nodes, chosen, SMALL, SMALL.nodes - 1, rng, trials=20)
    assert all_but_one["recall@10, worst"] < 0.9 and all_but_one["photos out of reach, mean"] > 0.3


def test_more_shards_are_waited_for_longer() -> None:
    rng = np.random.default_rng(3)
    one, many = slowest_ms(1, 2.0, 6.0, rng), slowest_ms(48, 2.0, 6.0, rng)
    assert one["p50_ms"] == pytest.approx(2.0, rel=0.05) and one["p99_ms"] == pytest.approx(6.0, rel=0.1)
    assert many["p50_ms"] > 2 * one["p50_ms"]


def test_the_page_holds_what_was_measured() -> None:
    search = {
        "ledger_bytes": 22e6, "disk_bytes": 30e6,
        "searched_anonymous_bytes": 10e6, "searched_rss_bytes": 30e6,
        "alone": {"p50_ms": 1.23, "p99_ms": 4.56, "recall": 0.987},
    }  # fmt: skip
    growth = {"10000": {"add": {"add_s": 9.0}, "optimize int8": {"optimize_s": 6.0}, "measure int8": search}}
    written = page(growth, {"this machine": 50.0}, None, 2)
    assert "| 10,000 | int8 | 9 | 6 | 1.23 | 4.56 | 0.987 | 10 | 30 | 30 | 22 |" in written
    assert "| this machine | 50 | 5.6 h | 2 days | 23 days |" in written
