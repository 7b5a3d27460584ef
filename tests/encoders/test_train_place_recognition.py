"""A run: it learns, resumes to the bit after a kill, refuses what cannot work, leaves a loadable encoder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from place_recognition_fakes import CONV, load_backbone, walk, write_walks, write_weights

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import (
    AnotherRun,
    InvalidOption,
    PlaceprintError,
    UnreadableImage,
)
from placeprint.encoders.image import OpenClipEncoder, TimmEncoder, embed_images
from placeprint.encoders.place_recognition.looks import look
from placeprint.encoders.place_recognition.losses import multi_similarity_loss, weak_triplet_loss
from placeprint.encoders.place_recognition.photos import PlacePhotos
from placeprint.encoders.place_recognition.settings import Nearness, PlaceRun
from placeprint.encoders.place_recognition.trainer import PlaceTrainer
from placeprint.encoders.train_place_recognition import run_place_recognition

N_PLACES, N_DAYS = 24, 2
RUN = PlaceRun(
    layer=1, size=64, n_centers=4, n_places=6, n_views=2, refresh=15, epochs=2, n_looks=2, dimension=16,
    n_random=20, n_remembered=3, n_negatives=3, held_out_share=0.25,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("town")


@pytest.fixture(scope="module")
def photos(folder: Path) -> PlacePhotos:
    files, lonlat, days = write_walks(folder, N_PLACES, N_DAYS)
    return PlacePhotos.of(files, lonlat, captured_at=days)


@pytest.fixture(scope="module")
def weights(folder: Path) -> Path:
    return write_weights(CONV, folder)


@pytest.fixture(scope="module")
def backbone(weights: Path) -> TimmEncoder | OpenClipEncoder:
    return load_backbone(CONV, weights)


def prepared(photos: PlacePhotos, backbone: Any, run: PlaceRun, folder: Path) -> PlaceTrainer:
    trainer = PlaceTrainer(photos, backbone, run)
    folder.mkdir(exist_ok=True)
    trainer.prepare(folder / "cache.npy")
    return trainer


class Killed(Exception):
    """As if the power went."""


def kill_after(n_rounds: int) -> Any:
    def show(record: dict[str, Any], rounds: int) -> None:
        if record["round"] == n_rounds:
            raise Killed

    return show


@pytest.mark.parametrize("change", [
    {}, {"loss": "triplet"}, {"n_blocks": 1},
    {"aggregation": "transport", "options": {"n_clusters": 3, "width": 4, "token_width": 5, "hidden": 6}},
])  # fmt: skip
def test_a_killed_run_ends_as_one_that_was_not(
    photos: PlacePhotos, backbone: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    run = replace(RUN, **change)
    whole = run_place_recognition(photos, backbone, run, tmp_path / "whole", checkpoint_s=0.0)
    for seconds, rounds in ((0.0, 2), (1e9, 3)):  # the second kill loses a round, which is done again
        with pytest.raises(Killed):
            run_place_recognition(
                photos, backbone, run, tmp_path / "cut", is_resumed=seconds > 0.0, checkpoint_s=seconds,
                show=kill_after(rounds),
            )  # fmt: skip
    resumed = run_place_recognition(photos, backbone, run, tmp_path / "cut", is_resumed=True)
    assert resumed == whole
    for name in (
        "place-encoder.safetensors",
        "log.jsonl",
        "report.json",
        "card.md",
        "checkpoint.safetensors",
    ):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not list((tmp_path / "cut").glob("*.npy*"))


def test_the_encoder_it_leaves_finds_places_again(
    photos: PlacePhotos, backbone: Any, weights: Path, tmp_path: Path
) -> None:
    report = run_place_recognition(
        photos, backbone, RUN, tmp_path, name="town", facts={"source": "drawn", "licence": "CC0"}
    )
    encoder = load_encoder(f"place:{tmp_path / 'place-encoder.safetensors'}", weights=weights)
    assert encoder.fingerprint.id == report["fingerprint"] and encoder.fingerprint.dimension == 16
    found = embed_images(encoder, [str(file) for file in photos.files])
    queries, gallery = found[N_PLACES:], found[:N_PLACES]
    assert ((queries @ gallery.T).argmax(axis=1) == np.arange(N_PLACES)).mean() > 0.5  # chance is 1 in 24
    held_out = report["held_out"]
    assert held_out["queries"] > 5 and set(held_out) >= {
        "chance",
        "before_training",
        "best_epoch",
        "whitened",
    }
    text = (tmp_path / "card.md").read_text()
    assert "Licence: CC0" in text and "| before training |" in text
    assert encoder.fingerprint.weights_sha256 not in text and report["backbone"]["weights_sha256"] in text


def loss_of_all(trainer: PlaceTrainer) -> float:
    """The run's own loss over all training photos at once, nothing drawn."""
    x = torch.from_numpy(trainer.embed(trainer.split.train))
    relations, run = trainer.relations, trainer.run
    positive, negative = (torch.from_numpy(mask) for mask in relations.masks(np.arange(len(x))))
    if run.loss == "multi-similarity":
        return float(multi_similarity_loss(x, positive, negative))
    losses = [
        weak_triplet_loss(x[row], x[positive[row]], x[negative[row]], margin=run.triplet_margin)
        for row in relations.queries
    ]
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize(("loss", "share"), [("multi-similarity", 0.93), ("triplet", 0.6)])
def test_training_lowers_the_loss(
    photos: PlacePhotos, backbone: Any, tmp_path: Path, loss: Any, share: float
) -> None:
    run = replace(
        RUN, loss=loss, epochs=6, n_looks=1, refresh=1000, n_places=16, n_views=3, triplet_margin=0.3,
        n_random=100, n_negatives=100,
    )  # fmt: skip
    trainer = prepared(photos, backbone, run, tmp_path)
    before = loss_of_all(trainer)
    while trainer.progress.epoch < trainer.n_rounds:
        trainer.round()
    assert loss_of_all(trainer) < share * before
    assert trainer.progress.step == trainer.n_steps


