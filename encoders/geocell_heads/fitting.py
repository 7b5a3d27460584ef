"""Fit a head: minimize the objective on the training photos, stop where the validation is best.

The validation asks for the mean log-likelihood of the photos' places, whatever the targets were, so that
runs of different smoothing are chosen by the same question. Of places, not of cells: groups held out often
lie in cells without a training photo, whose own probability only falls as a head learns, while that of
the cells around them rises. And at the temperature that suits it best: a head too sure of what it has
learned is made less sure in the end, and should not pass for one that has learned nothing.

Everything random is a function of seed and round, and L-BFGS draws nothing: the same photos and settings
give the same head, on the same machine with the same number of threads.

Letters: n photos, D embedding, C cells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.special import log_softmax, logsumexp
from torch import Tensor

from ..csp_sampling import epoch_batches, torch_seed
from ..geocell_head import GeocellHead
from ..sphere import EARTH_RADIUS_KM, great_circle_km
from .levels import Level, LevelName
from .objective import level_cross_entropy, offset_error, soft_cross_entropy, task_error
from .settings import HeadRun

_Floats = NDArray[np.float64]
_ROWS_AT_A_TIME = 4096
_LBFGS_STEPS = 3
TEMPERATURES = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
KERNELS_KM = (25.0, 100.0, 400.0, 1600.0)
"""Lengths at which a cell near the truth counts in the validation: town, region, country, continent."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Photos to learn from, or to choose by.

    Attributes:
        embeddings: unit rows, (n, D).
        lonlat: their places, (n, 2).
        cell: row of the cell that holds each, (n,).
        targets: what to answer, (n, C).
        offset_km: east and north of that cell's center, (n, 2).
        labels: of side tasks, standardized, each (n,), NaN where missing.
    """

    embeddings: NDArray[np.float32]
    lonlat: _Floats
    cell: NDArray[np.intp]
    targets: csr_array
    offset_km: _Floats
    labels: Mapping[str, _Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True)
class Fit:
    """How a fit went.

    Attributes:
        nll: `least_nll` of the validation at its best round.
        best_round: from 1; 0 if no round was better than the prior.
        log: a record for each round.
    """

    nll: float
    best_round: int
    log: list[dict[str, float]]


class Objective:
    """The weighted sum of all terms, over rows of the training photos.

    Args:
        examples: the training photos.
        run: the weights of the terms.
        levels: of the hierarchy; those of weight 0 are not computed.
        task_weights: of the side tasks.
    """

    def __init__(
        self,
        examples: Examples,
        run: HeadRun,
        levels: Mapping[LevelName, Level],
        task_weights: Mapping[str, float],
    ) -> None:
        self.examples, self.run, self.task_weights = examples, run, dict(task_weights)
        weights = {"state": run.state_weight, "country": run.country_weight}
        self.levels = [
            (weights[name], torch.from_numpy(level.shares.toarray().astype(np.float32)))
            for name, level in levels.items()
            if weights[name] > 0.0
        ]

    def __call__(self, head: GeocellHead, rows: NDArray[np.intp]) -> Tensor:
        """Mean over some rows of the training photos."""
        some = self.examples
        hidden = head.hidden_of(torch.from_numpy(some.embeddings[rows]))
        log_p = torch.log_softmax(head.cells(hidden), dim=1)
        targets = torch.from_numpy(some.targets[rows].toarray().astype(np.float32))
        total = soft_cross_entropy(log_p, targets)
        for weight, shares in self.levels:
            total = total + weight * level_cross_entropy(log_p, targets, shares)
        if head.config.offset_rank and self.run.offset_weight:
            cell = torch.from_numpy(some.cell[rows])
            answered = head.offsets_of(hidden, cell[:, None])[:, 0]
            true_km = torch.from_numpy(some.offset_km[rows].astype(np.float32))
            radius_km = head.radius_km[cell].float()
            total = total + self.run.offset_weight * offset_error(answered, true_km, radius_km)
        for name, weight in self.task_weights.items():
            labels = torch.from_numpy(some.labels[name][rows].astype(np.float32))
            total = total + weight * task_error(head.tasks[name](hidden), labels)
        return total


def fit(
    head: GeocellHead,
    objective: Objective,
    validation: Examples,
    run: HeadRun,
    *,
    weight_decay: float,
    show: Callable[[dict[str, float]], None] = lambda record: None,
) -> Fit:
    """Train a head, changed in place; it ends as it was at the best round of the validation.

    Args:
        head: as `GeocellHead.begun` makes it.
        objective: over the training photos.
        validation: chooses the round.
        run: the settings.
        weight_decay: the one to use.
        show: told the record of each round.
    """
    n = len(objective.examples)
    solver = run.solver_for(n, head.config.n_cells, head.config.dimension)
    one_round = (
        _lbfgs(head, objective, run, weight_decay)
        if solver == "lbfgs"
        else _adamw(head, objective, run, weight_decay)
    )
    best, best_round, log = _copy(head), 0, []
    log_kernel = log_kernel_at(head, validation.lonlat)
    least = least_nll(head, validation, log_kernel)
    with torch.random.fork_rng(devices=[]):
        for number in range(1, run.rounds + 1):
            head.train()
            loss = one_round(number)
            head.eval()
            nll = least_nll(head, validation, log_kernel)
            log.append({"round": number, "loss": loss, "validation_nll": nll, "weight_decay": weight_decay})
            show(log[-1])
            if nll < least - 1e-5:
                best, best_round, least = _copy(head), number, nll
            if number - best_round >= run.patience or not np.isfinite(loss):
                break
    head.load_state_dict(best)
    return Fit(least, best_round, log)


def place_nll(head: GeocellHead, examples: Examples, log_kernel: _Floats | None = None) -> float:
    """Mean negative log-likelihood of the photos' places, nats per km², by the head as it is.

    Args:
        head: asked for its probabilities.
        examples: photos and places.
        log_kernel: of `log_kernel_at`, if it is at hand.
    """
    kernel = log_kernel_at(head, examples.lonlat) if log_kernel is None else log_kernel
    return -float(logsumexp(head.log_probabilities(examples.embeddings) + kernel, axis=1).mean())


def least_nll(head: GeocellHead, examples: Examples, log_kernel: _Floats) -> float:
    """The least `place_nll` over `TEMPERATURES`; the head's own stays as it is."""
    logits = head.log_probabilities(examples.embeddings)
    return min(
        -float(logsumexp(log_softmax(logits / heat, axis=1) + log_kernel, axis=1).mean())
        for heat in TEMPERATURES
    )


