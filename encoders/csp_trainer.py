"""One contrastive pre-training run in memory: its data, one step, one epoch, its figures.

Letters: N pairs, B a batch, C random places, Q photos asked about, K image components, P positional
features, D embedding. Places are `lonlat` degrees (..., 2), longitude first.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import csp_retrieval as retrieval
from .csp import Batch, CspModel, ImageBasis
from .csp_checkpoint import Progress
from .csp_sampling import (
    Pairs,
    choose_block_deg,
    epoch_batches,
    hold_out,
    jittered,
    n_batches,
    random_places,
    regions,
    same_place,
    torch_seed,
)
from .csp_settings import CspRun
from .errors import PlaceprintError, TooFewPairs
from .location import evaluating
from .processes import ALONE, World
from .sphere import great_circle_km

MIN_PAIRS = 100
MAX_ASKED = 2000  # validation photos
MAX_KNOWN = 20_000  # places that they are looked for among, at each validation
MIN_SCALE = 1e-6  # 1 / temperature; the softest of the presets has 0.05
_CACHE_NUMBERS = 1 << 27  # positional features kept for the whole run: half a gigabyte at most
_Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Split:
    """The pairs of a run, cut into regions and dealt out.

    Attributes:
        pairs: all N.
        part: 0 training, 1 validation, 2 test, (N,).
        region: number of the region, (N,).
        block_deg: side of the blocks.
    """

    pairs: Pairs
    part: _Rows
    region: _Rows
    block_deg: float

    @classmethod
    def of(cls, pairs: Pairs, run: CspRun) -> "Split":
        """Deal the pairs out as the run says.

        Raises:
            TooFewPairs: fewer than `MIN_PAIRS`, or too few separate regions.
        """
        if len(pairs) < MIN_PAIRS:
            raise TooFewPairs(
                f"{len(pairs)} photos of known place are too few to train on; at least {MIN_PAIRS} are "
                "needed, and some thousands before it is worth it"
            )
        block_deg = run.block_deg or choose_block_deg(pairs.lonlat, pairs.groups)
        region = regions(pairs.lonlat, pairs.groups, block_deg)
        part = hold_out(region, (run.validation_share, run.test_share), seed=run.seed)
        return cls(pairs, part, region, block_deg)

    def rows(self, part: int) -> _Rows:
        """Rows of one part."""
        return np.flatnonzero(self.part == part)

    @cached_property
    def digest(self) -> str:
        """Hash of all embeddings, places and groups, in order."""
        digest = hashlib.sha256()
        for array in (self.pairs.images, self.pairs.lonlat):
            digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        digest.update("\0".join(self.pairs.groups.tolist()).encode())
        return digest.hexdigest()


class Trainer:
    """The run in memory: data ready for steps, the dual encoder, its optimizer, and where it stands.

    Args:
        split: the pairs and their parts.
        run: the settings.
        world: the processes that train together.

    Raises:
        InvalidOption: a batch has fewer pairs than there are processes.
    """

    def __init__(self, split: Split, run: CspRun, world: World = ALONE) -> None:
        self.run = run = run.fitted(split.block_deg)
        self.split, self.world = split, world
        self.rows = split.rows(0)
        self.train = split.pairs.take(self.rows)
        self.basis = ImageBasis.fit(self.train.images, run.image_components)
        self.images = self.basis.apply(split.pairs.images)  # (N, K)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(run.seed, 1 << 62))  # a step that no run comes to
            self.model = CspModel(run, self.basis.dimension, world)
        self.optimizer = _optimizer(self.model, run)
        steps = n_batches(len(self.train), run.batch_size)
        self.n_steps = run.epochs * steps
        world.require_rows(len(self.train) // steps)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}

    @cached_property
    def features(self) -> Tensor | None:
        """Positional features of the training places, (N, P), where they stay the same and fit."""
        is_fixed = self.run.jitter_km == 0.0 and not any(
            parameter.requires_grad for parameter in self.model.location.positional.parameters()
        )
        n_numbers = len(self.train) * self.model.location.positional.dimension
        return self.encode_places(self.train.lonlat) if is_fixed and n_numbers <= _CACHE_NUMBERS else None

    def encode_places(self, lonlat: NDArray[np.float64]) -> Tensor:
        """Positional features: (..., 2) -> (..., P)."""
        features: Tensor = self.model.location.positional(torch.from_numpy(lonlat))
        return features

    def batch(self, rows: _Rows) -> Batch:
        """What the present step sees of these training rows, (B,)."""
        run, step = self.run, self.progress.step
        lonlat = self.train.lonlat[rows]
        if self.features is not None:
            features = self.features[torch.from_numpy(rows)]
        else:
            features = self.encode_places(jittered(lonlat, run.jitter_km, seed=run.seed, step=step))
        near = random_near = random_features = None
        if run.same_place_km is not None:
            near = torch.from_numpy(same_place(lonlat, lonlat, run.same_place_km))
        if "L" in run.parts:
            shape = (run.n_random,) if run.shares_random else (len(rows), run.n_random)
            places = random_places(
                shape, kind=run.negatives, known=self.train.lonlat, seed=run.seed, step=step
            )
            random_features = self.encode_places(places)
            if run.same_place_km is not None:
                near_places = same_place(lonlat[:, None], places, run.same_place_km)
                random_near = torch.from_numpy(near_places[:, 0])
        images = self.images[torch.from_numpy(self.rows[rows])]
        return Batch(images, features, random_features, near, random_near)

    def step(self, rows: _Rows) -> dict[str, float]:
        """One step of the optimizer on these training rows; the losses before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.run, self.progress.step, self.n_steps)
        batch = self.batch(rows)
        torch.manual_seed(torch_seed(self.run.seed, self.progress.step))
        losses = self.model.losses(batch)
        total = float(losses.total.detach())
        if not math.isfinite(total):
            raise self._diverged(f"the loss is {total}")
        self.optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.world.average_gradients(self.optimizer)
        self.optimizer.step()
        self.progress.step += 1
        parts = {"batch": losses.batch, "location": losses.location, "dropout": losses.dropout}
        return {"loss": total} | {f"loss_{name}": float(part.detach()) for name, part in parts.items()}

    def epoch(self) -> dict[str, Any]:
        """All training pairs once; the record for the log."""
        self.model.train()
        epoch = self.progress.epoch
        done = [
            self.step(rows)
            for rows in epoch_batches(len(self.train), self.run.batch_size, seed=self.run.seed, epoch=epoch)
        ]
        scales = self._scales()
        self.progress.epoch += 1
        record: dict[str, Any] = {"epoch": self.progress.epoch, "step": self.progress.step}
        record |= {name: float(np.mean([one[name] for one in done])) for name in done[0]}
        record |= {
            f"temperature_{name}": 1.0 / scale
            for name, scale in zip(("batch", "location", "dropout"), scales, strict=True)
        }
        if epoch % self.run.evaluate_every == 0 or self.progress.epoch == self.run.epochs:
            record |= self.world.first(self._validate)
        self.progress.log.append(record)
        return record

    def _scales(self) -> list[float]:
        """1 / temperature of each part, of weights that still are numbers.

        Raises:
            PlaceprintError: the run has diverged. The loss need not say so: temperatures that learn
                may grow beyond all bounds, where every loss is the logarithm of the batch.
        """
        for name, weights in self.model.named_parameters():
            if not torch.isfinite(weights).all():
                raise self._diverged(f"{name} is no longer finite")
        scales: list[float] = self.model.scales().detach().tolist()
        if min(scales) < MIN_SCALE:
            raise self._diverged(f"a temperature has grown beyond {1.0 / MIN_SCALE:,.0f}")
        return scales

    def _diverged(self, sign: str) -> PlaceprintError:
        return PlaceprintError(
            f"the run has diverged: {sign} at step {self.progress.step}; try a lower --learning-rate than "
            f"{self.run.learning_rate:g}, or a temperature nearer to 1"
        )

    def _validate(self) -> dict[str, float]:
        """Figures on the validation part; the best weights so far are kept."""
        rows = self._some(self.split.rows(1), MAX_ASKED)
        score = float(np.mean(self.rank_shares(rows, n_most=MAX_KNOWN)))
        if score < self.progress.best_score and self.run.takes_best:
            self.progress.best_score, self.progress.best_epoch = score, self.progress.epoch
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        return {
            "rank_share": score,
            "median_km": float(np.median(self.errors_km(rows, n_most=MAX_KNOWN))),
        }

    def finish(self) -> None:
        """Take the weights that the run is to end with."""
        if self.best:
            self.model.load_state_dict(self.best)
        else:
            self.progress.best_epoch = self.progress.epoch
        self.model.eval()

    @torch.inference_mode()
    def embed_images(self, rows: _Rows) -> NDArray[np.float32]:
        """Photos in the shared space: (Q,) rows of all pairs -> (Q, D), unit length."""
        with evaluating(self.model):
            embedded: NDArray[np.float32] = self.model.embed_images(
                self.images[torch.from_numpy(rows)]
            ).numpy()
        return embedded

    @torch.inference_mode()
    def embed_places(self, lonlat: NDArray[np.float64]) -> NDArray[np.float32]:
        """Places in the shared space: (N, 2) -> (N, D), unit length."""
        with evaluating(self.model):
            parts = [
                self.model.embed_features(self.encode_places(part)).numpy()
                for part in np.array_split(lonlat, max(1, len(lonlat) // 8192))
            ]
        return np.concatenate(parts)

    def errors_km(self, rows: _Rows, *, n_most: int | None = None) -> NDArray[np.float64]:
        """Distance from the place of each photo to the training place it is most similar to.

        Args:
            rows: of all pairs, (Q,).
            n_most: look among so many training places at most, the same each time; None for all.
        """
        known = np.unique(self.train.lonlat[self._some(np.arange(len(self.train)), n_most)], axis=0)
        best = retrieval.best_candidates(self.embed_images(rows), self.embed_places(known))
        return great_circle_km(self.split.pairs.lonlat[rows], known[best])

    def rank_shares(self, rows: _Rows, *, n_most: int | None = None) -> NDArray[np.float64]:
        """Share of the places of training and of these photos that rank above the true one.

        Args as in `errors_km`; the places of these photos are always among the known.
        """
        train = self.train.lonlat[self._some(np.arange(len(self.train)), n_most)]
        lonlat = np.concatenate([train, self.split.pairs.lonlat[rows]])
        known, inverse = np.unique(lonlat, axis=0, return_inverse=True)
        truth = inverse.reshape(-1)[len(train) :]
        return retrieval.rank_shares(self.embed_images(rows), self.embed_places(known), truth)

    def _some(self, rows: _Rows, n_most: int | None) -> _Rows:
        if n_most is None or len(rows) <= n_most:
            return rows
        return np.random.default_rng([self.run.seed, n_most]).permutation(rows)[:n_most]


def learning_rate(run: CspRun, step: int, n_steps: int) -> float:
    """Learning rate at a step, 0..n_steps - 1: a pure function."""
    if run.schedule == "exponential":
        return run.learning_rate * 0.98 ** (step * run.epochs // n_steps)
    warm_up = max(1, n_steps // 20)
    if step < warm_up:
        return run.learning_rate * (step + 1) / warm_up
    return run.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(1, n_steps - warm_up)))


def _optimizer(model: CspModel, run: CspRun) -> torch.optim.Optimizer:
    """AdamW; biases, norms and temperatures do not decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim >= 2], "weight_decay": run.weight_decay},
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=run.learning_rate)
