"""Published weights of other location encoders, in our parts: GeoCLIP, SatCLIP, SINR and geo_prior.

No weights come with Placeprint: fetch them from their authors, under their licences. Files are read as
safetensors, or by `torch.load` in the mode that unpickles tensors only. Sizes are read off the tensors;
names and shapes are checked one by one. Each loader states how the original differs from ours: axis
order, scaling, sign. Whatever they take, the encoders made here take `lonlat` degrees, longitude first.
"""

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import WeightsUnavailable
from .location import LocationEncoder
from .location_files import read_metadata, read_tensors
from .location_networks import ClassHead


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a file of weights holds."""

    path: Path
    tensors: dict[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)  # hyperparameters, where it has them

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor.

        Raises:
            WeightsUnavailable: it is not there.
        """
        if name not in self.tensors:
            raise WeightsUnavailable(f"{self.path}: has no tensor {name!r}; {_first_names(self.tensors)}")
        return tuple(self.tensors[name].shape)

    def count(self, pattern: str) -> int:
        """How many of the names pattern.format(0), pattern.format(1), ... are there."""
        n = 0
        while pattern.format(n) in self.tensors:
            n += 1
        return n


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read weights, safetensors or a checkpoint of torch, plain or of Lightning.

    Raises:
        WeightsUnavailable: no such file, damaged, or it wants to run code.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return Checkpoint(path=path, tensors=read_tensors(path), settings=read_metadata(path))
    if not path.is_file():
        raise WeightsUnavailable(f"{path}: no such file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsUnavailable(
            f"{path}: holds more than tensors, and would run code when read "
            f"({str(error).splitlines()[0][:200]}). Where you trust it, convert it: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=False)['state_dict'], ...)"
        ) from None
    except Exception as error:  # the reader of zip archives has errors of its own
        raise WeightsUnavailable(f"{path}: not weights of torch, or damaged ({error})") from None
    if not isinstance(found, dict):
        raise WeightsUnavailable(f"{path}: holds a {type(found).__name__}, not tensors by name")
    state = found.get("state_dict", found)
    settings = found.get("hyper_parameters", found.get("params", {}))
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    return Checkpoint(path=path, tensors=tensors, settings=settings if isinstance(settings, dict) else {})


def load_geoclip(path: str | Path) -> LocationEncoder:
    """GeoCLIP's location encoder (Vivanco Cepeda et al. 2023, arXiv 2309.16020).

    Tensors: per branch i, ``LocEnc{i}.capsule.0.b`` (F, 2), ``LocEnc{i}.capsule.{1,3,5}`` and
    ``LocEnc{i}.head.0``. The original takes lat, lon and computes its phases in float32, which for
    the finest branch costs it some 1e-3 of a feature; ours takes lon, lat and computes in float64.

    Raises:
        WeightsUnavailable: the file cannot be read, or holds other weights.
    """
    checkpoint = _without_prefix(read_checkpoint(path), "LocEnc")
    branches = max(1, checkpoint.count("LocEnc{}.capsule.0.b"))
    frequencies, _ = _matrix(checkpoint, "LocEnc0.capsule.0.b")
    layers = ["capsule.1", "capsule.3", "capsule.5", "head.0"]
    widths = [_matrix(checkpoint, f"LocEnc0.{layer}.weight")[0] for layer in layers]
    b = [_frequencies(checkpoint, f"LocEnc{i}.capsule.0.b", frequencies) for i in range(branches)]
    encoder = LocationEncoder(
        "rff-equal-earth",
        "branches",
        dimension=widths[-1],
        # The file holds the frequencies; the bandwidths are told from their spread.
        positional_options={"sigmas": [_power_of_two(matrix) for matrix in b], "frequencies": frequencies},
        network_options={"branches": branches, "hidden": widths[:-1]},
        name="geoclip",
    )
    names = {
        f"network.branches.{i}.{2 * j}.{kind}": f"LocEnc{i}.{layer}.{kind}"
        for i in range(branches)
        for j, layer in enumerate(layers)
        for kind in ("weight", "bias")
    }
    stacked = {"positional.frequencies": torch.cat(b).float()}
    return _fill(encoder, checkpoint, names, stacked)


