"""What lies around a crop, and saying it from the embedding.

Claims: the ring leaves the crop out and tells shares of what is known; little known is unknown; a head
that says what is there costs nothing, one that says else costs the divergence; unknown rings do not count;
the loss falls in a run, and a run without it does not look around.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from map_fakes import Country, places_of
from numpy.typing import NDArray

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.map_learning.geo_targets import PlaceLabels
from placeprint.encoders.map_learning.settings import PRESETS, MapRun
from placeprint.encoders.map_learning.surroundings import RING_PX, SurroundingsHead, ring_shares
from placeprint.encoders.map_learning.trainer import MapTrainer
from placeprint.encoders.mosaics.legend import N_CLASSES, NODATA
from placeprint.encoders.train_maps import class_colors


class Square:
    """A map of one class in the middle of another, wherever it is cut; unknown in the west."""

    def __init__(self, inner_m: float, unknown_share: float = 0.0) -> None:
        self.inner_m, self.unknown_share = inner_m, unknown_share

    def crops(
        self, lonlat: NDArray[np.float64], *, ground_m: float, angle_rad: float = 0.0, px: int
    ) -> NDArray[np.uint8]:
        side = (np.arange(px) + 0.5 - px / 2) * ground_m / px
        inside = np.maximum.outer(abs(side), abs(side)) < self.inner_m / 2
        ids = np.where(inside, 7, 3).astype(np.uint8)
        ids[:, : round(self.unknown_share * px)] = NODATA
        return np.repeat(ids[None], len(lonlat), axis=0)


def test_the_ring_leaves_the_crop_out() -> None:
    shares = ring_shares(Square(500.0), places_of(3), ground_m=500.0, zoom=3.0)
    assert shares.shape == (3, N_CLASSES)
    np.testing.assert_allclose(shares[:, 3], 1.0)
    wider = ring_shares(Square(1000.0), places_of(1), ground_m=500.0, zoom=3.0)
    assert wider[0, 7] == pytest.approx((4 - 1) / 8, abs=0.03)  # of the ring of eight crops
    inside = RING_PX // 2
    assert shares.sum() == pytest.approx(3.0) and inside * 2 == RING_PX


def test_shares_are_of_what_is_known() -> None:
    shares = ring_shares(Square(1000.0, unknown_share=0.25), places_of(1), ground_m=500.0, zoom=3.0)
    assert shares[0].sum() == pytest.approx(1.0) and shares[0, NODATA] == 0.0
    unknown = ring_shares(Square(1000.0, unknown_share=0.75), places_of(2), ground_m=500.0, zoom=3.0)
    assert np.isnan(unknown).all()


def test_saying_what_is_there_costs_nothing_and_unknown_rings_do_not_count() -> None:
    head = SurroundingsHead(4, 3)
    wanted = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [float("nan")] * 3])
    with torch.no_grad():
        head.output.weight.zero_()
        head.output.bias.copy_(wanted[0].log())
    embedding = torch.randn(3, 4)
    loss, is_known = head(embedding[:1], wanted[:1])
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6) and bool(is_known)
    loss, _ = head(embedding, wanted)
    # The second has a quarter of what is said.
    assert float(loss.detach()) == pytest.approx(np.log(4.0) / 2, rel=1e-5)
    loss, is_known = head(embedding[2:], wanted[2:])
    assert float(loss.detach()) == 0.0 and not bool(is_known)
    loss.backward()


def trainer_of(**changes: float) -> MapTrainer:
    run = replace(
        MapRun(
            global_px=16, local_px=16, n_local=1, dimension=16, n_out=16, head_hidden=32, bottleneck=16,
            n_prototypes=8, cluster_width=8, n_geocells=4, ground_m=500.0, epochs=12, batch_size=16, seed=3,
        ),
        **changes,
    )  # fmt: skip
    lonlat = places_of(120)
    return MapTrainer(Country(), lonlat, PlaceLabels.none(120), run, colors=class_colors())


def test_surroundings_are_learned() -> None:
    trainer = trainer_of(surroundings_weight=1.0)
    log = [trainer.epoch() for _ in range(12)]
    trainer.close()
    assert log[-1]["surroundings"] < 0.7 * log[0]["surroundings"]


def test_a_run_without_them_does_not_look_around() -> None:
    trainer = trainer_of(surroundings_weight=0.0)
    views = trainer.cut(0)[1]
    trainer.close()
    assert views.ring_shares.isnan().all()
    assert trainer.run.reach_m < trainer_of().run.reach_m == pytest.approx(750.0 * 2**0.5)


def test_the_published_total_has_no_such_part() -> None:
    assert PRESETS["paper"].surroundings_weight == 0.0 < MapRun().surroundings_weight
    with pytest.raises(InvalidOption, match="surroundings_zoom"):
        MapRun(surroundings_zoom=1.0)
