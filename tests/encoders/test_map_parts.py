"""The parts of a map run: views, places, masks, prototypes, the monitor, checks, prefetching, schedules.

Claims: views are cut from the map and bounded; poor places come seldom and never not; training and
held-out crops do not touch; reconstruction and clustering cost what the formulas say; every sign of
collapse is named after its patience; settings that cannot work are refused before anything is done.
"""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from map_fakes import Country, places_of

from placeprint.encoders.areas import Box
from placeprint.encoders.errors import InvalidOption, TooFewPairs, UnknownEncoder
from placeprint.encoders.map_learning import schedules
from placeprint.encoders.map_learning.checks import check_run
from placeprint.encoders.map_learning.clustering import PrototypeClustering
from placeprint.encoders.map_learning.crop_source import Patchwork, places_in
from placeprint.encoders.map_learning.monitor import (
    MESSAGES,
    CollapseMonitor,
    Signs,
    judge_round,
    knn_probe,
    main_class,
    outputs_used,
)
from placeprint.encoders.map_learning.network import NETWORKS, draw_kept, map_network, planes
from placeprint.encoders.map_learning.prefetch import Prefetcher
from placeprint.encoders.map_learning.reconstruction import (
    MaskedDecoder,
    draw_mask,
    masked_classes,
    masked_colors,
)
from placeprint.encoders.map_learning.sampling import MapSplit, PlaceWeights
from placeprint.encoders.map_learning.settings import PRESETS, MapRun
from placeprint.encoders.map_learning.views import draw_cuts
from placeprint.encoders.sphere import great_circle_km

# --- views ----------------------------------------------------------------------------------------


def test_views_have_their_widths_and_local_ones_stay_near_the_place(rng: np.random.Generator) -> None:
    run = MapRun(ground_m=1000.0, n_local=6, local_offset=0.25)
    lonlat = np.array([[179.9999, 10.0], [9.5, 89.999], [0.0, 0.0]])  # the antimeridian, near a pole
    still, moved = draw_cuts(lonlat, run, rng)
    assert still.lonlat.shape == (2, 3, 2) and moved.lonlat.shape == (6, 3, 2)
    assert (still.lonlat == lonlat).all()
    off_m = 1000 * great_circle_km(moved.lonlat, np.broadcast_to(lonlat, (6, 3, 2)))
    assert 0 < off_m.max() <= 250.0 + 1e-6
    assert still.ground_m.min() >= 700.0 and still.ground_m.max() <= 1400.0
    assert moved.ground_m.min() >= 250.0 and moved.ground_m.max() <= 500.0
    assert not still.is_flipped.any() and len(np.unique(still.angle_rad)) == 6


def test_no_view_reaches_beyond_what_is_said(rng: np.random.Generator) -> None:
    run = MapRun(ground_m=800.0)
    lonlat = np.zeros((200, 2))
    for cuts in draw_cuts(lonlat, run, rng):
        off_m = 1000 * great_circle_km(cuts.lonlat, np.zeros(2))
        assert (off_m + cuts.ground_m / 2**0.5).max() <= run.reach_m + 1e-6


def test_views_are_cut_by_the_map_and_flipped_only_when_asked(rng: np.random.Generator) -> None:
    source, lonlat = Country(), places_of(4)
    still, moved = draw_cuts(lonlat, MapRun(n_local=1), rng)
    ids = still.cut(source)
    assert ids.shape == (2, 4, 64, 64) and moved.cut(source).shape == (1, 4, 32, 32)
    alone = source.crops(
        lonlat[2:3], ground_m=float(still.ground_m[1, 2]), angle_rad=float(still.angle_rad[1, 2]), px=64
    )
    assert np.array_equal(ids[1, 2], alone[0])
    flipped = replace(still, is_flipped=np.ones((2, 4), bool)).cut(source)
    assert np.array_equal(flipped, ids[..., ::-1])


def test_without_rotation_and_local_views_there_are_none(rng: np.random.Generator) -> None:
    still, moved = draw_cuts(places_of(3), MapRun(n_local=0, is_rotated=False), rng)
    assert (still.angle_rad == 0.0).all()
    assert moved.cut(Country()).shape == (0, 3, 32, 32)


# --- places ---------------------------------------------------------------------------------------


