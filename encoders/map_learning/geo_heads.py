"""Geographic heads: what an embedding tells of land price, population density and position.

Every head is one linear layer on the embedding at unit length, scaled by √D: what a head can read,
a user of the embedding can read. Letters: N rows, D embedding, K density bins, G geocells.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..sphere import lonlat_of, unit_vectors
from . import geo_losses as losses
from .geo_targets import GeoScales, PlaceLabels
from .settings import MapRun


@dataclass(frozen=True)
class GeoBatch:
    """Labels of N rows as tensors, float32; NaN where unknown."""

    price: Tensor  # (N,)
    density: Tensor  # (N,) people per km², float64: many may lie on the edge of a bin
    lonlat: Tensor  # (N, 2) degrees
    vectors: Tensor  # (N, 3)

    @classmethod
    def of(cls, labels: PlaceLabels, lonlat: NDArray[np.float64]) -> "GeoBatch":
        """Labels and places, (N, 2) degrees, of a batch."""
        price, place, vectors = (
            torch.from_numpy(one.astype(np.float32)) for one in (labels.price, lonlat, unit_vectors(lonlat))
        )
        return cls(price, torch.from_numpy(labels.density.astype(np.float64)), place, vectors)

    def to(self, device: torch.device) -> "GeoBatch":
        """The same on a device."""
        return GeoBatch(*(one.to(device) for one in (self.price, self.density, self.lonlat, self.vectors)))


class GeoHeads(nn.Module):
    """The heads that a run uses, with the scales fitted on its training labels.

    Args:
        run: the settings, resolved.
        scales: of the training places.
        labels: of the training places; a task without any label is left out.
    """

    density_edges: Tensor
    density_centers: Tensor
    center: Tensor
    geocell_centers: Tensor

    def __init__(self, run: MapRun, scales: GeoScales, labels: PlaceLabels) -> None:
        super().__init__()
        self.run, self.scales = run, scales
        n_bins = len(scales.density_centers)
        asked = (
            ("price", run.uses_price and not np.isnan(labels.price).all()),
            ("density", run.uses_density and not np.isnan(labels.density).all()),
            ("position", run.uses_position),
            ("geocell", run.uses_position and run.position_loss == "sphere"),
        )
        self.tasks = tuple(name for name, is_used in asked if is_used)
        self.price = nn.Linear(run.dimension, 1)
        self.density = nn.Linear(run.dimension, 1 if run.density_loss == "coral" else n_bins)
        self.thresholds = nn.Parameter(torch.linspace(1.0, -1.0, n_bins - 1))
        self.position = nn.Linear(run.dimension, 3 if run.position_loss == "sphere" else 2)
        # So that an answer begins at the mean place: a random one is worse than none for many epochs.
        nn.init.zeros_(self.position.weight)
        nn.init.zeros_(self.position.bias)
        self.geocell = nn.Linear(run.dimension, len(scales.geocell_centers))
        # Not in the state: a resumed run fits them anew, to the same bits.
        for name in ("density_edges", "density_centers", "center", "geocell_centers"):
            precision = np.float64 if name == "density_edges" else np.float32
            value = torch.from_numpy(getattr(scales, name).astype(precision))
            self.register_buffer(name, value, persistent=False)

    def forward(self, embedding: Tensor, batch: GeoBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses by task, and whether any row had the label: (N, D), N labels."""
        read, fixed = self._read(embedding), self._read(embedding, is_fixed=self.run.position_stop_gradient)
        found, present = {}, {}
        everywhere = torch.ones(len(read), dtype=torch.bool, device=read.device)
        for task in self.tasks:
            has = {"price": ~batch.price.isnan(), "density": ~batch.density.isnan()}.get(task, everywhere)
            found[task] = getattr(self, f"_{task}_loss")(
                fixed if task in ("position", "geocell") else read, batch, has
            )
            present[task] = has.any()
        return found, present

    def _read(self, embedding: Tensor, *, is_fixed: bool | None = False) -> Tensor:
        found: Tensor = F.normalize(embedding.float(), dim=-1) * embedding.shape[-1] ** 0.5
        return found.detach() if is_fixed else found

    def _price_loss(self, read: Tensor, batch: GeoBatch, has: Tensor) -> Tensor:
        found = self.price(read)[:, 0]
        if self.run.price_loss == "squared":
            return losses.price_squared(found, batch.price, has)
        wanted = (torch.log1p(batch.price) - self.scales.price_mean) / self.scales.price_scale
        return losses.price_huber(found, wanted, has)

    def _density_loss(self, read: Tensor, batch: GeoBatch, has: Tensor) -> Tensor:
        bins, log_density = self.density_bins(batch.density)
        logits = self.density(read)
        if self.run.density_loss == "coral":
            return losses.density_coral(logits + self.thresholds, bins, has)
        if self.run.density_loss == "soft-bins":
            return losses.density_soft_bins(logits, log_density, self.density_centers, self._bin_width, has)
        return losses.class_cross_entropy(logits, bins, has)

    def density_bins(self, density: Tensor) -> tuple[Tensor, Tensor]:
        """Bins of densities, (N,) float64, and log(1 + density) in float32; unknown ones count as 0."""
        exact = torch.log1p(torch.nan_to_num(density).double())
        return torch.bucketize(exact, self.density_edges.double()), exact.float()

    @property
    def _bin_width(self) -> float:
        steps = np.diff(self.scales.density_centers)
        return max(float(np.median(steps)), 1e-3)

    def _position_loss(self, read: Tensor, batch: GeoBatch, has: Tensor) -> Tensor:
        if self.run.position_loss == "degrees":
            return losses.position_degrees(self.position(read), batch.lonlat, has)
        return losses.position_sphere(self.place(read), batch.vectors, has, self.scales.spread)

    def _geocell_loss(self, read: Tensor, batch: GeoBatch, has: Tensor) -> Tensor:
        nearest = torch.cdist(batch.vectors.double(), self.geocell_centers.double()).argmin(dim=1)
        return losses.class_cross_entropy(self.geocell(read), nearest, has)

    def place(self, read: Tensor) -> Tensor:
        """Predicted unit vectors, (N, 3): the mean place, and an offset in units of the spread.

        So a head that knows nothing answers the mean place, in a town as in the world.
        """
        offset = self.position(read) * (2.0 * self.scales.spread) ** 0.5
        return F.normalize(self.center + offset, dim=-1)

    @torch.no_grad()
    def predict(self, embedding: Tensor) -> dict[str, NDArray[np.float64]]:
        """What the heads say: price (N,), density in people per km² (N,), lonlat (N, 2) degrees."""
        read = self._read(embedding)
        found: dict[str, NDArray[np.float64]] = {}
        if "price" in self.tasks:
            price = self.price(read)[:, 0].double().cpu().numpy()
            if self.run.price_loss == "huber":
                price = np.expm1(self.scales.price_mean + self.scales.price_scale * price)
            found["price"] = np.maximum(price, 0.0)
        if "density" in self.tasks:
            found["density"] = np.expm1(self._expected_log_density(read).double().cpu().numpy())
        if "position" in self.tasks:
            if self.run.position_loss == "degrees":
                found["lonlat"] = self.position(read).double().cpu().numpy()
            else:
                found["lonlat"] = lonlat_of(self.place(read).double().cpu().numpy())
        return found

    def _expected_log_density(self, read: Tensor) -> Tensor:
        logits = self.density(read)
        if self.run.density_loss != "coral":
            return torch.softmax(logits, dim=1) @ self.density_centers
        above = torch.sigmoid(logits + self.thresholds)  # P(bin > k)
        expected: Tensor = self.density_centers[0] + above @ self.density_centers.diff()
        return expected