def load_satclip(path: str | Path) -> LocationEncoder:
    """SatCLIP's location encoder (Klemmer et al. 2023, arXiv 2311.17179): harmonics and a SIREN.

    Tensors: ``nnet.layers.{j}`` and ``nnet.last_layer`` behind any prefix; float64 stays float64.
    Its harmonics are taken at lon + 180 and lat + 90 as colatitude, which changes the sign of odd
    degrees, and those of order 0 are π times too large; with ``harmonics_calculation`` set to
    ``closed-form`` they are not, but odd orders change sign. All of it is a factor a column, and goes
    into the weights of the first layer, so that what comes out is our `sh` and `siren`.

    The original writes each polynomial out in powers with 15 digits. At degree 39 that is off by 1e-5
    at 45 degrees of latitude, 5e-4 at 60 and 0.03 near the poles; below degree 10 by 2e-13. Ours is
    exact, so with L = 40 the embeddings of high latitudes are not quite those of the original.

    Raises:
        WeightsUnavailable: the file cannot be read, or holds other weights.
    """
    checkpoint = _without_prefix(read_checkpoint(path), "nnet.")
    # In its hyperparameters le_type is the positional encoding, and pe_type the network.
    for key, wanted in (("le_type", "sphericalharmonics"), ("pe_type", "siren")):
        if checkpoint.settings.get(key, wanted) != wanted:
            raise WeightsUnavailable(
                f"{path}: {key} is {checkpoint.settings[key]!r}, only {wanted!r} is read"
            )
    calculation = checkpoint.settings.get("harmonics_calculation", "analytic")
    if calculation not in ("analytic", "closed-form"):
        raise WeightsUnavailable(f"{path}: harmonics_calculation {calculation!r} is not known")
    hidden, columns = _matrix(checkpoint, "nnet.layers.0.weight")
    degrees = math.isqrt(columns)
    if degrees**2 != columns:
        raise WeightsUnavailable(f"{path}: {columns} features are no L² of spherical harmonics")
    encoder = LocationEncoder(
        "sh",
        "siren",
        dimension=_matrix(checkpoint, "nnet.last_layer.weight")[0],
        positional_options={"degrees": degrees},
        network_options={"hidden": hidden, "layers": checkpoint.count("nnet.layers.{}.weight")},
        name="satclip",
    )
    names = {
        ours: ours.replace("network.output", "nnet.last_layer").replace("network.", "nnet.")
        for ours in encoder.state_dict()
    }
    encoder = _fill(encoder, checkpoint, names, {})
    with torch.no_grad():
        first = encoder.get_parameter("network.layers.0.weight")
        first.mul_(satclip_factors(degrees, calculation).to(first.dtype))
    return encoder


def satclip_factors(degrees: int, calculation: str = "analytic") -> Tensor:
    """SatCLIP's harmonics over ours, column by column: (L²,) float64."""
    column = torch.arange(degrees**2, dtype=torch.float64)
    degree = column.sqrt().floor()
    order = column - degree * (degree + 1.0)
    factor = (-1.0) ** degree
    if calculation == "closed-form":
        return factor * (-1.0) ** order
    factor[order == 0] *= math.pi
    return factor