def test_poor_places_come_seldom_but_come() -> None:
    entropy = np.array([0.0] * 500 + [2.0] * 500)
    weights = PlaceWeights(entropy, np.where(entropy > 0, 1.0, 0.1), 0.1, 1.5)
    assert weights.n_epoch == 550
    epochs = [weights.draw(0, epoch) for epoch in range(20)]
    assert all(len(np.unique(rows)) == 550 for rows in epochs)
    poor = np.array([(rows < 500).mean() for rows in epochs])
    assert poor.mean() == pytest.approx(50.0 / 550.0, abs=0.003)  # a tenth of them, all of the others
    assert len(np.unique(np.concatenate(epochs))) > 900
    assert np.array_equal(weights.draw(0, 3), epochs[3]) and not np.array_equal(epochs[2], epochs[3])


def test_the_weight_of_a_place_follows_the_entropy_of_its_crop() -> None:
    run = MapRun(keep_floor=0.2, entropy_bits=1.5)
    lonlat = places_of(200)
    weights = PlaceWeights.measure(Country(), lonlat, run, batch_size=64)
    whole = PlaceWeights.measure(Country(), lonlat, run)
    assert np.array_equal(weights.weight, whole.weight)
    assert weights.weight == pytest.approx(0.2 + 0.8 * np.minimum(1.0, weights.entropy / 1.5))
    report = weights.report()
    assert report["places"] == 200 and report["left_out_an_epoch"] == 200 - weights.n_epoch
    assert 0.0 < report["share_below_full_weight"] < 1.0
    flat = PlaceWeights.measure(Country(), lonlat, replace(run, keep_floor=1.0))
    assert flat.n_epoch == 200


def test_training_crops_and_held_out_ones_never_touch() -> None:
    run = MapRun(ground_m=500.0, held_out_share=0.2, batch_size=8)
    lonlat = places_of(800)
    split = MapSplit.of(lonlat, run)
    assert len(split.held_out) > 100 and not set(split.train) & set(split.held_out)
    distance_m = 1000 * great_circle_km(lonlat[split.train][:, None], lonlat[split.held_out][None])
    assert distance_m.min() > 2 * run.reach_m
    assert MapSplit.of(lonlat, run).train.tolist() == split.train.tolist()


def test_a_village_holds_nothing_out_and_too_few_places_are_refused() -> None:
    run = MapRun(batch_size=8)
    assert len(MapSplit.of(places_of(50, extent_deg=0.01), run).held_out) == 0
    with pytest.raises(TooFewPairs, match="batch of 64"):
        MapSplit.of(places_of(20), MapRun())


def test_places_are_drawn_where_the_map_has_data_also_across_the_antimeridian() -> None:
    class Half:
        def crops(
            self, lonlat: np.ndarray, *, ground_m: float, angle_rad: float = 0.0, px: int
        ) -> np.ndarray:
            return (
                np.where(lonlat[:, 0] > 0, 3, 0).astype(np.uint8)[:, None, None].repeat(px, 1).repeat(px, 2)
            )

    box = Box(179.0, -20.0, -179.0, -10.0)
    found = places_in(Half(), box, 40, ground_m=100.0, seed=1)
    assert found.shape == (40, 2) and box.contains(found).all() and (found[:, 0] > 179.0).all()
    with pytest.raises(TooFewPairs, match="covers only"):
        places_in(Half(), Box(-10.0, 0.0, -5.0, 5.0), 20, ground_m=100.0, seed=1)


def test_a_patchwork_cuts_each_place_from_the_first_map_that_has_it() -> None:
    near, far = Country(3000.0), Country(1000.0)
    west, all_of_it = Box(9.0, 47.0, 9.5, 47.3), Box(9.0, 46.5, 10.0, 48.0)
    lonlat = places_of(30)
    both = Patchwork([(west, near), (all_of_it, far)])
    crops = both.crops(lonlat, ground_m=500.0, angle_rad=0.3, px=16)
    for row, place in enumerate(lonlat):
        source = near if west.contains(place) else far
        assert np.array_equal(crops[row], source.crops(place[None], ground_m=500.0, angle_rad=0.3, px=16)[0])


# --- networks -------------------------------------------------------------------------------------


