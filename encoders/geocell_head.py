"""Which geocell was a photo taken in? A classifier on frozen embeddings of an image encoder.

After PIGEON (Haas et al. 2024, arXiv:2307.05845): one linear layer over cells on embeddings of unit
length, or one hidden layer before it. Beside it, as in OSV-5M's hybrid head (Astruc et al. 2024), the
place within each cell, ours as kilometers east and north of the center within a circle (`offsets`).
`geocell_heads.fitting` trains it on the targets of `geocell_targets`.

**Many photos are of few places.** A head learns where photos are taken as well as what places look like:
its probabilities hold for photos from the same source as the training photos. It keeps the prior it was
trained under, π_i = (n_i + 1) / Σ (n_j + 1), and `log_probabilities` takes a power of it away on request
(logit adjustment, Menon et al. 2021, arXiv:2007.07314): with ``prior_weight=1`` all cells are as likely
beforehand, which suits photos from elsewhere and costs accuracy on photos from the same source. Nothing
is taken away by default.

Letters: n photos, D embedding, H hidden, C cells, k cells of a photo. Coordinates are lon, lat, degrees.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from .errors import FingerprintMismatch, InvalidCells, InvalidOption
from .geocell_heads.offsets import moved, within
from .geocell_heads.partition import Partition, require_cells
from .geocell_heads.settings import HeadKind

_Floats = NDArray[np.float64]
_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """What makes a head of the same shape again.

    Attributes:
        dimension: D.
        n_cells: C.
        head: ``linear``, or ``mlp`` with one hidden layer.
        hidden: H of the MLP.
        dropout: of its hidden layer, in training.
        offset_rank: directions that tell places within a cell apart; 0 for a head of cells only.
        task_outputs: numbers that each side task gives.
    """

    dimension: int
    n_cells: int
    head: HeadKind = "linear"
    hidden: int = 512
    dropout: float = 0.0
    offset_rank: int = 0
    task_outputs: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "task_outputs": dict(self.task_outputs)}


class GeocellHead(nn.Module):
    """Embeddings -> log-probabilities of cells, and places within them.

    Attributes:
        config: its shape.
        cells_id: of the partition it answers in.
        encoder: fingerprint of the image encoder whose embeddings it takes; "" if unknown.
        card: JSON facts: settings, data, figures.
    """

    mean: Tensor  # (D,), of the training embeddings
    scale: Tensor  # (), root mean square of what is left, over all directions alike
    temperature: Tensor  # (), divides the logits; fitted on the validation photos
    log_prior: Tensor  # (C,), float64
    center_lonlat: Tensor  # (C, 2), float64
    radius_km: Tensor  # (C,), within which offsets lie

    def __init__(
        self,
        config: HeadConfig,
        *,
        cells_id: str = "",
        encoder: str = "",
        card: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.config, self.cells_id, self.encoder, self.card = config, cells_id, encoder, dict(card or {})
        is_mlp = config.head == "mlp"
        width = config.hidden if is_mlp else config.dimension
        layers = (nn.Linear(config.dimension, width), nn.GELU(), nn.Dropout(config.dropout))
        self.trunk = nn.Sequential(*layers) if is_mlp else nn.Sequential()
        self.cells = nn.Linear(width, config.n_cells)
        nn.init.zeros_(self.cells.weight)
        nn.init.zeros_(self.cells.bias)
        if config.offset_rank:
            self.offset_directions = nn.Linear(width, config.offset_rank, bias=False)
            # Zero: a new head answers with the centers.
            self.offset_factors = nn.Parameter(torch.zeros(config.n_cells, config.offset_rank + 1, 2))
        self.tasks = nn.ModuleDict({name: nn.Linear(width, n) for name, n in config.task_outputs.items()})
        self.register_buffer("mean", torch.zeros(config.dimension))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))
        uniform = torch.full((config.n_cells,), -float(np.log(config.n_cells)), dtype=torch.float64)
        self.register_buffer("log_prior", uniform)
        self.register_buffer("center_lonlat", torch.zeros(config.n_cells, 2, dtype=torch.float64))
        self.register_buffer("radius_km", torch.zeros(config.n_cells, dtype=torch.float64))

    @classmethod
    def begun(
        cls,
        config: HeadConfig,
        cells: Partition,
        embeddings: NDArray[np.float32],
        cell: NDArray[np.intp],
        *,
        encoder: str = "",
        seed: int = 0,
    ) -> "GeocellHead":
        """A head before training: it answers every photo with the prior, at the centers.

        Args:
            config: its shape.
            cells: the partition.
            embeddings: of the training photos, which set its mean, scale and prior, (n, D).
            cell: of the training photos, (n,).
            encoder: fingerprint of the image encoder.
            seed: of its hidden layer and offset directions.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = cls(config, cells_id=cells.cells_id, encoder=encoder)
        rows = torch.from_numpy(np.ascontiguousarray(embeddings))
        count = np.bincount(cell, minlength=config.n_cells) + 1.0
        head.mean.copy_(rows.mean(dim=0))
        head.scale.copy_(((rows - head.mean) ** 2).mean().sqrt().clamp_min(1e-12))
        head.log_prior.copy_(torch.from_numpy(np.log(count / count.sum())))
        head.center_lonlat.copy_(torch.from_numpy(cells.center_lonlat))
        head.radius_km.copy_(torch.from_numpy(np.nan_to_num(cells.p95_km)))
        with torch.no_grad():
            head.cells.bias.copy_(head.log_prior)
        return head

    def hidden_of(self, embeddings: Tensor) -> Tensor:
        """(B, D) unit rows -> (B, H), or standardized (B, D) of a linear head."""
        hidden: Tensor = self.trunk((embeddings - self.mean) / self.scale)
        return hidden

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits of cells, not calibrated: (B, D) -> (B, C)."""
        logits: Tensor = self.cells(self.hidden_of(embeddings))
        return logits

    def offsets_of(self, hidden: Tensor, cell: Tensor) -> Tensor:
        """(east, north) of the centers of some cells: (B, H) and (B, k) -> (B, k, 2) km."""
        along = self.offset_directions(hidden)
        along = torch.cat([along, torch.ones_like(along[:, :1])], dim=1)  # (B, r + 1)
        raw = torch.einsum("br,bkrj->bkj", along, self.offset_factors[cell])
        return within(raw, self.radius_km[cell].to(raw.dtype))

    def log_probabilities(self, embeddings: ArrayLike, *, prior_weight: float = 0.0) -> _Floats:
        """Calibrated log-probabilities of the cells, (n, D) -> (n, C) float64; rows of exp sum to 1.

        Args:
            embeddings: of the image encoder it was trained on; brought to unit length.
            prior_weight: power of the training prior that is taken away, see the head of this file.

        Raises:
            FingerprintMismatch: the embeddings have another length.
            InvalidOption: an embedding is zero or not finite, or the weight is.
        """
        if not np.isfinite(prior_weight):
            raise InvalidOption(f"prior_weight={prior_weight}: a number, 0 for the probabilities as trained")
        rows = []
        for batch in self._batches(embeddings):
            logits = self(batch).double() / self.temperature - prior_weight * self.log_prior
            rows.append(torch.log_softmax(logits, dim=1).numpy())
        return np.concatenate([np.empty((0, self.config.n_cells)), *rows])

    def points(self, embeddings: ArrayLike, cell: ArrayLike) -> _Floats:
        """Where a photo was taken, were it in each of some cells: (n, D) and (n, k) -> (n, k, 2) degrees.

        The cells' centers, where the head has learned no places within them.

        Raises:
            FingerprintMismatch, InvalidOption: as `log_probabilities`.
        """
        rows = np.asarray(cell, dtype=np.int64)
        center: _Floats = self.center_lonlat.numpy()[rows]
        if not self.config.offset_rank:
            return center
        start, offsets = 0, [np.empty((0, rows.shape[1], 2))]
        for batch in self._batches(embeddings):
            chosen = torch.from_numpy(rows[start : start + len(batch)])
            offsets.append(self.offsets_of(self.hidden_of(batch), chosen).double().numpy())
            start += len(batch)
        return moved(center, np.concatenate(offsets))

    def require(self, *, cells_id: str | None = None, encoder: str | None = None) -> None:
        """See that the head fits the partition and the embeddings at hand; what is None is not asked.

        Raises:
            InvalidCells: it answers in other cells.
            FingerprintMismatch: it was trained on another encoder's embeddings.
        """
        if cells_id is not None:
            require_cells(self.cells_id, cells_id, "the geocell head")
        if encoder is not None and self.encoder != encoder:
            raise FingerprintMismatch(
                f"the geocell head was trained on embeddings of the image encoder {self.encoder!r}, these "
                f"are of {encoder!r}: use the encoder it was trained with, or train a head for this one"
            )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with the card in its header.

        Raises:
            UnwritableFile: there is no such folder, or no right to write.
        """
        from .geocell_heads.head_file import write_head

        write_head(self, Path(path))

    @classmethod
    def load(
        cls, path: str | Path, *, cells_id: str | None = None, encoder: str | None = None
    ) -> "GeocellHead":
        """Read what `save` wrote, and `require` that it fits.

        Raises:
            WeightsUnavailable: no such file, damaged, or of another kind.
            InvalidCells, FingerprintMismatch: as `require`.
        """
        from .geocell_heads.head_file import read_head

        head = read_head(Path(path))
        head.require(cells_id=cells_id, encoder=encoder)
        return head

    def _batches(self, embeddings: ArrayLike) -> Iterator[Tensor]:
        rows = unit_rows(embeddings, self.config.dimension)
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            for start in range(0, len(rows), _ROWS_AT_A_TIME):
                yield torch.from_numpy(rows[start : start + _ROWS_AT_A_TIME])
        self.train(was_training)


def unit_rows(embeddings: ArrayLike, dimension: int) -> NDArray[np.float32]:
    """Check embeddings and bring them to unit length, (n, D) float32.

    Raises:
        FingerprintMismatch: they have another length.
        InvalidOption: one is zero or not finite.
    """
    rows = np.asarray(embeddings, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise FingerprintMismatch(
            f"embeddings of shape {rows.shape} where each must have {dimension} numbers, (n, {dimension}); "
            "embed the photos with the encoder it was trained with"
        )
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > 0.0)).all():
        row = int(np.flatnonzero(~(np.isfinite(length) & (length > 0.0)))[0])
        raise InvalidOption(f"embedding {row} is zero or not finite; embed that photo again")
    return np.ascontiguousarray(rows / length)


def cells_of(lonlat: _Floats, cells: Partition) -> NDArray[np.intp]:
    """Row of the cell of each photo, checked to be one of the partition's, (n,).

    Raises:
        InvalidCells: the partition answers with a row it does not have.
    """
    cell = cells.assign(lonlat)
    if ((cell < 0) | (cell >= len(cells))).any():
        raise InvalidCells("the partition does not cover the photos' places; read its file again")
    return cell