def test_only_what_is_asked_for_learns(photos: PlacePhotos, backbone: Any, tmp_path: Path) -> None:
    frozen = prepared(photos, backbone, RUN, tmp_path / "frozen")
    tuned = prepared(photos, backbone, replace(RUN, n_blocks=1), tmp_path / "tuned")
    for trainer, moved in ((frozen, set()), (tuned, {"layer1"})):
        network = trainer.encoder.features.network
        before = {name: value.clone() for name, value in network.state_dict().items()}
        start = trainer.model.aggregator.state_dict()["centers"].clone()
        trainer.round()
        after = network.state_dict()
        assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == moved
        assert not torch.equal(trainer.model.aggregator.state_dict()["centers"], start)


@pytest.mark.parametrize("aggregation", ["netvlad", "mean"])
def test_without_epochs_there_is_a_vocabulary_and_a_whitening(
    photos: PlacePhotos, backbone: Any, weights: Path, tmp_path: Path, aggregation: Any
) -> None:
    run = replace(RUN, epochs=0, held_out_share=0.0, aggregation=aggregation)
    report = run_place_recognition(photos.take(np.arange(N_PLACES)), backbone, run, tmp_path)
    assert report["steps"] == 0 and report["whitening_rank"] >= report["dimension"] == 16
    assert (report["alpha"] is not None) is (aggregation == "netvlad")
    assert any(one.startswith("queries without positives") for one in report["findings"])  # told, no more
    encoder = load_encoder(f"place:{tmp_path / 'place-encoder.safetensors'}", weights=weights)
    assert embed_images(encoder, [photos.files[0]]).shape == (1, 16)
    assert "nothing was trained" in (tmp_path / "card.md").read_text()


def test_the_best_epoch_is_kept_also_when_it_is_none(
    photos: PlacePhotos, backbone: Any, tmp_path: Path
) -> None:
    trainer = prepared(photos, backbone, replace(RUN, learning_rate=3.0), tmp_path)  # it forgets everything
    start = trainer.model.aggregator.state_dict()["centers"].clone()
    while trainer.progress.epoch < trainer.n_rounds:
        trainer.round()
    assert not torch.equal(trainer.model.aggregator.state_dict()["centers"], start)
    assert trainer.progress.step == trainer.n_steps and trainer.rounds_per_epoch > 1
    trainer.finish()
    assert trainer.progress.best_epoch == 0
    assert torch.equal(trainer.model.aggregator.state_dict()["centers"], start)


