"""A run that learns regions: what it leaves, how it goes on, and its classifier as a file."""

import json
from pathlib import Path

import numpy as np
import pytest
from region_fakes import RUN, D, R, made, unit

from placeprint.encoders.errors import (
    AnotherRun,
    DamagedCheckpoint,
    FingerprintMismatch,
    InvalidOption,
    WeightsUnavailable,
)
from placeprint.encoders.region_head import RegionHead
from placeprint.encoders.region_learning.fitting import fit_path
from placeprint.encoders.region_learning.material import RegionPhotos
from placeprint.encoders.region_learning.settings import RegionRun
from placeprint.encoders.sphere import destination
from placeprint.encoders.train_regions import (
    ANSWERS_FILE,
    HEAD_FILE,
    Flagged,
    radius_km,
    read_answers,
    run_regions,
)


@pytest.fixture(scope="module")
def photos() -> RegionPhotos:
    return made()


# --- a whole run ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(photos: RegionPhotos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    run_regions(photos, RUN, out, source={"gallery": "made"})
    return out


def test_a_run_leaves_classifier_answers_and_report(photos: RegionPhotos, run_folder: Path) -> None:
    report = json.loads((run_folder / "report.json").read_text())
    head = RegionHead.load(run_folder / HEAD_FILE)
    answers = read_answers(run_folder / ANSWERS_FILE)
    assert head.names == photos.names == tuple(answers.names) and head.encoder == "an encoder"
    assert head.card["source"] == {"gallery": "made"} and answers.ids == list(photos.ids)
    assert head.temperature == report["chosen"]["areas"]["temperature"]
    said = answers.log_p.argmax(axis=1)
    assert report["rows"]["areas"]["classifier"]["accuracy"] == pytest.approx((said == photos.region).mean())
    assert np.allclose(np.exp(answers.log_p).sum(axis=1), 1.0, atol=1e-5)
    learned = head.log_probabilities(photos.embeddings).argmax(axis=1) == photos.region
    assert learned.mean() > 0.95 > report["rows"]["areas"]["classifier"]["accuracy"]
    gap = report["rows"]["random"]["classifier"]["macro_recall"]
    assert report["gap"]["macro_recall"] == pytest.approx(
        gap - report["rows"]["areas"]["classifier"]["macro_recall"]
    )
    low, high = report["gap"]["interval"]
    assert 0.0 < low < report["gap"]["macro_recall"] < high


def test_the_classifier_is_the_fit_of_the_decay_that_was_chosen(
    photos: RegionPhotos, run_folder: Path
) -> None:
    decay = json.loads((run_folder / "report.json").read_text())["chosen"]["areas"]["decay"]
    assert decay > RUN.decays[-1]  # or nothing is shown by this
    upto = RUN.decays[: RUN.decays.index(decay) + 1]
    fit = fit_path(photos.embeddings, photos.region, photos.weights(), R, upto)[-1]
    head = RegionHead.load(run_folder / HEAD_FILE)
    assert np.allclose(head.weight, fit.weight) and np.allclose(head.bias, fit.bias)


def test_the_margin_is_kept_around_sub_areas_and_not_at_random(photos: RegionPhotos, tmp_path: Path) -> None:
    run = RegionRun(**{**RUN.to_dict(), "buffer_km": 40.0, "folds": 3})
    chosen = run_regions(photos, run, tmp_path / "out")["chosen"]
    assert chosen["areas"]["n_near"] > 0.0 == chosen["random"]["n_near"]


def test_the_size_of_a_region_is_half_of_its_photos_distance_from_their_middle() -> None:
    place = destination(np.array([[180.0, 10.0]] * 5), np.array([0.0, 90.0, 180.0, 270.0, 0.0]), 100.0)
    assert radius_km(place[:4]) == pytest.approx(100.0, abs=0.5)
    assert radius_km(np.concatenate([place[:4], [[180.0, 10.0]] * 5])) == pytest.approx(0.0, abs=0.5)


