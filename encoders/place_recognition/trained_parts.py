"""The parts of a place encoder that a run may change: its aggregation, and last blocks of its backbone."""

import torch
from torch import Tensor, nn

from ..errors import InvalidOption
from .encoder import PlaceEncoder
from .settings import PlaceRun


class TrainedParts(nn.Module):
    """What a step may change, for the optimizer and the checkpoint: not the whole backbone."""

    remembered: Tensor

    def __init__(self, encoder: PlaceEncoder, n_photos: int, run: PlaceRun) -> None:
        super().__init__()
        if run.aggregation == "transport":
            _draw(encoder, run.seed)
        self.aggregator = encoder.aggregator
        self.learned = [one for one in encoder.aggregator.parameters() if one.requires_grad]
        named = encoder.features.network.named_parameters()
        self.blocks = nn.ParameterList(
            one.requires_grad_() for name, one in named if name.startswith(encoder.tuned)
        )
        self.register_buffer("remembered", torch.full((n_photos, run.n_remembered), -1, dtype=torch.long))


def _draw(encoder: PlaceEncoder, seed: int) -> None:
    """Start the parameters of an aggregation that begins at random from the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in encoder.aggregator.modules():  # type: ignore[attr-defined]
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()


def last_blocks(encoder: PlaceEncoder, n_blocks: int) -> tuple[str, ...]:
    """Beginnings of the names of the parameters of the last blocks that the encoder's layer comes from.

    Raises:
        InvalidOption: it comes from fewer.
    """
    if n_blocks == 0:
        return ()
    names = encoder.features.block_names()
    if n_blocks > len(names):
        raise InvalidOption(
            f"n_blocks={n_blocks}: layer {encoder.features.layer} of {encoder.features.name} comes from "
            f"{len(names)} blocks"
        )
    return tuple(names[-n_blocks:])
