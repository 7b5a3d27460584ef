"""Claims: a run leaves an encoder that loads, and a head for it; it goes on where it was killed."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tuning_fakes import (
    NAME,
    Photo,
    encoder_in,
    pairs_of_pictures,
    photo_of,
    pictures,
    two_places,
)

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.errors import AnotherRun, InvalidOption, TooFewPairs
from placeprint.encoders.geocell_head import GeocellHead
from placeprint.encoders.geocell_heads.settings import HeadRun, TuneRun
from placeprint.encoders.geocell_heads.splitting import SplitEncoder
from placeprint.encoders.geocell_heads.tuning import Tuner
from placeprint.encoders.location_files import read_metadata
from placeprint.encoders.prototypes import Prototypes
from placeprint.encoders.tune_geocells import run_tuned_geocells, save_encoder

N = 260
RUN = HeadRun(weight_decays=(1e-2,), rounds=8)
TUNE = TuneRun(blocks=2, epochs=12, patience=12, rate=3e-3, head_rate=2e-3, batch_size=32)


@dataclass
class Scene:
    folder: Path
    is_told: bool = True
    shown: np.ndarray = field(init=False)
    pairs: Pairs = field(init=False)
    photos: list[Photo] = field(init=False)

    def __post_init__(self) -> None:
        lonlat, which, self.cells = two_places(N)
        self.shown = pictures(which, is_told=self.is_told)
        self.pairs = pairs_of_pictures(encoder_in(self.folder), self.shown, lonlat)
        self.photos = [photo_of(one, f"{row:03}.png") for row, one in enumerate(self.shown)]

    def train(self, out: Path, *, run: HeadRun = RUN, tune: TuneRun = TUNE, **options: Any) -> dict[str, Any]:
        pairs, photos = options.pop("pairs", self.pairs), options.pop("photos", self.photos)
        return run_tuned_geocells(
            pairs, photos, encoder_in(self.folder), self.cells, run, tune, out,
            encoder_name=NAME, workers=1, checkpoint_s=0.0, source={"sources": {"my photos": N}}, **options,
        )  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def done(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("run") / "a"
    return out, scene.train(out)


def test_tuning_pays_and_the_report_says_by_how_much(done: tuple[Path, dict[str, Any]]) -> None:
    out, report = done
    tuning = report["tuning"]
    assert tuning["verdict"].startswith("Tuning paid") and 0 < tuning["best_epoch"] <= tuning["epochs"]
    bits, hits = tuning["differences"]["bits"], tuning["differences"]["within_200_km"]
    assert 0.0 < bits["low"] < bits["difference"] == pytest.approx(bits["tuned"] - bits["frozen"])
    assert hits["frozen"] < 0.9 < hits["tuned"]
    name = "head, best expected score"
    assert report["rows"][name]["bits"] == pytest.approx(bits["tuned"])
    assert tuning["frozen_rows"][name]["bits"] == pytest.approx(bits["frozen"])
    assert report == json.loads((out / "report.json").read_text())
    assert report["settings"]["tune_blocks"] == 2 and report["settings"]["rounds"] == 8
    assert len((out / "log.jsonl").read_text().splitlines()) == tuning["epochs"]
    assert not list(out.glob("tail-inputs*")) and not (out / "left-out.tsv").exists()


def test_the_encoder_loads_by_its_name_and_the_head_is_for_it(
    done: tuple[Path, dict[str, Any]], scene: Scene
) -> None:
    out, report = done
    tuned = load_encoder(NAME, weights=out / "encoder.safetensors")
    assert tuned.fingerprint.id != scene.pairs.encoder
    assert tuned.fingerprint.architecture == encoder_in(scene.folder).fingerprint.architecture
    head = GeocellHead.load(out / "geocell-head.safetensors", encoder=tuned.fingerprint.id)
    prototypes = Prototypes.load(out / "prototypes.safetensors", cells_id=head.cells_id)
    assert prototypes.encoder == tuned.fingerprint.id and head.card == report
    # From whole photos through the new encoder: the places are known.
    log_p = head.log_probabilities(tuned.embed_pixels(scene.shown))
    assert (log_p.argmax(axis=1) == np.arange(N) % 2).mean() > 0.95
    told = report["tuning"]["use"]
    assert told.startswith("placeprint index 'my photos' --gallery NEW --encoder ")
    assert NAME in told and str(out / "encoder.safetensors") in told
    card = json.loads(read_metadata(out / "encoder.safetensors")["placeprint"])
    assert card["source"] == {"sources": {"my photos": N}} and "licences of these photos" in card["licence"]
    assert card["base"] == scene.pairs.encoder
    texts = [one.embed_texts(["Picture in Peru."]) for one in (tuned, encoder_in(scene.folder))]
    np.testing.assert_array_equal(*texts)  # words stay as they are


def test_a_run_killed_twice_goes_on_and_ends_with_the_same_bytes(
    done: tuple[Path, dict[str, Any]], scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Tuner.epoch
    trained: list[int] = []

    def one_epoch(tuner: Tuner) -> dict[str, Any]:
        if len(trained) == 3:
            trained.append(0)
            raise KeyboardInterrupt
        record = whole(tuner)
        trained.append(record["epoch"])
        return record

    def reading(n: int, _: int) -> None:
        if n > 60:
            raise KeyboardInterrupt

    monkeypatch.setattr(Tuner, "epoch", one_epoch)
    with pytest.raises(KeyboardInterrupt):
        scene.train(tmp_path / "b", show_reading=reading)
    assert not trained
    with pytest.raises(KeyboardInterrupt):
        scene.train(tmp_path / "b", is_resumed=True)
    assert not (tmp_path / "b" / "report.json").exists()
    scene.train(tmp_path / "b", is_resumed=True)
    assert sorted(trained) == sorted(set(trained))  # no epoch twice
    for name in ("encoder.safetensors", "geocell-head.safetensors", "prototypes.safetensors", "report.json"):
        found, expected = ((out / name).read_bytes() for out in (tmp_path / "b", done[0]))
        if name.startswith("geocell"):  # its card names the folder
            found, expected = _tensors(found), _tensors(expected)
        assert found.replace(bytes(tmp_path / "b"), bytes(done[0])) == expected, name


def _tensors(content: bytes) -> bytes:
    """What follows the header, whose length stands first."""
    return content[8 + int.from_bytes(content[:8], "little") :]


def test_a_finished_run_is_not_run_again(
    done: tuple[Path, dict[str, Any]], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placeprint.encoders.tune_geocells.read_inputs", None)
    assert scene.train(done[0], is_resumed=True) == done[1]
    with pytest.raises(AnotherRun, match="--resume"):
        scene.train(done[0])
    with pytest.raises(AnotherRun, match=r"tune_rate was 0\.003, now 0\.1"):
        scene.train(done[0], tune=replace(TUNE, rate=0.1), is_resumed=True)


def test_where_it_does_not_pay_the_gallery_stays_as_it_is(tmp_path: Path) -> None:
    scene = Scene(tmp_path, is_told=False)
    report = scene.train(tmp_path / "run", tune=replace(TUNE, patience=2))
    tuning = report["tuning"]
    assert tuning["best_epoch"] == 0 and tuning["epochs"] == 2 and "did not pay" in tuning["verdict"]
    assert "differences" not in tuning and "use" not in tuning
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    head = GeocellHead.load(tmp_path / "run" / "geocell-head.safetensors", encoder=scene.pairs.encoder)
    assert head.card["rows"] == report["rows"]


def test_an_epoch_that_moves_nothing_is_as_good_as_the_frozen_encoder(scene: Scene, tmp_path: Path) -> None:
    tune = replace(TUNE, rate=1e-12, head_rate=1e-12, epochs=1)
    report = scene.train(tmp_path / "run", tune=tune)
    record = json.loads((tmp_path / "run" / "log.jsonl").read_text())
    assert record["validation_nll"] == pytest.approx(report["tuning"]["validation_nll"]["frozen"], abs=1e-5)
    assert report["temperature"] != 1.0  # calibrated, but only once it has learned


def test_photos_that_are_gone_or_others_now_are_left_out_and_named(scene: Scene, tmp_path: Path) -> None:
    photos = list(scene.photos)
    photos[8] = replace(photos[8], content=None)
    photos[9] = replace(photos[9], content=photo_of(255 - scene.shown[9] // 9, "x").content)
    report = scene.train(tmp_path / "run", photos=photos, tune=replace(TUNE, epochs=1, blocks=1))
    assert report["tuning"]["photos_left_out"] == 2 and sum(report["photos"].values()) == N - 2
    lines = (tmp_path / "run" / "left-out.tsv").read_text().splitlines()
    assert lines[0].startswith("008.png\tcannot be read") and lines[1].startswith("009.png\tdoes not give")
    gone = [replace(photo, content=None) for photo in scene.photos[:220]] + scene.photos[220:]
    with pytest.raises(TooFewPairs, match="40 photos"):
        scene.train(tmp_path / "few", photos=gone)


def test_errors_leave_no_folder(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="has 2 blocks"):
        scene.train(tmp_path / "run", tune=replace(TUNE, blocks=5))
    few = scene.pairs.take(np.arange(20))
    with pytest.raises(TooFewPairs):
        scene.train(tmp_path / "run", pairs=few, photos=scene.photos[:20])
    assert not (tmp_path / "run").exists()


def test_the_demonstration_encoder_can_be_tuned_too(tmp_path: Path) -> None:
    split = SplitEncoder(load_encoder("demonstration"), 1)
    for weight in split.weights.values():
        weight.data.add_(0.01)
    save_encoder(split, tmp_path / "encoder.safetensors", {"title": "moved"})
    loaded = load_encoder("demonstration", weights=tmp_path / "encoder.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.embed_pixels(pixels), split.whole(pixels))
    assert loaded.fingerprint.id != load_encoder("demonstration").fingerprint.id
