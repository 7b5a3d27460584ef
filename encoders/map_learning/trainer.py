"""One map run in memory: its places, one step, one epoch, its figures.

Letters: N places, B a batch, D embedding. Places are `lonlat` degrees (N, 2), longitude first.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..csp_checkpoint import Progress
from ..csp_sampling import torch_seed
from ..errors import MissingLabels, PlaceprintError
from ..location import evaluating
from ..mosaics.legend import N_CLASSES
from ..processes import ALONE, World
from ..sphere import as_lonlat
from . import schedules
from .checks import check_run
from .crop_source import CropSource
from .geo_heads import GeoBatch, GeoHeads
from .geo_targets import GeoScales, PlaceLabels
from .model import MapLosses, MapModel, Views
from .monitor import CollapseMonitor, Signs, effective_rank, judge_round, knn_probe, main_class, outputs_used
from .prefetch import Prefetcher
from .sampling import MapSplit, PlaceWeights, step_rng
from .settings import MapRun
from .surroundings import ring_shares
from .timing import Timing
from .views import draw_cuts

N_PROBE = 256
"""Places at most that RankMe and the land-use probe look at after each epoch."""

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]


class MapTrainer:
    """The run in memory: places ready for steps, the model, its optimizer, and where it stands.

    Args:
        source: of the crops.
        lonlat: the places, degrees, longitude first, (N, 2).
        labels: of the places; missing ones are NaN.
        run: the settings.
        colors: of the legend's classes in [0, 1], (C, 3); for the published reconstruction.
        device: where to train; the crops are cut on the CPU.
        is_checked: refuse settings that cannot work; see `checks`.
        world: the processes that train together, each on some places of a batch.

    Raises:
        InvalidCoordinate: a place that is not on Earth.
        InvalidOption: settings that cannot work.
        TooFewPairs: fewer places than a batch.
    """

    def __init__(
        self,
        source: CropSource,
        lonlat: _Floats,
        labels: PlaceLabels,
        run: MapRun,
        *,
        colors: Tensor,
        device: str | torch.device = "cpu",
        is_checked: bool = True,
        world: World = ALONE,
    ) -> None:
        self.run, self.world = run.resolved, world
        run = self.run
        self.source, self.device = source, torch.device(device)
        self.lonlat = as_lonlat(lonlat)
        if len(labels.price) != len(self.lonlat):
            raise MissingLabels(f"labels of {len(labels.price)} places for {len(self.lonlat)} places")
        self.split = MapSplit.of(self.lonlat, run)
        train = self.split.train
        self.labels = labels.take(train)
        self.all_labels = labels
        self.warnings = check_run(run, len(train)) if is_checked else []
        self.weights = PlaceWeights.measure(source, self.lonlat[train], run)
        if is_checked and self.weights.n_epoch < run.batch_size:
            self.warnings.append(
                f"an epoch has {self.weights.n_epoch} places, fewer than a batch of {run.batch_size}: most "
                "crops show one thing only; give other places, or take a smaller --batch-size"
            )
        world.require_rows(min(run.batch_size, self.weights.n_epoch))
        self.epoch_steps = max(1, self.weights.n_epoch // run.batch_size)
        self.n_steps = run.epochs * self.epoch_steps
        scales = GeoScales.fit(
            self.lonlat[train],
            self.labels,
            n_density_bins=run.n_density_bins,
            n_geocells=run.n_geocells,
            seed=run.seed,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(run.seed, 1 << 62))  # a step that no run comes to
            self.model = MapModel(run, N_CLASSES, GeoHeads(run, scales, self.labels), colors, world)
        self.model.to(self.device)
        if run.is_channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.optimizer = _optimizer(self.model, run)
        self.progress = Progress()
        self.timing = Timing()
        self._prefetcher: Prefetcher[tuple[_Rows, Views]] | None = None

    @cached_property
    def digest(self) -> str:
        """Hash of the places, their labels, and of crops at some of them: what the run learns from."""
        digest = hashlib.sha256()
        some = self.lonlat[:: max(1, len(self.lonlat) // 64)]
        crops = self.source.crops(some, ground_m=self.run.ground_m, px=32)
        for array in (self.lonlat, self.all_labels.price, self.all_labels.density, crops):
            digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    # --- one step ---------------------------------------------------------------------------------

    def rows_of(self, step: int) -> _Rows:
        """Training places of a step, (B,) rows of the training part."""
        epoch, batch = divmod(step, self.epoch_steps)
        order = self._order(epoch)
        return order[batch * self.run.batch_size : (batch + 1) * self.run.batch_size]

    def cut(self, step: int) -> tuple[_Rows, Views]:
        """The places of a step, and the views of those of this process.

        It is a function of the step alone, called in a thread.
        """
        rows = self.rows_of(step)
        lonlat, part = self.lonlat[self.split.train[rows]], self.world.part(len(rows))
        views = [
            torch.from_numpy(cuts.take(part).cut(self.source))
            for cuts in draw_cuts(lonlat, self.run, step_rng(self.run.seed, step))
        ]
        views.append(torch.from_numpy(self._ring_shares(lonlat[part])))
        if self.device.type == "cuda":
            views = [one.pin_memory() for one in views]
        return rows, Views(*views)

    def _ring_shares(self, lonlat: _Floats) -> NDArray[np.float32]:
        run = self.run
        if run.surroundings_weight == 0.0:  # no need to look
            return np.full((len(lonlat), N_CLASSES), np.nan, np.float32)
        return ring_shares(self.source, lonlat, ground_m=run.ground_m, zoom=run.surroundings_zoom)

    def step(self) -> MapLosses:
        """One step of the optimizer; the losses before it."""
        run, at = self.run, self.progress.step
        waited = self._batches.waited_s
        rows, views = self._batches.take(at)
        self.timing.begin(waited_s=self._batches.waited_s - waited)
        self._set_schedules(at)
        torch.manual_seed(torch_seed(run.seed, at))
        labels = GeoBatch.of(self.labels.take(rows), self.lonlat[self.split.train[rows]]).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=run.is_bf16):
            losses = self.model.losses(
                views.to(self.device), labels, schedules.teacher_temperature(run, at, self.n_steps)
            )
        if not torch.isfinite(losses.total.detach()):
            raise PlaceprintError(
                f"the run has diverged: the loss is {float(losses.total.detach())} at step {at}; try a lower "
                f"learning rate than {run.learning_rate:g}, or clip the gradient below {run.clip:g}"
            )
        self.optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.world.average_gradients(self.optimizer)
        if at < run.frozen_epochs * self.epoch_steps:
            # None, not zero: AdamW would decay the weights of a zero gradient.
            self.model.student.head.directions.grad = None
        if run.clip > 0.0:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), run.clip)
        self.optimizer.step()
        self.model.follow(schedules.teacher_momentum(run, at, self.n_steps))
        self.progress.step += 1
        self.timing.end(self.device)
        return losses

    def _set_schedules(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = schedules.learning_rate(self.run, step, self.n_steps)
            if group["is_decayed"]:
                group["weight_decay"] = schedules.weight_decay(self.run, step, self.n_steps)

    # --- one epoch --------------------------------------------------------------------------------

    def epoch(self) -> dict[str, Any]:
        """All steps of an epoch; the record for the log, the same whether or not the run was resumed.

        Of several processes the first has it; it alone looks at the probes.
        """
        self.model.train()
        monitor = self._monitor()
        sums: dict[str, float] = defaultdict(float)
        named = []
        for _ in range(self.epoch_steps):
            losses = self.step()
            found = losses.distillation
            signs = Signs(
                *torch.stack(
                    [found.loss.detach(), found.teacher_entropy, found.kl, found.batch_entropy]
                ).tolist()
            )
            monitor.observe(self.progress.step - 1, signs)
            figures = {"loss": float(losses.total.detach())}
            figures |= {name: float(loss) for name, loss in losses.parts.items()}
            figures |= {"teacher_entropy": signs.teacher_entropy, "kl": signs.kl}
            figures |= {"batch_entropy": signs.batch_entropy}
            for name, value in figures.items():
                sums[name] += value
            named.append(losses.distillation.named)
        self.progress.epoch += 1
        if not self.world.is_first:
            return {}
        record: dict[str, Any] = {"epoch": self.progress.epoch, "step": self.progress.step}
        record |= {name: value / self.epoch_steps for name, value in sums.items()}
        record["loss_over_ln_n_out"] = record["distillation"] / math.log(self.run.n_out)
        record["outputs_used"] = outputs_used(torch.cat(named), self.run.n_out)
        record |= self._probe()
        record["streaks"] = dict(monitor.streaks)
        record["messages"] = judge_round(monitor, [*self.progress.log, record], self.run.dimension)
        self.progress.log.append(record)
        return record

    def _monitor(self) -> CollapseMonitor:
        """Goes on counting where the last round's record stopped."""
        warm_up = round(self.run.warm_up * self.n_steps)
        if not self.progress.log:
            return CollapseMonitor(self.run.n_out, warm_up)
        return CollapseMonitor(self.run.n_out, warm_up, dict(self.progress.log[-1]["streaks"]))

    def _probe(self) -> dict[str, float]:
        crops, classes = self._probed
        embeddings = self.embed_crops(crops)
        return {"rank_me": effective_rank(embeddings), "probe": knn_probe(embeddings, classes)}

    @cached_property
    def _probed(self) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        rng = np.random.default_rng(self.run.seed)
        rows = rng.permutation(self.split.train)[:N_PROBE]
        crops = self.source.crops(self.lonlat[rows], ground_m=self.run.ground_m, px=self.run.global_px)
        return crops, main_class(crops, N_CLASSES)

    @torch.no_grad()
    def embed_crops(self, crops: NDArray[np.uint8], *, of: str = "teacher") -> Tensor:
        """Embeddings of crops by a branch, on the CPU: (N, px, px) -> (N, D), not of unit length."""
        branch = getattr(self.model, of)
        with evaluating(self.model):
            parts = [
                branch.network(torch.from_numpy(part).to(self.device)).embedding.float().cpu()
                for part in np.array_split(crops, max(1, -(-len(crops) // 256)))
            ]
        return torch.cat(parts)

    # --- batches ----------------------------------------------------------------------------------

    @property
    def _batches(self) -> Prefetcher[tuple[_Rows, Views]]:
        if self._prefetcher is None:
            steps = iter(range(self.progress.step, self.n_steps))
            self._prefetcher = Prefetcher(self.cut, steps, self.run.prefetched)
        return self._prefetcher

    def close(self) -> None:
        """Stop cutting ahead."""
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None

    def _order(self, epoch: int) -> _Rows:
        if self._cached_order[0] != epoch:
            self._cached_order = (epoch, self.weights.draw(self.run.seed, epoch))
        return self._cached_order[1]

    _cached_order: tuple[int, _Rows] = (-1, np.zeros(0, np.intp))


def trained_parameters(model: MapModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Everything but the teacher, in a fixed order."""
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad)


def _optimizer(model: MapModel, run: MapRun) -> torch.optim.Optimizer:
    """AdamW; biases, norms, thresholds and learned weights do not decay."""
    named = list(trained_parameters(model))
    groups: list[dict[str, Any]] = [
        {"params": [one for _, one in named if one.ndim >= 2], "is_decayed": True},
        {"params": [one for _, one in named if one.ndim < 2], "weight_decay": 0.0, "is_decayed": False},
    ]
    return torch.optim.AdamW(groups, lr=run.learning_rate, weight_decay=run.weight_decay, fused=True)
