"""One run of place recognition in memory: the photos, one step, one round, its figures.

A round is what lies between two refreshes of the cached embeddings, `PlaceRun.refresh` queries; an epoch
is every query once. Letters: B a batch, M the aggregated embedding.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..csp_checkpoint import Progress
from ..errors import PlaceprintError
from ..processes import ALONE, World
from .cached_photos import CachedPhotos, Count
from .checks import check_run
from .encoder import PlaceConfig, PlaceEncoder
from .local_features import HasBackbone
from .losses import multi_similarity_loss, weak_triplet_loss
from .mining import MinedTuple, mine, order_of, views_of
from .photos import PlacePhotos
from .recall import HeldOutTruth
from .relations import Relations
from .settings import PlaceRun
from .splitting import PlaceSplit
from .trained_parts import TrainedParts, last_blocks
from .vocabulary import fit_vocabulary
from .whitening import MAX_PHOTOS, Whitening

USUAL_DIMENSION = 512

_Rows = NDArray[np.intp]


class PlaceTrainer:
    """The run in memory; `prepare` makes it ready for its first round.

    Args:
        photos: N of them.
        backbone: the image encoder whose layers are read.
        run: the settings.
        name: of the encoder.
        device: where to train.
        world: the processes that train together, each on some photos of a batch.

    Attributes:
        encoder: what is trained.
        split: training photos and held-out ones.
        relations: of the training photos; its rows count within `split.train`.
        truth: of the held-out photos; its rows count within `split.held_out`.
        initial: recall on the held-out photos before any step.
        best: state of the trained parts at the best epoch.

    Raises:
        InvalidOption: settings that cannot work with this backbone or these photos.
        TooFewPairs: no photo has a potential positive, or too few photos.
    """

    cache: CachedPhotos
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        photos: PlacePhotos,
        backbone: HasBackbone,
        run: PlaceRun,
        *,
        name: str = "place-encoder",
        device: str | torch.device = "cpu",
        world: World = ALONE,
    ) -> None:
        self.run, self.photos, self.device, self.world = run, photos, torch.device(device), world
        world.require_rows(self._batch_size)
        self.split = PlaceSplit.of(photos, run)
        self.relations = Relations(photos.take(self.split.train), run.nearness)
        self.truth = HeldOutTruth.of(photos.take(self.split.held_out), run.nearness)
        self.encoder = PlaceEncoder(
            PlaceConfig(
                layer=run.layer,
                size=run.size,
                resize=run.resize,
                aggregation=run.aggregation,
                options=run.aggregation_options,
            ),
            backbone,
            name=name,
        )
        self.encoder.tuned = last_blocks(self.encoder, run.n_blocks)
        self.model = TrainedParts(self.encoder, len(self.split.train), run)
        check_run(run, self.encoder, self.model, self.relations)
        self.encoder.features.to(self.device)
        self.model.to(self.device)
        self.queries = self.relations.queries
        self.progress = Progress()
        self.alpha: float | None = None
        self.initial: dict[str, float] = {}
        self.best: dict[str, Tensor] = {}

    def prepare(self, cache: Path, count: Count = lambda done, total: None) -> None:
        """Read all photos, start NetVLAD from a vocabulary of theirs, and see how good that is.

        Args:
            cache: file for what the photos look like, see `CachedPhotos`.
            count: called with how many photos are read, and N.

        Raises:
            UnreadableImage: a photo that cannot be decoded.
            UnwritableFile: no room for the cache.
        """
        run = self.run
        self.cache = CachedPhotos(
            self.encoder,
            self.photos.files,
            cache,
            is_frozen=run.n_blocks == 0,
            n_looks=run.n_looks,
            least_area=run.least_area,
            seed=run.seed,
            count=count,
            world=self.world,
        )
        self.alpha = fit_vocabulary(self.encoder.aggregator, self.cache, self.split.train, seed=run.seed)
        self.optimizer = self._optimizer()
        self.initial = self.truth.recall(self.embed(self.split.held_out))
        self.progress.best_score = _score(self.initial)
        self.best = self._state()

    # --- how a run is cut up ------------------------------------------------------------------------

    @property
    def rounds_per_epoch(self) -> int:
        """Rounds of one epoch."""
        return max(1, -(-len(self.queries) // self.run.refresh))

    @property
    def n_rounds(self) -> int:
        """Rounds of the whole run."""
        return self.run.epochs * self.rounds_per_epoch

    @property
    def n_steps(self) -> int:
        """Steps of the whole run."""
        whole, rest = divmod(len(self.queries), self.run.refresh)
        size = self._batch_size
        return self.run.epochs * (whole * -(-self.run.refresh // size) + -(-rest // size))

    @property
    def _batch_size(self) -> int:
        return self.run.n_places if self.run.loss == "multi-similarity" else self.run.n_tuples

    # --- one round ----------------------------------------------------------------------------------

    def round(self) -> dict[str, Any]:
        """Train one round; the record for the log, the same whether or not the run was resumed."""
        run, at = self.run, self.progress.epoch
        epoch, part = divmod(at, self.rounds_per_epoch)
        order = order_of(self.queries, seed=run.seed, epoch=epoch)
        queries = order[part * run.refresh : (part + 1) * run.refresh]
        cached = self.embed(self.split.train) if run.loss == "triplet" else None
        losses, n_active = [], 0
        for start in range(0, len(queries), self._batch_size):
            anchors = queries[start : start + self._batch_size]
            loss = self._similarity(anchors) if cached is None else self._triplets(anchors, cached, epoch)
            losses.append(self._learn(loss))
            n_active += losses[-1] > 0.0
        self.progress.epoch += 1
        record: dict[str, Any] = {
            "round": self.progress.epoch,
            "epoch": self.progress.epoch / self.rounds_per_epoch,
            "step": self.progress.step,
            "loss": float(np.mean(losses)),
            "active": n_active / len(losses),
        }
        if part == self.rounds_per_epoch - 1:
            record |= self._validate(epoch + 1)
        self.progress.log.append(record)
        return record

    def _similarity(self, anchors: _Rows) -> Tensor:
        run = self.run
        rows = views_of(anchors, self.relations, run.n_views, seed=run.seed, step=self.progress.step)
        is_positive, is_negative = (
            torch.from_numpy(mask).to(self.device) for mask in self.relations.masks(rows)
        )
        return multi_similarity_loss(
            self._embed_with_gradient(rows),
            is_positive,
            is_negative,
            alpha=run.similarity_alpha,
            beta=run.similarity_beta,
            base=run.similarity_base,
            margin=run.similarity_margin,
        )

    def _triplets(self, anchors: _Rows, cached: NDArray[np.float32], epoch: int) -> Tensor:
        tuples: list[MinedTuple] = []
        for query in anchors.tolist():
            remembered = self.model.remembered[query].cpu().numpy()
            found, memory = mine(query, cached, self.relations, remembered, self.run, epoch=epoch)
            self.model.remembered[query] = torch.from_numpy(memory).to(self.device)
            tuples += [] if found is None else [found]
        if not tuples:
            return torch.zeros((), device=self.device)
        rows = np.unique(np.concatenate([[one.query, one.positive, *one.negatives] for one in tuples]))
        embeddings = self._embed_with_gradient(rows)
        at = {int(row): number for number, row in enumerate(rows)}
        losses = [
            weak_triplet_loss(
                embeddings[at[one.query]],
                embeddings[[at[one.positive]]],
                embeddings[[at[int(row)] for row in one.negatives]],
                margin=self.run.triplet_margin,
            )
            for one in tuples
        ]
        return torch.stack(losses).sum() / len(anchors)

    def _learn(self, loss: Tensor) -> float:
        """One step of the optimizer; where nothing violates anything, time passes and nothing moves."""
        value = float(loss.detach())
        if not math.isfinite(value):
            raise PlaceprintError(
                f"the run has diverged: the loss is {value} at step {self.progress.step}; try a lower "
                f"learning rate than {self.run.learning_rate:g}"
            )
        if loss.requires_grad and value > 0.0:
            share = 0.5 * (1.0 + math.cos(math.pi * self.progress.step / self.n_steps))
            for group in self.optimizer.param_groups:
                group["lr"] = share * group["lr_at_start"]
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.world.average_gradients(self.optimizer)
            self.optimizer.step()
        self.progress.step += 1
        return value

    def _embed_with_gradient(self, rows: _Rows) -> Tensor:
        """(B,) rows of the training photos, a random look at each -> (B, M)."""
        rng = np.random.default_rng([self.run.seed, 5, self.progress.step])
        looks, photos = rng.integers(0, self.run.n_looks, len(rows)), self.split.train[rows]

        def embed(part: slice) -> Tensor:
            return self.encoder.aggregator(self.cache.features(photos[part], looks[part]))

        return self.world.divided(embed, len(rows))

    # --- figures ------------------------------------------------------------------------------------

    def embed(self, rows: _Rows) -> NDArray[np.float32]:
        """Aggregated embeddings of photos, not whitened: rows of all photos, (n,) -> (n, M)."""
        if not len(rows):
            return np.zeros((0, self.encoder.aggregator.dimension), np.float32)

        def embed(part: slice) -> Tensor:
            return torch.from_numpy(self.cache.embed(rows[part], self.encoder.aggregator))

        found: NDArray[np.float32] = self.world.divided(embed, len(rows)).numpy()
        return found

    def _validate(self, epoch: int) -> dict[str, float]:
        found = self.truth.recall(self.embed(self.split.held_out))
        # Without held-out queries the last epoch is the best.
        if _score(found) < self.progress.best_score or not found:
            self.progress.best_score, self.progress.best_epoch = _score(found), epoch
            self.best = self._state()
        return found

    def finish(self) -> Whitening | None:
        """Go back to the best epoch, and fit the whitening to the training photos."""
        self.model.load_state_dict(self.best)
        if not self.run.whiten:
            return None
        n = len(self.split.train) * self.run.n_looks
        drawn = np.sort(np.random.default_rng([self.run.seed, 3]).permutation(n)[:MAX_PHOTOS])
        rows, looks = np.divmod(drawn, self.run.n_looks)
        whole = Whitening.fit(self.cache.embed(self.split.train[rows], self.encoder.aggregator, looks))
        self.encoder.whitening = whole.prefix(min(self._dimension, whole.dimension))
        return whole

    @property
    def _dimension(self) -> int:
        """Dimensions to keep, as many as there are."""
        usual = min(USUAL_DIMENSION, max(1, len(self.split.train) * self.run.n_looks // 2))
        return self.run.dimension or min(usual, self.encoder.aggregator.dimension)

    def _optimizer(self) -> torch.optim.Optimizer:
        """Adam. What the aggregation learns moves by shares of its size: NetVLAD's w is 70 times its c."""
        groups: list[dict[str, Any]] = [
            {"params": [one], "lr_at_start": self.run.learning_rate * _size_of(one)}
            for one in self.model.learned
        ]
        blocks = list(self.model.blocks)
        return torch.optim.Adam([*groups, {"params": blocks, "lr_at_start": self.run.block_learning_rate}])

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}


def _size_of(parameter: Tensor) -> float:
    """Root mean square of a parameter at the start; what starts at zero counts as 0.01."""
    return max(0.01, float(parameter.detach().square().mean().sqrt()))


def _score(recall: dict[str, float]) -> float:
    """Lower is better: recall at 5, and at 1 among equals."""
    return -(recall["recall_at_5"] + 1e-3 * recall["recall_at_1"]) if recall else float("inf")
