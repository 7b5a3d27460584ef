"""Student, teacher, heads and losses of a map run, put together: the total of one batch.

total = distillation + koleo + alpha · geo + beta · reconstruction + gamma · clustering + surroundings,
each with the weight of the settings; a part of weight 0 is not computed.

Of several processes each has the crops of some places, b of B, and runs the networks on them; the rest,
from the embeddings on, all compute of the whole batch.

Letters: S views (2 global, then the local ones), B places, C classes, D embedding.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..dino import DinoHead, DinoLoss, Distillation, follow, koleo
from ..mosaics.legend import NODATA
from ..processes import ALONE, World
from .clustering import PrototypeClustering
from .geo_heads import GeoBatch, GeoHeads
from .network import draw_kept, map_network
from .reconstruction import MaskedDecoder, draw_mask, masked_classes, masked_colors
from .settings import MapRun
from .surroundings import SurroundingsHead
from .task_weights import TaskWeights
from .views import N_GLOBAL


class Branch(nn.Module):
    """What student and teacher both have: the network, the head, the projector of the middle layer."""

    def __init__(self, run: MapRun, n_classes: int) -> None:
        super().__init__()
        self.network = map_network(run.network, n_classes, run.dimension)
        self.head = DinoHead(
            run.dimension,
            run.n_out,
            hidden=run.head_hidden,
            bottleneck=run.bottleneck,
            is_batch_normed=run.head_is_batch_normed,
        )
        self.middle = nn.Linear(self.network.middle_width, run.cluster_width)


@dataclass(frozen=True)
class Views:
    """Views of a batch as tensors, class ids uint8, and what lies around."""

    global_ids: Tensor  # (2, b, px, px)
    local_ids: Tensor  # (L, b, px, px)
    ring_shares: Tensor  # (b, C) float32, see `surroundings`

    def to(self, device: torch.device) -> "Views":
        """The same on a device."""
        return Views(
            *(
                one.to(device, non_blocking=True)
                for one in (self.global_ids, self.local_ids, self.ring_shares)
            )
        )


@dataclass(frozen=True)
class MapLosses:
    """The total with its gradients, the parts, and what the monitor looks at."""

    total: Tensor
    parts: dict[str, Tensor]  # before any weight, without gradients
    distillation: Distillation


@dataclass(frozen=True)
class _Seen:
    """What a branch says of all views."""

    embedding: Tensor  # (S, B, D)
    middle: Tensor  # (S, B, M), projected
    logits: Tensor  # (S, B, P)
    mine: Tensor  # embeddings of this process's places, (S, b, D)


def is_of_several_classes(ids: Tensor) -> Tensor:
    """Which crops show more than one class: (B, px, px) -> (B,) booleans."""
    return ids.flatten(1).amin(dim=1) != ids.flatten(1).amax(dim=1)


class MapModel(nn.Module):
    """The two branches and everything that only training needs.

    Args:
        run: the settings, resolved.
        n_classes: C.
        geo: the geographic heads.
        colors: of the classes, in [0, 1], (C, 3); for the published reconstruction only.
        world: the processes that each see some places of a batch.

    Raises:
        InvalidOption: several processes, and a network that normalizes over the batch.
    """

    colors: Tensor

    def __init__(
        self, run: MapRun, n_classes: int, geo: GeoHeads, colors: Tensor, world: World = ALONE
    ) -> None:
        super().__init__()
        self.run, self.n_classes, self.world = run, n_classes, world
        self.student = Branch(run, n_classes)
        world.share_noise(self.student.network)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        assert run.centering is not None  # resolved
        self.dino = DinoLoss(
            run.n_out,
            centering=run.centering,
            student_temperature=run.student_temperature,
            center_momentum=run.center_momentum,
        )
        self.geo = geo
        n_channels = n_classes if run.reconstruction_loss == "classes" else 3
        self.decoder = MaskedDecoder(n_classes, run.dimension, n_channels)
        cluster_temperature = run.cluster_teacher_temperature
        assert cluster_temperature is not None and run.weighting is not None  # resolved
        self.clustering = PrototypeClustering(
            run.cluster_width,
            run.n_prototypes,
            student_temperature=run.cluster_student_temperature,
            teacher_temperature=cluster_temperature,
            is_student_centered=bool(run.center_student),
            momentum=run.center_momentum,
        )
        self.surroundings = SurroundingsHead(run.dimension, n_classes)
        names = (*geo.tasks, "reconstruction", "clustering", "surroundings")
        self.weights = TaskWeights(names, run.weighting)
        self.register_buffer("colors", colors, persistent=False)

    def losses(self, views: Views, labels: GeoBatch, teacher_temperature: float) -> MapLosses:
        """All losses of a batch; masks and dropped planes come from torch's CPU generator.

        Args:
            views: of this process's places.
            labels: of all places.
            teacher_temperature: of this step.
        """
        run, n = self.run, len(labels.price)
        student = self._see(self.student, views, n=n, with_locals=True, dropout=run.channel_dropout)
        with torch.no_grad():
            teacher = self._see(self.teacher, views, n=n, with_locals=False, dropout=0.0)
        distillation = self.dino(student.logits, teacher.logits, teacher_temperature)
        parts: dict[str, Tensor] = {"distillation": distillation.loss}
        weighted = {"distillation": run.distillation_weight * distillation.loss}
        if run.koleo_weight > 0.0:
            # Two crops of nothing but sea are equal, and no force should drive them apart: from a fifth
            # of such crops on, theirs was the whole gradient.
            is_told_apart = [
                self.world.gathered(is_of_several_classes(ids).byte(), n).bool() for ids in views.global_ids
            ]
            spread = [
                koleo(one[rows])
                for one, rows in zip(student.embedding[:N_GLOBAL], is_told_apart, strict=True)
            ]
            parts["koleo"] = torch.stack(spread).mean()
            weighted["koleo"] = run.koleo_weight * parts["koleo"]
        auxiliary, present = self._auxiliary(student, teacher, views, labels)
        parts |= auxiliary
        share = {task: run.geo_weight / len(self.geo.tasks) for task in self.geo.tasks}
        share |= {"reconstruction": run.reconstruction_weight, "clustering": run.clustering_weight}
        share |= {"surroundings": run.surroundings_weight}
        for name, loss in self.weights(auxiliary, present).items():
            weighted[name] = share[name] * loss
        return MapLosses(
            torch.stack(list(weighted.values())).sum(),
            {name: loss.detach() for name, loss in parts.items()},
            distillation,
        )

    def _auxiliary(
        self, student: _Seen, teacher: _Seen, views: Views, labels: GeoBatch
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        run = self.run
        found: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        if run.geo_weight > 0.0 and self.geo.tasks:
            both = [self.geo(one, labels) for one in student.embedding[:N_GLOBAL]]
            for task in self.geo.tasks:
                found[task] = torch.stack([losses[task] for losses, _ in both]).mean()
                present[task] = both[0][1][task]
        if run.reconstruction_weight > 0.0:
            found["reconstruction"], present["reconstruction"] = self._reconstruct(
                student, views, len(labels.price)
            )
        if run.clustering_weight > 0.0:
            found["clustering"] = self.clustering(student.middle, teacher.middle).loss
            present["clustering"] = torch.ones((), dtype=torch.bool, device=found["clustering"].device)
        if run.surroundings_weight > 0.0:
            shares = self.world.gathered(views.ring_shares, len(labels.price))
            said = [self.surroundings(one, shares) for one in student.embedding[:N_GLOBAL]]
            found["surroundings"] = torch.stack([loss for loss, _ in said]).mean()
            present["surroundings"] = said[0][1]
        return found, present

    def _reconstruct(self, student: _Seen, views: Views, n: int) -> tuple[Tensor, Tensor]:
        """What lies under the mask of one global view, from the embedding of the other."""
        ids, other, world = views.global_ids[0], student.mine[1], self.world
        masks = draw_mask(n, ids.shape[-1], self.run.mask_share)
        mask = masks[world.part(n)].to(ids.device)
        found = self.decoder(ids, mask, other)
        if self.run.reconstruction_loss == "classes":
            counts = (mask & (ids != NODATA)).sum()
            return masked_classes(found, ids, mask, NODATA, world), world.total(counts) > 0
        colors = self.colors[ids.long()].permute(0, 3, 1, 2)
        share = len(ids) / n
        return world.total(share * masked_colors(found, colors, mask)), masks.any()

    def _see(self, branch: Branch, views: Views, *, n: int, with_locals: bool, dropout: float) -> _Seen:
        """Run a branch over the views; those of one size go through the network together."""
        part = self.world.part(n)
        seen, mine = [], []
        for ids in (views.global_ids, views.local_ids) if with_locals else (views.global_ids,):
            if not len(ids):
                continue
            flat = ids.flatten(0, 1)
            keep = None
            if dropout > 0.0:
                kept = draw_kept(len(ids) * n, self.n_classes, dropout).view(len(ids), n, -1)
                keep = kept[:, part].flatten(0, 1).to(ids.device)
            features = branch.network(flat, keep)
            embedding, middle = (self._of_all(one, len(ids), n) for one in features)
            each = (embedding, branch.middle(middle), branch.head(embedding))
            seen.append([one.float().unflatten(0, (len(ids), n)) for one in each])
            mine.append(features.embedding.float().unflatten(0, ids.shape[:2]))
        of_all, middles, logits = (torch.cat(same) for same in zip(*seen, strict=True))
        return _Seen(of_all, middles, logits, of_all if self.world.size == 1 else torch.cat(mine))

    def _of_all(self, mine: Tensor, n_views: int, n: int) -> Tensor:
        """What all processes say of their places: (V·b, ...) -> (V·B, ...)."""
        if self.world.size == 1:
            return mine
        by_place = mine.view(n_views, len(mine) // n_views, -1).transpose(0, 1)
        return self.world.gathered(by_place, n).transpose(0, 1).flatten(0, 1)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move the teacher toward the student."""
        follow(self.teacher, self.student, momentum)