def test_an_interrupted_run_ends_with_the_same_classifier(
    photos: RegionPhotos, run_folder: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def killed(what: str, done: int, total: int) -> None:
        if what == "held out at random" and done == 2:
            raise Killed

    out = tmp_path / "out"
    with pytest.raises(Killed):
        run_regions(photos, RUN, out, source={"gallery": "made"}, show=killed)
    finished = {path.name: path.stat().st_mtime_ns for path in (out / "folds").iterdir()}
    assert len(finished) == RUN.folds + 2
    (out / "folds" / "areas-1.npz").write_bytes(b"cut short")
    run_regions(photos, RUN, out, source={"gallery": "made"}, is_resumed=True)
    assert (out / HEAD_FILE).read_bytes() == (run_folder / HEAD_FILE).read_bytes()
    kept = [name for name, at in finished.items() if (out / "folds" / name).stat().st_mtime_ns == at]
    assert len(kept) == len(finished) - 1


def test_a_folder_with_another_run_is_refused(photos: RegionPhotos, run_folder: Path) -> None:
    with pytest.raises(AnotherRun, match="--resume"):
        run_regions(photos, RUN, run_folder)
    with pytest.raises(AnotherRun, match="seed"):
        run_regions(photos, RegionRun(**{**RUN.to_dict(), "seed": 4}), run_folder, is_resumed=True)
    with pytest.raises(AnotherRun, match="other photos"):
        run_regions(photos.take(np.arange(140)), RUN, run_folder, is_resumed=True)


def test_photos_that_show_no_place_are_left_out_where_asked(photos: RegionPhotos, tmp_path: Path) -> None:
    is_blank = np.arange(len(photos)) % 10 == 0
    parts = np.repeat(photos.embeddings[:, None], 2, axis=1)
    parts[is_blank] = -1.0  # would teach the contrary

    def look() -> Flagged:
        return Flagged(parts=parts, kinds={"blank": is_blank})

    run = RegionRun(**{**RUN.to_dict(), "leave_out": ("blank",), "crops": 2})
    report = run_regions(photos, run, tmp_path / "out", look=look)
    assert report["photos"] == (~is_blank).sum() and len(report["flagged"]["blank"]) == is_blank.sum()
    answers = read_answers(tmp_path / "out" / ANSWERS_FILE)
    assert set(answers.ids) == {id for id, blank in zip(photos.ids, is_blank, strict=True) if not blank}
    kept = run_regions(photos, RUN, tmp_path / "kept", look=lambda: Flagged(kinds={"blank": is_blank}))
    assert kept["photos"] == len(photos) and len(kept["flagged"]["blank"]) == is_blank.sum()


def test_parts_are_those_of_their_photo_also_when_regions_are_left_out(tmp_path: Path) -> None:
    photos = made(own_look=2.0)
    rows = np.r_[40:48, 48:96, 96:144]  # region 0 keeps one area
    some = photos.take(rows)
    parts = some.embeddings[:, None].copy()
    run = RegionRun(**{**RUN.to_dict(), "crops": 1})
    with_them = run_regions(some, run, tmp_path / "out", look=lambda: Flagged(parts=parts))
    assert "region 0" in with_them["left_out"]
    alone = run_regions(some, run, tmp_path / "alone")
    assert with_them["rows"]["areas"]["classifier"]["nll"] == pytest.approx(
        alone["rows"]["areas"]["classifier"]["nll"], rel=0.02
    )


# --- the classifier as a file -----------------------------------------------------------------


def head(**changed: object) -> RegionHead:
    rng = np.random.default_rng(0)
    given = {
        "names": ("a", "b", "c"),
        "weight": rng.normal(size=(3, D)).astype(np.float32),
        "bias": np.zeros(3, np.float32),
        "temperature": 2.0,
        "encoder": "an encoder",
        "card": {"source": {"gallery": "made"}},
    }
    return RegionHead(**{**given, **changed})  # type: ignore[arg-type]


def test_a_classifier_comes_back_from_its_file(tmp_path: Path) -> None:
    ours, path = head(), tmp_path / "head.safetensors"
    ours.save(path)
    back = RegionHead.load(path)
    asked = unit(np.random.default_rng(1).normal(size=(5, D)))
    assert np.array_equal(back.log_probabilities(asked), ours.log_probabilities(asked))
    assert (back.names, back.temperature, back.encoder, back.card) == (
        ours.names,
        ours.temperature,
        ours.encoder,
        ours.card,
    )


def test_a_temperature_divides_logits_before_they_are_normalized() -> None:
    asked = unit(np.random.default_rng(1).normal(size=(5, D)))
    warm, cold = head(temperature=2.0), head(temperature=1.0)
    logits = cold.log_probabilities(asked)
    halved = logits / 2.0
    assert np.allclose(warm.log_probabilities(asked), halved - np.log(np.exp(halved).sum(axis=1))[:, None])


def test_log_odds_are_of_one_region_against_all_others() -> None:
    asked = unit(np.random.default_rng(1).normal(size=(5, D)))
    p = np.exp(head().log_probabilities(asked))
    assert np.allclose(head().log_odds(asked, 1), np.log(p[:, 1] / (1.0 - p[:, 1])))


def test_embeddings_of_another_encoder_are_refused() -> None:
    with pytest.raises(FingerprintMismatch, match="another one"):
        head().require("another one")
    with pytest.raises(FingerprintMismatch):
        head().log_probabilities(np.ones((2, D + 1)))
    with pytest.raises(InvalidOption):
        head().log_probabilities(np.full((1, D), np.nan))


@pytest.mark.parametrize("content", [None, b"", b"no safetensors", "another", "cut"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "head.safetensors"
    if content == "another":
        head(names=("a", "b")).save(path)
    elif content == "cut":
        head().save(path)
        path.write_bytes(path.read_bytes()[:-7])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=r"head\.safetensors"):
        RegionHead.load(path)


def test_damaged_answers_are_named(tmp_path: Path) -> None:
    (tmp_path / ANSWERS_FILE).write_bytes(b"PK no")
    for path in (tmp_path / ANSWERS_FILE, tmp_path / "missing.npz"):
        with pytest.raises(DamagedCheckpoint, match="--resume"):
            read_answers(path)
