"""Which weights of an image–text model are trained, and which stay as they are.

- ``projection``: the last linear map of each tower into the shared space;
- ``last-layer``: those, the last block of each tower and the norm after it (PIGEON trains the last layer);
- ``lora``: low-rank adapters on every linear layer, see `low_rank`, and the projections;
- ``all``: everything.

The scale of the logits always learns. Models of open_clip keep their towers in several ways (their own, of
timm, of transformers); what is looked for is named below.
"""

import re
from typing import Any, Literal, get_args

from torch import nn

from ..errors import InvalidOption
from .low_rank import add_adapters

Tune = Literal["projection", "last-layer", "lora", "all"]

_PROJECTION = re.compile(r"^(visual\.(proj|head\..*)|(text\.)?text_projection(\..*)?|text\.proj(\..*)?)$")
_NORM_AFTER = re.compile(r"^(visual\.(ln_post|trunk\.(norm|fc_norm|head\.norm))|(text\.)?ln_final)\.")
_BLOCKS = ("resblocks", "blocks", "stages", "layers", "layer")


def choose_weights(model: Any, tune: Tune, *, rank: int, alpha: float) -> dict[str, nn.Parameter]:
    """Freeze a model but for what is to be trained.

    Args:
        model: of open_clip; changed in place.
        tune: see the head of this module.
        rank: of the adapters of ``lora``.
        alpha: their strength.

    Returns:
        The parameters to train, by name.

    Raises:
        InvalidOption: the model has no such part; the message names another way.
    """
    model.requires_grad_(False)
    if tune == "lora":
        for tower in towers(model):
            add_adapters(tower, rank=rank, alpha=alpha)
    chosen = {name: parameter for name, parameter in model.named_parameters() if _is_chosen(name, tune)}
    if tune == "last-layer":
        chosen |= _last_blocks(model)
    if not chosen:
        remedy = ", ".join(one for one in get_args(Tune) if one != tune)
        raise InvalidOption(f"--tune {tune}: this model has no such part that is known here; try {remedy}")
    chosen["logit_scale"] = model.logit_scale
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def towers(model: Any) -> tuple[nn.Module, nn.Module]:
    """The image tower, and the stack of text blocks."""
    return model.visual, model.text if hasattr(model, "text") else model.transformer


def _is_chosen(name: str, tune: Tune) -> bool:
    if tune == "all":
        return True
    is_projection = _PROJECTION.match(name) is not None
    if tune == "lora":
        is_adapter = ".parametrizations." in name and name.endswith((".down", ".up"))
        return is_adapter or (is_projection and ".parametrizations." not in name)
    return is_projection or (tune == "last-layer" and _NORM_AFTER.match(name) is not None)


def _last_blocks(model: Any) -> dict[str, nn.Parameter]:
    """Parameters of the last block of each tower, by their names in the model."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, nn.Parameter] = {}
    for tower in towers(model):
        stacks = [
            module
            for name, module in tower.named_modules()
            if name.rpartition(".")[2] in _BLOCKS
            and isinstance(module, nn.ModuleList | nn.Sequential)
            and len(module)
        ]
        if not stacks:
            raise InvalidOption(
                f"--tune last-layer: no list of blocks in the {type(tower).__name__} of this model; "
                "try lora or all"
            )
        # Of nested stacks the outermost comes first.
        found |= {name_of[id(parameter)]: parameter for parameter in stacks[0][-1].parameters()}
    return found
