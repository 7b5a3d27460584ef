"""One caption training run in memory: its photos, one step, one round, its figures.

Everything random is a function of the seed and of where in the run it is drawn, so a run that is resumed
goes on as if nothing had happened. Letters: N photos, B a batch, H = W pixels, D embedding.
"""

import math
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..captions import captions
from ..csp_checkpoint import Progress
from ..csp_sampling import choose_block_deg, epoch_batches, hold_out, n_batches, regions, torch_seed
from ..errors import PlaceprintError, TooFewPairs
from ..processes import ALONE, World
from .facts import Facts
from .figures import Scores, full_caption, means, retrieval_scores, zero_shot_scores
from .model import CaptionModel
from .objective import MAX_SCALE, backward_in_parts, contrastive_loss, false_negatives
from .photos import CaptionPhotos
from .settings import CaptionRun, learning_rate
from .tuning import choose_weights
from .zero_shot import climate_texts, country_texts

MIN_PHOTOS = 100
MAX_ASKED = 1000  # validation photos
MAX_TEST = 5000  # test photos; more narrow no interval that anyone would read
_CROPS = 11  # stream of the seed that no other draw uses
_Rows = NDArray[np.intp]


class CaptionTrainer:
    """The run in memory: photos dealt out, the model, its optimizer, and where it stands.

    Args:
        photos: all N.
        run: the settings.
        model: changed in place.
        world: the processes that train together, each on some photos of a batch.

    Raises:
        TooFewPairs: fewer than `MIN_PHOTOS`, or too few separate regions.
        InvalidOption: the model has nothing of what is to be tuned; a batch has fewer photos than there
            are processes.
    """

    def __init__(
        self, photos: CaptionPhotos, run: CaptionRun, model: CaptionModel, world: World = ALONE
    ) -> None:
        self.photos, self.run, self.model, self.world = photos, run, model, world
        if len(photos) < MIN_PHOTOS:
            raise TooFewPairs(
                f"{len(photos)} photos of known place are too few to train on; at least {MIN_PHOTOS} are "
                "needed, and many thousands before it is worth it"
            )
        self.facts = Facts.of(photos.lonlat)
        self.block_deg = run.block_deg or choose_block_deg(photos.lonlat, photos.groups)
        self.region = regions(photos.lonlat, photos.groups, self.block_deg)
        self.part = hold_out(self.region, (run.validation_share, run.test_share), seed=run.seed)
        self.train_rows = self.rows(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(run.seed, 1 << 62))  # of the adapters' first weights
            weights = choose_weights(model.network, run.tune, rank=run.lora_rank, alpha=run.lora_alpha)
        # Names of parameters may hold no dots in a dictionary of torch.
        self.weights = nn.ParameterDict({name.replace(".", "/"): one for name, one in weights.items()})
        self.optimizer = _optimizer(self.weights, run)
        self.steps_per_epoch = n_batches(len(self.train_rows), run.batch_size)
        world.require_rows(len(self.train_rows) // self.steps_per_epoch)
        self.n_steps = run.epochs * self.steps_per_epoch
        self.steps_per_round = run.evaluate_every or min(self.steps_per_epoch, 500)
        self.n_rounds = -(-self.n_steps // self.steps_per_round)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self._batches: tuple[int, list[_Rows]] = (-1, [])

    def rows(self, part: int) -> _Rows:
        """Rows of one part: 0 training, 1 validation, 2 test."""
        return np.flatnonzero(self.part == part)

    def batch_rows(self, step: int) -> _Rows:
        """Rows of all photos that a step sees, (B,)."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._batches[0] != epoch:
            n, size, seed = len(self.train_rows), self.run.batch_size, self.run.seed
            self._batches = epoch, list(epoch_batches(n, size, seed=seed, epoch=epoch))
        return self.train_rows[self._batches[1][number]]

    def captions_of(self, rows: _Rows, *, draw: int) -> list[str]:
        """What is said of photos in one epoch: (B,) rows -> B captions."""
        photos = self.photos
        return captions(
            self.facts.take(rows),
            sample_ids=[f"{self.run.seed}:{photos.ids[row]}" for row in rows],
            taken_at=[photos.taken_at[row] for row in rows],
            heading_deg=[photos.heading_deg[row] for row in rows],
            style=self.run.style,
            draw=draw,
        )

    def step(self) -> float:
        """One step of the optimizer; the loss before it, nats.

        Raises:
            PlaceprintError: the loss is not finite.
            UnreadableImage: a photo is gone.
        """
        run, step = self.run, self.progress.step
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(run, step, self.n_steps)
        rows = self.batch_rows(step)
        mine = self.world.part(len(rows))
        said = self.captions_of(rows, draw=step // self.steps_per_epoch)
        equal = said if run.masks_equal_captions else None
        is_same = false_negatives(self.photos.lonlat[rows], equal, run.same_place_km).to(self.model.device)
        images = self.model.to_input(self.photos.pixels[rows[mine]])
        rng = np.random.default_rng([run.seed, _CROPS, step])
        images = cropped(images, run.crop_share, rng, n=len(rows), part=mine)
        tokens = self.model.tokens(said)[mine]
        self.optimizer.zero_grad()
        loss = backward_in_parts(
            lambda part: (self.model.embed_input(images[part]), self.model.embed_tokens(tokens[part])),
            len(rows),
            run.part_size,
            lambda seen, read: contrastive_loss(seen, read, self.model.network.logit_scale, is_same),
            self.world,
        )
        if not math.isfinite(loss):
            raise PlaceprintError(
                f"the loss is {loss} at step {step}; try a lower --learning-rate than {run.highest_rate:g}"
            )
        self.world.average_gradients(self.optimizer)
        self.optimizer.step()
        with torch.no_grad():
            self.model.network.logit_scale.clamp_(max=math.log(MAX_SCALE))
        self.progress.step += 1
        return loss

    def round(self) -> dict[str, Any]:
        """The steps up to the next evaluation, and it; the record for the log."""
        record: dict[str, Any] = {}
        if not self.progress.log:
            record["before"] = {name: asdict(one) for name, one in self.test_figures().items()}
        end = min((self.progress.epoch + 1) * self.steps_per_round, self.n_steps)
        losses = [self.step() for _ in range(self.progress.step, end)]
        self.progress.epoch += 1
        record |= {"round": self.progress.epoch, "step": self.progress.step}
        record |= {"epoch": self.progress.step / self.steps_per_epoch, "loss": float(np.mean(losses))}
        record["temperature"] = float(torch.exp(-self.model.network.logit_scale.detach()).mean())
        rows = self.some_of(self.rows(1), MAX_ASKED)
        record |= {
            name: float(np.nanmean(score)) for name, score in self.scores(rows).items() if _has_any(score)
        }
        if self.run.takes_best and record["rank_share"] < self.progress.best_score:
            self.progress.best_score, self.progress.best_epoch = record["rank_share"], self.progress.epoch
            self.best = {name: value.detach().clone() for name, value in self.weights.state_dict().items()}
        self.progress.log.append(record)
        return record

    def finish(self) -> None:
        """Take the weights that the run is to end with."""
        if self.best:
            self.weights.load_state_dict(self.best)
        else:
            self.progress.best_epoch = self.progress.epoch

    def test_figures(self) -> dict[str, Any]:
        """Figures of the model as it is on the test part, with intervals over regions."""
        rows = self.some_of(self.rows(2), MAX_TEST)
        return dict(means(self.scores(rows), self.region[rows]))

    def scores(self, rows: _Rows) -> Scores:
        """Scores of the model as it is for some photos, (Q,) each; see `figures`."""
        images = self.embed_photos(rows)
        facts = self.facts.take(rows)
        said = np.array([full_caption(facts[row], self.run.style) for row in range(len(rows))])
        different, own = np.unique(said, return_inverse=True)
        scores: dict[str, NDArray[np.float64]] = {}
        if len(different) > 1:
            scores |= retrieval_scores(images, self.model.embed_texts(different.tolist()), own.reshape(-1))
        else:
            scores["rank_share"] = np.full(len(rows), 0.5)
        if len(self.country_codes):
            countries = country_texts(self.model, self.country_codes.tolist())
            climates = climate_texts(self.model)
            scores |= zero_shot_scores(images, facts, countries, self.country_codes, climates)
        return scores

    def embed_photos(self, rows: _Rows) -> NDArray[np.float32]:
        """Photos as the model embeds them in use, uncropped: (Q,) rows -> (Q, D), unit length."""

        def embed(part: slice) -> Tensor:
            mine = rows[part]
            parts = [
                self.model.embed_all_pixels(self.photos.pixels[mine[i : i + 256]])
                for i in range(0, len(mine), 256)
            ]
            return torch.from_numpy(np.concatenate(parts))

        found: NDArray[np.float32] = self.world.divided(embed, len(rows)).numpy()
        return found

    @cached_property
    def country_codes(self) -> NDArray[np.object_]:
        """Codes of the countries of the training part, which zero-shot answers choose from."""
        codes = self.facts.country_code[self.train_rows]
        return np.unique(codes[codes != ""].astype(str)).astype(object)

    def some_of(self, rows: _Rows, n_most: int) -> _Rows:
        """At most so many of some rows, the same each time."""
        if len(rows) <= n_most:
            return rows
        return np.sort(np.random.default_rng([self.run.seed, n_most]).permutation(rows)[:n_most])


def cropped(
    images: Tensor,
    least_share: float,
    rng: np.random.Generator,
    *,
    n: int | None = None,
    part: slice = slice(None),
) -> Tensor:
    """A random square out of each photo, brought back to size; never mirrored, or traffic would change sides.

    Args:
        images: (B, C, H, W).
        least_share: of the side that is kept at least, in (0, 1]; at 1 nothing changes.
        rng: the source of chance.
        n: photos of the whole batch, for all of which chance is asked; None for B.
        part: which of them these are.
    """
    if least_share >= 1.0:
        return images
    n = len(images) if n is None else n
    share = rng.uniform(least_share, 1.0, n)
    shift = rng.uniform(-1.0, 1.0, (2, n)) * (1.0 - share)
    zero = np.zeros(n)
    affine = np.stack([np.stack([share, zero, shift[0]], 1), np.stack([zero, share, shift[1]], 1)], 1)
    theta = torch.from_numpy(affine[part]).to(images)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _has_any(score: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(score).any())


def _optimizer(weights: nn.ParameterDict, run: CaptionRun) -> torch.optim.Optimizer:
    """AdamW; biases, norms and the scale do not decay."""
    groups = [
        {"params": [one for one in weights.values() if one.ndim >= 2], "weight_decay": run.weight_decay},
        {"params": [one for one in weights.values() if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=run.highest_rate, betas=(0.9, 0.98), eps=1e-6
    )
