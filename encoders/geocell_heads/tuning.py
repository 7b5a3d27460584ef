"""The last blocks of an encoder and a geocell head, trained together from what the head knows already.

A head fitted on the frozen embeddings is where training begins (linear probing, then fine-tuning: Kumar et
al. 2022, arXiv:2202.10054): its first gradients ask for better looks of places, where those of a new head
would undo what the encoder knows. The head keeps the penalty on its weights that it was fitted with, so
that at the start it has no reason of its own to move. The best epoch of the validation is kept, if it is
better than the frozen encoder beyond the luck of a few groups of photos (`sure_gain`): where tuning does not
pay, nothing has changed.

Everything random is a function of seed and step, so a run that is resumed goes on as if nothing had
happened. Letters: B a batch, D embedding.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from scipy.stats import t as student
from torch import Tensor, nn

from ..csp_checkpoint import Progress
from ..csp_sampling import epoch_batches, n_batches, torch_seed
from ..errors import PlaceprintError
from ..geocell_head import GeocellHead
from ..geocell_tasks import task_named
from .fitting import TEMPERATURES, Objective, log_kernel_at
from .levels import LEVELS, level_of
from .settings import HeadRun, TuneRun
from .splitting import SplitEncoder
from .tail_inputs import TailInputs
from .training import Material

LEAST_GAIN = 1e-3
"""Nats by which an epoch must be better than the best before it."""
_Rows = NDArray[np.intp]


class Tuner:
    """A run in memory: photos, the tail of an encoder and a head that learn, and where it stands.

    Args:
        material: photos dealt out.
        inputs: of the tail, on disk.
        at: row in `inputs` of each photo of the material, (n,).
        split: the encoder; its tail is changed in place.
        head: fitted on the frozen embeddings; changed in place.
        run: settings of the head's fit.
        tune: settings of the tuning.
        weight_decay: that the head was fitted with.
    """

    def __init__(
        self,
        material: Material,
        inputs: TailInputs,
        at: _Rows,
        split: SplitEncoder,
        head: GeocellHead,
        run: HeadRun,
        tune: TuneRun,
        *,
        weight_decay: float,
    ) -> None:
        self.material, self.inputs, self.at, self.split, self.head = material, inputs, at, split, head
        self.run, self.tune = run, tune
        levels = {name: level_of(material.cells, name) for name in LEVELS}
        weights = {name: task_named(name).weight for name in run.tasks}
        self.objective = Objective(material.examples(0), run, levels, weights)
        self.validation = material.examples(1)
        self._log_kernel = log_kernel_at(head, self.validation.lonlat)
        self.learned = nn.ModuleDict({"tail": _dotless(split.weights), "head": head})
        self._begun = _copy(self.learned)
        n = len(self.objective.examples)
        # L-BFGS had the penalty in what it minimized, AdamW beside it.
        is_lbfgs = run.solver_for(n, head.config.n_cells, head.config.dimension) == "lbfgs"
        self._penalty = weight_decay if is_lbfgs else 0.0
        self.optimizer = _optimizer(self.learned, tune, head_decay=0.0 if is_lbfgs else weight_decay)
        self.steps_per_epoch = n_batches(n, tune.batch_size)
        self.n_steps = tune.epochs * self.steps_per_epoch
        self.best: dict[str, Tensor] = {}
        self._frozen = self.validation_nll()
        self.frozen_nll = float(self._frozen.mean())
        self.progress = Progress(best_score=self.frozen_nll)

    def embed(self, rows: _Rows) -> NDArray[np.float32]:
        """Embeddings of photos by the tail as it is now: (n,) rows of the material -> (n, D)."""
        return self.inputs.embed(self.split, self.at[rows])

    def validation_nll(self) -> NDArray[np.float64]:
        """Of each validation photo's place, nats per km², as both are now; see `fitting` for the question.

        At the temperature that makes the mean least, (n,).
        """
        logits = self.head.log_probabilities(self.embed(self.material.rows(1)))
        each = (
            -logsumexp(log_softmax(logits / heat, axis=1) + self._log_kernel, axis=1) for heat in TEMPERATURES
        )
        return np.asarray(min(each, key=np.mean), dtype=np.float64)

    def step(self, rows: _Rows) -> float:
        """One step of the optimizer over some of the training photos; the loss before it.

        Raises:
            PlaceprintError: the loss is not finite.
        """
        step = self.progress.step
        share = self.tune.rate_share(step, self.n_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = share * group["highest"]
        torch.manual_seed(torch_seed(self.run.seed, step))  # of the head's dropout
        shown = self.split.tail(self.inputs.rows[self.at[self.material.rows(0)[rows]]])
        loss = self.objective(cast(GeocellHead, _Shown(self.head, shown)), rows)
        decayed = (one for name, one in self.head.named_parameters() if not name.endswith("bias"))
        total = loss + 0.5 * self._penalty * sum(((one**2).sum() for one in decayed), torch.zeros(()))
        if not math.isfinite(float(total.detach())):
            raise PlaceprintError(
                f"the loss is {float(total.detach())} at step {step}; try a lower --tune-rate than "
                f"{self.tune.rate:g}"
            )
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learned.parameters(), self.tune.clip_norm)
        self.optimizer.step()
        self.progress.step += 1
        return float(loss.detach())

    def epoch(self) -> dict[str, Any]:
        """One epoch and its validation; the record for the log.

        When there has been no better one for long, the run is at its end.
        """
        progress, n = self.progress, len(self.objective.examples)
        number = progress.epoch + 1
        self.head.train()
        batches = epoch_batches(n, self.tune.batch_size, seed=self.run.seed, epoch=number)
        loss = sum(self.step(rows) * len(rows) / n for rows in batches)
        self.head.eval()
        now = self.validation_nll()
        nll = float(now.mean())
        sure = sure_gain(self._frozen - now, self.material.pairs.groups[self.material.rows(1)])
        progress.epoch = number
        if sure > 0.0 and nll < progress.best_score - LEAST_GAIN:
            progress.best_score, progress.best_epoch, self.best = nll, number, _copy(self.learned)
        record = {"epoch": number, "loss": loss, "validation_nll": nll, "sure_gain": sure}
        record["best_epoch"] = progress.best_epoch
        progress.log.append(record)
        if number - progress.best_epoch >= self.tune.patience:
            progress.epoch = self.tune.epochs
        return record

    def finish(self) -> None:
        """Take the weights of the best epoch, or those it began with."""
        self.learned.load_state_dict(self.best or self._begun)
        self.head.eval()


def sure_gain(gains: NDArray[np.float64], groups: NDArray[np.str_]) -> float:
    """One-sided 95 % bound of the mean of gains, (n,), whose groups share their luck; -inf for one group.

    By Student's t over groups. Chosen as the best of some epochs the gain is still a little too good.
    """
    group = np.unique(groups, return_inverse=True)[1].reshape(-1)
    sums = np.bincount(group, gains - gains.mean())
    n_groups = len(sums)
    if n_groups < 2:
        return -math.inf
    error = np.sqrt((sums**2).sum() * n_groups / (n_groups - 1)) / len(gains)
    return float(gains.mean() - student.ppf(0.95, n_groups - 1) * error)


class _Shown:
    """A head that sees some embeddings, which carry a graph, whatever it is asked about."""

    def __init__(self, head: GeocellHead, embeddings: Tensor) -> None:
        self._head, self._embeddings = head, embeddings

    def hidden_of(self, _: Tensor) -> Tensor:
        return self._head.hidden_of(self._embeddings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._head, name)


def _dotless(weights: Mapping[str, nn.Parameter]) -> nn.ParameterDict:
    """Names of parameters may hold no dots in a dictionary of torch."""
    return nn.ParameterDict({name.replace(".", "/"): one for name, one in weights.items()})


def _optimizer(learned: nn.ModuleDict, tune: TuneRun, *, head_decay: float) -> torch.optim.Optimizer:
    """AdamW with a rate for the tail and one for the head; biases do not decay, nor do norms of the tail."""
    tail = list(learned["tail"].parameters())
    head = list(learned["head"].named_parameters())
    groups = [
        ([one for one in tail if one.ndim >= 2], tune.rate, tune.weight_decay),
        ([one for one in tail if one.ndim < 2], tune.rate, 0.0),
        ([one for name, one in head if not name.endswith("bias")], tune.head_rate, head_decay),
        ([one for name, one in head if name.endswith("bias")], tune.head_rate, 0.0),
    ]
    return torch.optim.AdamW(
        [
            {"params": some, "lr": rate, "highest": rate, "weight_decay": decay}
            for some, rate, decay in groups
            if some
        ]
    )


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