def test_planes_are_one_hot_and_dropped_ones_are_empty() -> None:
    ids = torch.from_numpy(Country().crops(places_of(2), ground_m=800.0, px=16))
    found = planes(ids, 16)
    assert torch.equal(found.sum(1), torch.ones(2, 16, 16)) and torch.equal(found.argmax(1), ids.long())
    keep = torch.ones(2, 16, dtype=torch.bool)
    keep[1, ids[1, 0, 0].long()] = False
    dropped = planes(ids, 16, keep)
    assert torch.equal(dropped[0], found[0])
    assert float(dropped[1, :, 0, 0].sum()) == 0.0
    torch.manual_seed(0)
    assert float(draw_kept(1000, 16, 0.2).float().mean()) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("name", ["tiny", "small", "vit-small"])
def test_networks_take_crops_of_several_sizes_each_by_itself(name: str) -> None:
    torch.manual_seed(0)
    network = map_network(name, 16, 24).eval()
    with torch.inference_mode():
        for px in (32, 64):
            ids = torch.from_numpy(Country().crops(places_of(3), ground_m=800.0, px=px))
            found = network(ids)
            assert found.embedding.shape == (3, 24) and found.middle.shape == (3, network.middle_width)
            torch.testing.assert_close(
                network(ids[1:2]).embedding[0], found.embedding[1], rtol=1e-4, atol=1e-5
            )


def test_the_tiny_network_weighs_less_than_10_mb() -> None:
    n = sum(one.numel() for one in map_network("tiny", 16, 128).parameters())
    assert 4 * n < 10e6


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(InvalidOption, match="there are tiny"):
        map_network("huge", 16, 8)
    assert set(NETWORKS) >= {"tiny", "vit-small", "resnet50"}


# --- reconstruction -------------------------------------------------------------------------------


def test_reconstruction_counts_covered_pixels_with_data_only() -> None:
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 1, 0, :2] = 2.0
    ids = torch.tensor([[[1, 2, 0, 1]]], dtype=torch.uint8)
    mask = torch.tensor([[[True, True, True, False]]])  # the third is covered, but has no data
    whole = math.log(math.exp(2) + 2)
    assert float(masked_classes(logits, ids, mask, 0)) == pytest.approx(((whole - 2.0) + whole) / 2)
    assert float(masked_classes(logits, ids, torch.zeros_like(mask), 0)) == 0.0


def test_the_published_reconstruction_is_the_squared_norm_under_the_mask() -> None:
    found, colors = torch.zeros(2, 3, 1, 2), torch.ones(2, 3, 1, 2) * 0.5
    mask = torch.tensor([[[True, False]], [[True, True]]])
    assert float(masked_colors(found, colors, mask)) == pytest.approx((3 * 0.25 + 6 * 0.25) / 2)


def test_the_decoder_does_not_see_what_is_covered_and_listens_to_the_embedding() -> None:
    torch.manual_seed(0)
    decoder = MaskedDecoder(16, 8, 16)
    mask = draw_mask(2, 32, 0.5)
    blocks = mask.unflatten(1, (8, 4)).unflatten(3, (8, 4)).float().mean(dim=(2, 4))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}  # whole patches
    ids = torch.randint(1, 16, (2, 32, 32), dtype=torch.uint8)
    changed = torch.where(mask, (ids % 15) + 1, ids).to(torch.uint8)
    z = torch.randn(2, 8)
    with torch.no_grad():
        said = decoder(ids, mask, z)
        assert said.shape == (2, 16, 32, 32)
        assert torch.equal(said, decoder(changed, mask, z))
        assert not torch.equal(said, decoder(ids, mask, -z))


# --- clustering -----------------------------------------------------------------------------------


def test_clustering_is_the_formula_with_the_offset_on_one_side_or_both() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 4, 6), torch.randn(2, 4, 6)
    for both in (False, True):
        part = PrototypeClustering(
            6, 5, student_temperature=0.2, teacher_temperature=0.1, is_student_centered=both
        ).eval()
        part.offset.mean.copy_(torch.randn(6) * 0.1)
        c = torch.nn.functional.normalize(part.prototypes.detach(), dim=1)
        unit = [torch.nn.functional.normalize(one, dim=-1) for one in (student, teacher)]
        p_div = part.offset.mean
        log_s = torch.log_softmax((unit[0] - p_div * both) @ c.T / 0.2, -1)
        p_t = torch.softmax((unit[1] - p_div) @ c.T / 0.1, -1)
        pairs = [-(p_t[t] * log_s[s]).sum(-1).mean() for t in range(2) for s in range(3) if s != t]
        found = float(part(student, teacher).loss.detach())
        assert found == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-5)


