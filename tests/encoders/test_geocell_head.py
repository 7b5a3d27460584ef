"""Claims: a new head answers the prior at the centers; files round-trip; what does not fit is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from geocell_fakes import NearestCells, cells_at, photos_at

from placeprint.encoders.errors import FingerprintMismatch, InvalidCells, InvalidOption, WeightsUnavailable
from placeprint.encoders.geocell_head import GeocellHead, HeadConfig
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere

COUNT = np.array([5, 0, 3, 1, 0, 0, 1, 2])


@pytest.fixture
def cells(rng: np.random.Generator) -> NearestCells:
    return cells_at(uniform_on_sphere(8, rng), radius_km=300.0)


def begun(cells: NearestCells, **config: object) -> GeocellHead:
    photos = photos_at(uniform_on_sphere(12, np.random.default_rng(1)))
    made = HeadConfig(dimension=16, n_cells=8, offset_rank=4, **config)  # type: ignore[arg-type]
    return GeocellHead.begun(made, cells, photos, np.repeat(np.arange(8), COUNT), encoder="e1", seed=3)


def shaken(head: GeocellHead, seed: int = 0) -> GeocellHead:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in head.parameters():
            one.add_(torch.randn(one.shape, generator=generator))
    return head


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_new_head_answers_every_photo_with_the_prior_at_the_centers(cells: NearestCells, kind: str) -> None:
    head, photos = begun(cells, head=kind), photos_at(uniform_on_sphere(5, np.random.default_rng(2)))
    np.testing.assert_allclose(
        np.exp(head.log_probabilities(photos)), np.tile((COUNT + 1) / 20, (5, 1)), rtol=1e-5
    )
    points = head.points(photos, np.tile(np.arange(8), (5, 1)))
    np.testing.assert_allclose(great_circle_km(points, cells.center_lonlat[None]), 0.0, atol=1e-6)


def test_rows_sum_to_one_and_do_not_depend_on_their_batch(
    cells: NearestCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, photos = shaken(begun(cells)), photos_at(uniform_on_sphere(9, np.random.default_rng(2)))
    whole = head.log_probabilities(photos)
    np.testing.assert_allclose(np.exp(whole).sum(axis=1), 1.0, rtol=1e-12)
    monkeypatch.setattr("placeprint.encoders.geocell_head._ROWS_AT_A_TIME", 2)
    np.testing.assert_allclose(head.log_probabilities(photos), whole, atol=1e-5)
    chosen = np.argsort(whole, axis=1)[:, :3]
    monkeypatch.undo()
    np.testing.assert_allclose(
        head.points(photos[4:5], chosen[4:5]), head.points(photos, chosen)[4:5], atol=1e-4
    )
    assert head.log_probabilities(photos[:0]).shape == (0, 8) and head.points(
        photos[:0], chosen[:0]
    ).shape == (0, 3, 2)


def test_length_does_not_matter_and_arguments_stay_as_they_are(cells: NearestCells) -> None:
    head, photos = shaken(begun(cells)), photos_at(uniform_on_sphere(4, np.random.default_rng(2)))
    longer = 7.0 * photos
    before = longer.copy()
    np.testing.assert_allclose(head.log_probabilities(longer), head.log_probabilities(photos), atol=1e-4)
    np.testing.assert_array_equal(longer, before)


def test_dropout_is_off_when_it_answers_and_the_mode_comes_back(cells: NearestCells) -> None:
    head = shaken(begun(cells, head="mlp", dropout=0.9)).train()
    photos = photos_at(uniform_on_sphere(4, np.random.default_rng(2)))
    np.testing.assert_array_equal(head.log_probabilities(photos), head.log_probabilities(photos))
    assert head.training


def test_the_prior_is_taken_away_by_its_power(cells: NearestCells) -> None:
    head, photos = begun(cells), photos_at(uniform_on_sphere(3, np.random.default_rng(2)))
    np.testing.assert_allclose(np.exp(head.log_probabilities(photos, prior_weight=1.0)), 1 / 8, rtol=1e-5)
    half = np.sqrt(COUNT + 1.0)
    np.testing.assert_allclose(
        np.exp(head.log_probabilities(photos, prior_weight=0.5))[0], half / half.sum(), rtol=1e-5
    )
    with pytest.raises(InvalidOption, match="prior_weight"):
        head.log_probabilities(photos, prior_weight=float("nan"))


def test_temperature_divides_the_logits(cells: NearestCells) -> None:
    head, photos = shaken(begun(cells)), photos_at(uniform_on_sphere(3, np.random.default_rng(2)))
    sharp = head.log_probabilities(photos)
    head.temperature.fill_(2.0)
    soft = head.log_probabilities(photos)
    np.testing.assert_allclose(np.diff(soft, axis=1), np.diff(sharp, axis=1) / 2.0, atol=1e-6)


def test_points_stay_within_the_radius(cells: NearestCells) -> None:
    cells.p95_km[2] = np.nan  # a cell without points
    head, photos = shaken(begun(cells)), photos_at(uniform_on_sphere(50, np.random.default_rng(2)))
    every = np.tile(np.arange(8), (50, 1))
    moved_km = great_circle_km(head.points(photos, every), cells.center_lonlat[None])
    assert moved_km.max() <= 300.0 + 1e-3 and moved_km.max() > 200.0
    np.testing.assert_allclose(moved_km[:, 2], 0.0, atol=1e-6)


def test_the_seed_decides(cells: NearestCells) -> None:
    photos = photos_at(uniform_on_sphere(12, np.random.default_rng(1)))
    config = HeadConfig(dimension=16, n_cells=8, head="mlp")
    cell = np.repeat(np.arange(8), COUNT)
    state = torch.random.get_rng_state()
    first, second, third = (GeocellHead.begun(config, cells, photos, cell, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.trunk[0].weight, second.trunk[0].weight)
    assert not torch.equal(first.trunk[0].weight, third.trunk[0].weight)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_files_round_trip_and_are_the_same_bytes(cells: NearestCells, tmp_path: Path, kind: str) -> None:
    head = shaken(begun(cells, head=kind, task_outputs={"climate": 31}))
    head.card = {"rows": {"prior": {"geoscore": 1.5}}}
    head.temperature.fill_(1.7)
    head.save(tmp_path / "a.safetensors")
    back = GeocellHead.load(tmp_path / "a.safetensors", cells_id="cells-of-a-test", encoder="e1")
    back.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert back.card == head.card and back.config == head.config
    photos = photos_at(uniform_on_sphere(4, np.random.default_rng(2)))
    np.testing.assert_array_equal(back.log_probabilities(photos), head.log_probabilities(photos))


def test_other_cells_and_other_encoders_are_refused(cells: NearestCells, tmp_path: Path) -> None:
    begun(cells).save(tmp_path / "a.safetensors")
    with pytest.raises(InvalidCells, match=r"made for the cells cells-of-a-test, not for .* other"):
        GeocellHead.load(tmp_path / "a.safetensors", cells_id="other")
    with pytest.raises(FingerprintMismatch, match="'e1', these are of 'e2'"):
        GeocellHead.load(tmp_path / "a.safetensors", encoder="e2")


def test_files_that_are_none_are_named(cells: NearestCells, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="no such file"):
        GeocellHead.load(tmp_path / "none")
    (tmp_path / "text").write_text("not a head")
    with pytest.raises(WeightsUnavailable, match="damaged"):
        GeocellHead.load(tmp_path / "text")
    begun(cells).save(tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(content.replace(b"placeprint-geocell-head", b"placeprint-geocell-hand"))
    with pytest.raises(WeightsUnavailable, match="not the file of a geocell head"):
        GeocellHead.load(tmp_path / "b")
    (tmp_path / "c").write_bytes(content.replace(rb"\"n_cells\": 8", rb"\"n_cells\": 9"))
    with pytest.raises(WeightsUnavailable, match="do not fit"):
        GeocellHead.load(tmp_path / "c")
    (tmp_path / "d").write_bytes(content.replace(rb"\"version\": 1", rb"\"version\": 2"))
    with pytest.raises(WeightsUnavailable, match="version 2"):
        GeocellHead.load(tmp_path / "d")


def test_embeddings_that_cannot_be_are_refused(cells: NearestCells) -> None:
    head = begun(cells)
    with pytest.raises(FingerprintMismatch, match="16 numbers"):
        head.log_probabilities(np.ones((2, 15)))
    for bad in (0.0, np.nan, np.inf):
        with pytest.raises(InvalidOption, match="embedding 1 is zero or not finite"):
            head.log_probabilities(np.stack([np.ones(16), np.full(16, bad)]))