def log_kernel_at(head: GeocellHead, lonlat: _Floats) -> _Floats:
    """Log-density per km² of each cell at places, (n, 2) -> (n, C): wide tails around its center.

    The mean of exp(-d / s) / Z(s) over the lengths s of `KERNELS_KM`, each a density on the sphere with
    Z(s) = 2π R² (1 + exp(-πR / s)) / (1 + (R / s)²).
    """
    distance = great_circle_km(lonlat[:, None], head.center_lonlat.numpy()[None])
    ratio = EARTH_RADIUS_KM / np.array(KERNELS_KM)
    log_z = np.log(2.0 * np.pi * EARTH_RADIUS_KM**2 * (1.0 + np.exp(-np.pi * ratio)) / (1.0 + ratio**2))
    parts = [-distance / length - one for length, one in zip(KERNELS_KM, log_z, strict=True)]
    log_mean: _Floats = np.logaddexp.reduce(parts, axis=0) - np.log(len(parts))
    return log_mean


def calibrate(head: GeocellHead, examples: Examples) -> float:
    """Set the temperature that makes places of photos not trained on likeliest, and return it.

    As Guo et al. (2017), for places instead of classes. Between 0.1 and 10; a bound that is reached says
    that there were too few photos.
    """
    head.temperature.fill_(1.0)
    logits, kernel = head.log_probabilities(examples.embeddings), log_kernel_at(head, examples.lonlat)

    def nll(log_temperature: float) -> float:
        log_p = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(logsumexp(log_p + kernel, axis=1).mean())

    found = minimize_scalar(nll, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    head.temperature.fill_(float(np.exp(found.x)))
    return float(head.temperature)


def _lbfgs(
    head: GeocellHead, objective: Objective, run: HeadRun, weight_decay: float
) -> Callable[[int], float]:
    """Rounds of three steps over all photos, a chunk at a time."""
    parameters = list(head.parameters())
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=_LBFGS_STEPS,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_change=0.0,
    )
    n = len(objective.examples)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for start in range(0, n, _ROWS_AT_A_TIME):
            rows = np.arange(start, min(start + _ROWS_AT_A_TIME, n))
            part = objective(head, rows) * (len(rows) / n)
            part.backward()  # type: ignore[no-untyped-call]
            total = total + part.detach()
        penalty = 0.5 * weight_decay * sum(((one**2).sum() for one in _decayed(head)), torch.zeros(()))
        penalty.backward()  # type: ignore[no-untyped-call]
        return total + penalty.detach()

    def one_round(number: int) -> float:
        return float(optimizer.step(closure))  # type: ignore[no-untyped-call]

    return one_round


def _adamw(
    head: GeocellHead, objective: Objective, run: HeadRun, weight_decay: float
) -> Callable[[int], float]:
    """Epochs over shuffled batches."""
    decayed = _decayed(head)
    others = [one for one in head.parameters() if all(one is not other for other in decayed)]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=run.learning_rate)
    n = len(objective.examples)

    def one_round(number: int) -> float:
        torch.manual_seed(torch_seed(run.seed, number))
        total = 0.0
        for rows in epoch_batches(n, run.batch_size, seed=run.seed, epoch=number):
            optimizer.zero_grad()
            loss = objective(head, rows)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(rows) / n
        return total

    return one_round


def _decayed(head: GeocellHead) -> list[Tensor]:
    """Weights, not biases: a bias holds how often a cell occurs, which is no complexity."""
    return [one for name, one in head.named_parameters() if not name.endswith("bias")]


def _copy(head: GeocellHead) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in head.state_dict().items()}