def test_prototypes_learn_from_the_student_alone_and_the_offset_follows_the_teacher() -> None:
    part = PrototypeClustering(4, 3, momentum=0.5)
    student = torch.randn(2, 5, 4, requires_grad=True)
    teacher = torch.randn(2, 5, 4, requires_grad=True)
    part(student, teacher).loss.backward()
    assert teacher.grad is None and student.grad is not None
    assert part.prototypes.grad is not None and float(part.prototypes.grad.abs().sum()) > 0
    wanted = 0.5 * torch.nn.functional.normalize(teacher.detach(), dim=-1).mean(dim=(0, 1))
    torch.testing.assert_close(part.offset.mean, wanted)


# --- monitor --------------------------------------------------------------------------------------

LN = math.log(4096)


@pytest.mark.parametrize(
    ("signs", "name", "patience"),
    [
        (Signs(8.3178, 4.0, LN - 4.0, 6.0), "student-uniform", 500),
        (Signs(LN + 0.3, LN * 0.999, 0.001, LN), "teacher-uniform", 100),
        (Signs(0.01, 0.005, 0.005, 0.01), "one-output", 100),
    ],
)
def test_each_collapse_is_named_when_it_has_lasted(signs: Signs, name: str, patience: int) -> None:
    monitor = CollapseMonitor(4096, warm_up=10)
    for step in range(10 + patience - 1):
        monitor.observe(step, signs)
    assert monitor.found == ()
    monitor.observe(10 + patience, signs)
    assert monitor.found == (name,)
    record = {"rank_me": 60.0, "distillation": 1.0, "probe": 0.5}
    assert judge_round(monitor, [record], 128) == [MESSAGES[name]]
    monitor.observe(10 + patience, Signs(5.0, 3.0, 2.0, 6.0))  # it recovered
    assert monitor.found == ()


def test_samples_in_one_output_each_are_no_collapse() -> None:
    monitor = CollapseMonitor(4096)
    for step in range(200):
        monitor.observe(step, Signs(0.01, 0.005, 0.005, 6.0))  # sure, but of different outputs
    assert monitor.found == ()


def test_few_axes_and_a_falling_probe_are_told() -> None:
    monitor = CollapseMonitor(256)
    good = {"rank_me": 60.0, "distillation": 3.0, "probe": 0.6}
    assert judge_round(monitor, [good, {**good, "rank_me": 5.0}], 128) == [MESSAGES["low-rank"]]
    worse = {**good, "distillation": 2.0, "probe": 0.5}
    assert judge_round(monitor, [good] * 6 + [worse], 128) == [MESSAGES["shortcut"]]
    assert judge_round(monitor, [good] * 6 + [{**worse, "probe": 0.7}], 128) == []


def test_the_land_use_probe_and_the_share_of_outputs() -> None:
    crops = np.full((3, 16, 16), 6, np.uint8)
    crops[1, 4:12, 4:12] = 8
    crops[2] = 0
    crops[2, 7, 7] = 4  # all there is
    assert main_class(crops, 16).tolist() == [6, 8, 4]
    classes = np.array([0] * 10 + [1] * 30)
    apart = torch.eye(2)[torch.from_numpy(classes)] + 0.01 * torch.randn(40, 2)
    assert knn_probe(apart, classes) == 1.0
    assert knn_probe(torch.ones(40, 2) + 0.01 * torch.randn(40, 2), classes) < 0.8
    assert outputs_used(torch.tensor([1, 1, 2, 3]), 4096) == 0.75
    assert outputs_used(torch.arange(100) % 5, 10) == 0.5


