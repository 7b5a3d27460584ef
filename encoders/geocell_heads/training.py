"""From photos of known place to a trained, calibrated head: deal out, make targets, fit, choose.

Groups of photos are never parted. The training photos set everything that is learned or averaged; the
validation chooses the weight decay and the round and fits the temperature; the test part is scored once.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..csp_sampling import Pairs, hold_out, regions
from ..errors import TooFewPairs
from ..geocell_head import GeocellHead, HeadConfig, cells_of, unit_rows
from ..geocell_targets import pigeon_targets, smoothed_targets
from ..geocell_tasks import task_labels, task_named
from .fitting import Examples, Fit, Objective, calibrate, fit
from .levels import LEVELS, level_of
from .offsets import offsets_km
from .partition import Partition
from .settings import PENALTIES, HeadRun

_Floats = NDArray[np.float64]
LEAST_PHOTOS = 50
PARTS = ("training", "validation", "test")


@dataclass(frozen=True, eq=False)
class Material:
    """Photos dealt out, with what to answer for them.

    Attributes:
        pairs: all photos; embeddings of unit length.
        cells: the partition.
        part: of each photo, 0 training, 1 validation, 2 test, (n,).
        cell: row of the cell that holds each, (n,).
        targets: (n, C).
        labels: of side tasks, standardized over the training photos, each (n,).
        digest: of photos, places and groups.
    """

    pairs: Pairs
    cells: Partition
    part: NDArray[np.intp]
    cell: NDArray[np.intp]
    targets: csr_array
    labels: Mapping[str, _Floats]
    digest: str

    @classmethod
    def of(
        cls, pairs: Pairs, cells: Partition, run: HeadRun, *, month: NDArray[np.int64] | None = None
    ) -> "Material":
        """Deal out photos and make their targets.

        Raises:
            TooFewPairs: too few photos, or too few groups to hold some out.
            InvalidOption: τ or a task without meaning.
        """
        if len(pairs) < LEAST_PHOTOS:
            raise TooFewPairs(
                f"{len(pairs)} photos of known place: a geocell head needs {LEAST_PHOTOS} or more; index more"
            )
        part = part_of(pairs, run)
        if run.weights == "pigeon" and not isinstance(run.tau, str):
            targets = pigeon_targets(pairs.lonlat, cells, run.tau, reference="nearest")
        else:
            targets = smoothed_targets(pairs.lonlat, cells, run.tau, kept=run.kept)
        labels = {
            name: values if task_named(name).n_classes else _standardized(values, part == 0)
            for name, values in task_labels(run.tasks, pairs.lonlat, month).items()
        }
        unit = Pairs(
            unit_rows(pairs.images, pairs.images.shape[1]), pairs.lonlat, pairs.groups, pairs.encoder
        )
        return cls(unit, cells, part, cells_of(pairs.lonlat, cells), targets, labels, digest_of(pairs))

    def rows(self, part: int) -> NDArray[np.intp]:
        """Numbers of a part's photos."""
        return np.flatnonzero(self.part == part)

    def examples(self, part: int) -> Examples:
        """A part's photos with their targets."""
        rows = self.rows(part)
        cell = self.cell[rows]
        return Examples(
            self.pairs.images[rows],
            self.pairs.lonlat[rows],
            cell,
            self.targets[rows],
            offsets_km(self.cells.center_lonlat[cell], self.pairs.lonlat[rows]),
            {name: values[rows] for name, values in self.labels.items()},
        )


def part_of(pairs: Pairs, run: HeadRun) -> NDArray[np.intp]:
    """Deal out whole groups, or blocks joined by groups: 0 training, 1 validation, 2 test, (n,).

    Raises:
        TooFewPairs: a part would come out empty.
    """
    if run.block_deg:
        region = regions(pairs.lonlat, pairs.groups, run.block_deg)
    else:
        region = np.unique(pairs.groups, return_inverse=True)[1].reshape(-1)
    return hold_out(region, (run.validation_share, run.test_share), seed=run.seed)


def begin(material: Material, run: HeadRun) -> GeocellHead:
    """A head for the material, before training."""
    training = material.rows(0)
    config = HeadConfig(
        dimension=material.pairs.images.shape[1],
        n_cells=len(material.cells),
        head=run.head,
        hidden=run.hidden,
        dropout=run.dropout if run.head == "mlp" else 0.0,
        offset_rank=run.offset_rank if run.offset_weight else 0,
        task_outputs={name: task_named(name).n_outputs for name in run.tasks},
    )
    return GeocellHead.begun(
        config,
        material.cells,
        material.pairs.images[training],
        material.cell[training],
        encoder=material.pairs.encoder,
        seed=run.seed,
    )


def decays_of(material: Material, run: HeadRun) -> tuple[float, ...]:
    """The weight decays to try."""
    if run.weight_decays is not None:
        return run.weight_decays
    dimension = material.pairs.images.shape[1]
    return PENALTIES[run.solver_for(len(material.rows(0)), len(material.cells), dimension)]


def fit_one(
    material: Material,
    run: HeadRun,
    weight_decay: float,
    *,
    show: Callable[[dict[str, float]], None] = lambda record: None,
) -> tuple[GeocellHead, Fit]:
    """Train with one weight decay."""
    head = begin(material, run)
    weights = {name: task_named(name).weight for name in run.tasks}
    levels = {name: level_of(material.cells, name) for name in LEVELS}
    objective = Objective(material.examples(0), run, levels, weights)
    return head, fit(head, objective, material.examples(1), run, weight_decay=weight_decay, show=show)


def train_head(material: Material, run: HeadRun) -> GeocellHead:
    """Train with each weight decay, keep what the validation likes best, calibrate it."""
    fitted = [fit_one(material, run, decay) for decay in decays_of(material, run)]
    head, _ = min(fitted, key=lambda one: one[1].nll)
    calibrate(head, material.examples(1))
    return head


def digest_of(pairs: Pairs) -> str:
    """SHA-256 over embeddings, places, groups and the encoder's fingerprint."""
    digest = hashlib.sha256(pairs.encoder.encode())
    digest.update(np.ascontiguousarray(pairs.images).tobytes())
    digest.update(np.ascontiguousarray(pairs.lonlat).tobytes())
    digest.update("\n".join(pairs.groups.tolist()).encode())
    return digest.hexdigest()


def _standardized(values: _Floats, is_training: NDArray[np.bool_]) -> _Floats:
    known = values[is_training & np.isfinite(values)]
    if not len(known):
        return values
    return np.asarray((values - known.mean()) / max(float(known.std()), 1e-9))