def load_sinr(path: str | Path) -> LocationEncoder:
    """SINR (Cole et al. 2023, arXiv 2306.02564) and geo_prior (Mac Aodha et al. 2019, 1906.05272).

    Tensors: ``feats.0`` and per block ``feats.{j}.w1`` and ``.w2``, j from 2. Only models of the place
    alone are read, not those with a date or environmental layers. Both poles have one embedding.

    Raises:
        WeightsUnavailable: the file cannot be read, or holds other weights.
    """
    checkpoint = _without_prefix(read_checkpoint(path), "feats.")
    width, columns = _matrix(checkpoint, "feats.0.weight")
    if columns != 4:
        raise WeightsUnavailable(
            f"{path}: the network takes {columns} features; only the 4 of a place are read, no date and no "
            "environmental layers"
        )
    blocks = 0
    while f"feats.{blocks + 2}.w1.weight" in checkpoint.tensors:
        blocks += 1
    encoder = LocationEncoder(
        "wrap-aliased",
        "residual",
        dimension=width,
        network_options={"blocks": blocks},
        name="sinr",
    )
    names = {}
    for kind in ("weight", "bias"):
        names[f"network.input.{kind}"] = f"feats.0.{kind}"
        for j in range(blocks):
            names[f"network.first.{j}.{kind}"] = f"feats.{j + 2}.w1.{kind}"
            names[f"network.second.{j}.{kind}"] = f"feats.{j + 2}.w2.{kind}"
    return _fill(encoder, checkpoint, names, {})


def load_sinr_classes(path: str | Path) -> ClassHead:
    """The class head in a file of `load_sinr`: embeddings (..., D) -> logits (..., classes).

    Raises:
        WeightsUnavailable: the file cannot be read, or has none.
    """
    checkpoint = _without_prefix(read_checkpoint(path), "class_emb.")
    classes, width = _matrix(checkpoint, "class_emb.weight")
    head = ClassHead(width, classes)
    head.load_state_dict({"output.weight": checkpoint.tensors["class_emb.weight"]})
    return head.eval()


THIRD_PARTY: dict[str, Callable[[str | Path], LocationEncoder]] = {
    "geoclip": load_geoclip,
    "satclip": load_satclip,
    "sinr": load_sinr,
}


def _fill(
    encoder: LocationEncoder, checkpoint: Checkpoint, names: Mapping[str, str], more: Mapping[str, Tensor]
) -> LocationEncoder:
    """Put a checkpoint's tensors into an encoder, theirs by our names, after checking their shapes."""
    state = dict(more)
    for ours, theirs in names.items():
        wanted, found = tuple(encoder.state_dict()[ours].shape), checkpoint.shape(theirs)
        if wanted != found:
            raise WeightsUnavailable(f"{checkpoint.path}: {theirs} has shape {found}, expected {wanted}")
        state[ours] = checkpoint.tensors[theirs]
    encoder.to(state[next(iter(names))].dtype)
    encoder.load_state_dict(state)
    return encoder.eval()


def _without_prefix(checkpoint: Checkpoint, start: str) -> Checkpoint:
    """Tensors whose name holds `start`, with whatever stands before it cut off."""
    tensors = {
        name[name.index(start) :]: tensor for name, tensor in checkpoint.tensors.items() if start in name
    }
    if not tensors:
        raise WeightsUnavailable(
            f"{checkpoint.path}: no tensor is named {start}...; {_first_names(checkpoint.tensors)}"
        )
    return Checkpoint(path=checkpoint.path, tensors=tensors, settings=checkpoint.settings)


def _matrix(checkpoint: Checkpoint, name: str) -> tuple[int, int]:
    shape = checkpoint.shape(name)
    if len(shape) != 2:
        raise WeightsUnavailable(f"{checkpoint.path}: {name} has shape {shape}, expected two axes")
    return shape[0], shape[1]


def _frequencies(checkpoint: Checkpoint, name: str, count: int) -> Tensor:
    if (shape := checkpoint.shape(name)) != (count, 2):
        raise WeightsUnavailable(f"{checkpoint.path}: {name} has shape {shape}, expected {(count, 2)}")
    return checkpoint.tensors[name].double()


def _power_of_two(frequencies: Tensor) -> float:
    spread = float(frequencies.square().mean().sqrt())
    return 2.0 ** round(math.log2(spread)) if spread > 0.0 and math.isfinite(spread) else 1.0


def _first_names(tensors: Mapping[str, Tensor]) -> str:
    return f"it holds {', '.join(list(tensors)[:3]) or 'no tensors'}, ..."