def test_the_whitening_is_fitted_to_training_photos_alone(
    photos: PlacePhotos, backbone: Any, tmp_path: Path
) -> None:
    trainer = prepared(photos, backbone, replace(RUN, n_looks=1, dimension=None), tmp_path)
    whole = trainer.finish()
    assert whole is not None
    train = trainer.embed(trainer.split.train)
    np.testing.assert_allclose(whole.mean, train.mean(axis=0), atol=1e-6)
    assert trainer.encoder.dimension == min(len(train) // 2, train.shape[1])


def test_another_look_is_a_part_of_the_photo_and_always_the_same(photos: PlacePhotos, backbone: Any) -> None:
    seen = [
        look(photos.files[0], backbone.preprocessing, number, least_area=0.3, seed=0, row=0)
        for number in (0, 1, 2, 1)
    ]
    np.testing.assert_array_equal(seen[0], backbone.preprocessing.read(photos.files[0])[0])
    np.testing.assert_array_equal(seen[1], seen[3])
    assert not np.array_equal(seen[1], seen[2]) and not np.array_equal(seen[0], seen[1])
    other = look(photos.files[0], backbone.preprocessing, 1, least_area=0.3, seed=0, row=1)
    assert not np.array_equal(seen[1], other)


@pytest.mark.parametrize(("change", "error", "says"), [
    ({"dimension": 5000}, InvalidOption, "leave .* at most"),
    ({"aggregation": "mean"}, InvalidOption, "nothing to learn"),
    ({"nearness": Nearness(other_sequence=True)}, PlaceprintError, "48 of 48 queries .* of another sequence"),
    ({"n_blocks": 9}, InvalidOption, "comes from 1 blocks"), ({"layer": 9}, InvalidOption, "0 to 4"),
])  # fmt: skip
def test_what_cannot_work_leaves_no_folder(
    photos: PlacePhotos,
    backbone: Any,
    tmp_path: Path,
    change: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        run_place_recognition(photos, backbone, replace(RUN, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_linter_finds_is_told_and_what_is_fatal_stops(
    photos: PlacePhotos, backbone: Any, tmp_path: Path
) -> None:
    told: list[str] = []
    lonely = PlacePhotos.of([*photos.files, photos.files[0]], np.vstack([photos.lonlat, [[9.9, 47.9]]]))
    run_place_recognition(lonely, backbone, replace(RUN, epochs=1), tmp_path / "a", tell=told.append)
    assert [one.partition(":")[0] for one in told] == ["duplicate paths", "queries without positives"]
    gone = PlacePhotos.of([Path("gone.jpg"), *photos.files[1:]], photos.lonlat)
    with pytest.raises(PlaceprintError, match=r"missing files: 1 of 48 files are not there, first gone\.jpg"):
        run_place_recognition(gone, backbone, RUN, tmp_path / "b")


def test_another_run_in_the_folder_is_named(photos: PlacePhotos, backbone: Any, tmp_path: Path) -> None:
    run_place_recognition(photos, backbone, replace(RUN, epochs=0), tmp_path)
    with pytest.raises(AnotherRun, match="--resume"):
        run_place_recognition(photos, backbone, RUN, tmp_path)
    with pytest.raises(AnotherRun, match="epochs was 0, now 2"):
        run_place_recognition(photos, backbone, RUN, tmp_path, is_resumed=True)
    moved = PlacePhotos.of(photos.files, walk(len(photos), apart_m=4.0))
    with pytest.raises(AnotherRun, match="other photos or places"):
        run_place_recognition(moved, backbone, replace(RUN, epochs=0), tmp_path, is_resumed=True)


def test_a_photo_that_cannot_be_read_is_named(photos: PlacePhotos, backbone: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with pytest.raises(UnreadableImage, match=r"broken\.jpg"):
        run_place_recognition(
            PlacePhotos.of([broken, *photos.files[1:]], photos.lonlat), backbone, RUN, tmp_path / "run"
        )
    assert not list((tmp_path / "run").glob("*.npy*"))  # half a cache would be taken for a whole one


def test_settings_come_back_from_a_file_and_odd_ones_are_refused() -> None:
    run = replace(RUN, nearness=Nearness(other_time=True), loss="triplet")
    assert PlaceRun.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    for change, says in (
        ({"loss": "x"}, "multi-similarity, triplet"), ({"epochs": -1}, "0 or more"),
        ({"held_out_share": 0.9}, r"in \[0, 0.5\]"), ({"learning_rate": 0.0}, "above 0"),
        ({"n_looks": 0}, "1 or more"), ({"least_area": 0.0}, r"in \(0, 1\]"),
        ({"depth": 3}, "no setting depth"),
    ):  # fmt: skip
        with pytest.raises(InvalidOption, match=says):
            PlaceRun.from_dict({**RUN.to_dict(), **change})