# --- checks and schedules -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"teacher_temperature": 0.3}, "not below student_temperature"),
        ({"teacher_temperature_start": 0.1}, "both end uniform"),
        ({"learning_rate": 0.05}, "too high for AdamW"),
        ({"n_out": 65536}, "65536 outputs for 1000"),
        ({"cluster_teacher_temperature": 0.2}, "softer one"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, float], match: str) -> None:
    with pytest.raises(InvalidOption, match=match):
        check_run(MapRun(**changes), 1000)


def test_what_is_doubtful_is_warned_of() -> None:
    assert check_run(MapRun(), 2000) == []
    found = check_run(MapRun(teacher_temperature=0.08, n_out=512, learning_rate=4e-3), 1000)
    assert ["unstable" in found[0], "n_out=128 would fit" in found[1], "is high" in found[2]] == [True] * 3
    assert "hardly" in check_run(MapRun(learning_rate=1e-7), 2000)[0]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_passes_its_own_check(preset: str) -> None:
    assert check_run(MapRun.preset(preset), 100_000) == []
    assert MapRun.from_dict(MapRun.preset(preset).to_dict()) == PRESETS[preset]


@pytest.mark.parametrize(
    "bad",
    [
        {"global_px": 60}, {"keep_floor": 0.0}, {"price_loss": "l1"}, {"network": "huge"}, {"n_out": 1},
        {"global_zoom": (1.4, 0.7)}, {"mask_share": 1.0}, {"seed": -1}, {"held_out_share": 0.9},
        {"cluster_teacher_temperature": 0.0}, {"variant": "theirs"},
    ],
)  # fmt: skip
def test_settings_without_meaning_are_named(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(bad))):
        MapRun(**bad)


def test_unknown_presets_and_settings_are_named() -> None:
    with pytest.raises(UnknownEncoder, match="small-data"):
        MapRun.preset("large")
    with pytest.raises(InvalidOption, match="colour"):
        MapRun.from_dict({"colour": 1})


def test_the_variant_decides_what_is_left_open() -> None:
    ours, paper = MapRun().resolved, MapRun(variant="paper").resolved
    assert (ours.price_loss, ours.position_loss, ours.center_student) == ("huber", "sphere", False)
    assert (paper.price_loss, paper.position_loss, paper.center_student) == ("squared", "degrees", True)
    assert paper.weighting == "equal" and paper.reconstruction_loss == "colors"
    assert MapRun(variant="paper", price_loss="huber").resolved.price_loss == "huber"


def test_schedules_are_functions_of_the_step() -> None:
    run = MapRun(learning_rate=1.0e-3, warm_up=0.1, teacher_momentum=0.99, teacher_warm_up=0.5)
    rates = [schedules.learning_rate(run, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == rates[9] == 1e-3
    assert rates[-1] == pytest.approx(run.final_learning_rate)
    assert schedules.teacher_momentum(run, 0, 100) == pytest.approx(0.99)
    assert schedules.teacher_momentum(run, 99, 100) == 1.0
    assert schedules.weight_decay(run, 99, 100) == pytest.approx(run.final_weight_decay)
    temperatures = [schedules.teacher_temperature(run, step, 100) for step in (0, 25, 50, 99)]
    assert temperatures == pytest.approx([0.04, 0.045, 0.05, 0.05])


# --- prefetching ----------------------------------------------------------------------------------


def test_batches_come_in_order_and_waiting_is_counted() -> None:
    def make(step: int) -> int:
        time.sleep(0.02)
        return step * step

    with Prefetcher(make, iter(range(3, 8)), ahead=2) as ahead:
        assert [ahead.take(step) for step in range(3, 8)] == [9, 16, 25, 36, 49]
        assert ahead.waited_s > 0.02
        with pytest.raises(LookupError, match="the end"):
            ahead.take(8)


def test_a_batch_that_fails_fails_where_it_is_taken() -> None:
    def make(step: int) -> int:
        if step == 1:
            raise ValueError("no such tile")
        return step

    with Prefetcher(make, iter(range(3))) as ahead:
        assert ahead.take(0) == 0
        with pytest.raises(ValueError, match="no such tile"):
            ahead.take(1)


def test_closing_stops_a_thread_that_waits() -> None:
    ahead = Prefetcher(lambda step: step, iter(range(10**9)), ahead=2)
    ahead.take(0)
    ahead.close()
    assert not ahead._thread.is_alive()
