"""Weights into models: from a local safetensors file, this machine's cache, or the network.

Pickled weights can carry code; a local file must be safetensors.
"""

import logging
from itertools import chain
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import torch

from .errors import UnknownEncoder, WeightsUnavailable

HUB_FILE = "open_clip_model.safetensors"


def load_safetensors(model: torch.nn.Module, path: Path, *, drop: tuple[str, ...] = ()) -> None:
    """Load all of a model's tensors from a local file.

    Args:
        model: changed in place.
        path: a safetensors file.
        drop: beginnings of tensor names to leave out, such as a classifier's.

    Raises:
        WeightsUnavailable: no such file, another format, or a tensor is missing or left over.
    """
    if not path.is_file():
        raise WeightsUnavailable(
            f"{path}: no such file. Where the weights of a gallery were moved, `placeprint index … --weights "
            "FILE` tells it the new place"
        )
    try:
        state = safetensors.torch.load_file(path)
    except Exception as error:  # its Rust core raises an error class of its own
        raise WeightsUnavailable(
            f"{path}: not a safetensors file ({error}). Weights in other formats can carry code and are "
            "not loaded; convert them with safetensors.torch.save_file where you trust them"
        ) from None
    kept = {key: value for key, value in state.items() if not any(key.startswith(name) for name in drop)}
    try:
        answer = model.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise WeightsUnavailable(f"{path}: does not fit the model: {error}") from None
    wrong = list(chain(answer.missing_keys, answer.unexpected_keys))
    if wrong:
        raise WeightsUnavailable(
            f"{path}: does not fit the model; {len(wrong)} tensors are missing or unknown, "
            f"first {', '.join(wrong[:3])}"
        )


def open_clip_model(model: str, pretrained: str, weights: Path | None) -> torch.nn.Module:
    """Make a model of open_clip with its weights.

    Args:
        model: as in `open_clip.list_models()`.
        pretrained: the tag of its weights; it also decides the preprocessing. May be empty with
            local weights.
        weights: a local safetensors file, or None for the cache and then the network.

    Raises:
        UnknownEncoder: no such weights of that model.
        WeightsUnavailable: they are not to be had, or do not fit.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in tags and (pretrained or weights is None):
        raise UnknownEncoder(f"open_clip has weights {', '.join(tags)} for {model}, not {pretrained!r}")
    config: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained) or {}
    published = None if weights is not None else _cached(config) or _downloaded(model, pretrained, config)
    created = _untrained(model, config)
    if weights is not None:
        load_safetensors(created, weights)
    else:
        open_clip.load_checkpoint(created, str(published), weights_only=True)
    return created


def _untrained(model: str, config: dict[str, Any]) -> torch.nn.Module:
    import open_clip

    keys = ("mean", "std", "interpolation", "resize_mode")
    preprocess = {key: config[key] for key in keys if config.get(key) is not None}
    silent = logging.getLogger()
    level = silent.level
    silent.setLevel(logging.ERROR)  # open_clip warns that the model is untrained; it is so for a moment
    try:
        created: torch.nn.Module = open_clip.create_model(
            model,
            pretrained=None,
            force_quick_gelu=bool(config.get("quick_gelu", False)),
            force_preprocess_cfg=preprocess or None,
        )
    finally:
        silent.setLevel(level)
    return created


def _published(config: dict[str, Any]) -> tuple[str, list[str]]:
    """The hub's repository of some weights, and what they may be called there: safetensors only."""
    repository, _, file = str(config.get("hf_hub", "")).rpartition("/")
    return repository, [HUB_FILE, *([f"{Path(file).stem}.safetensors"] if file else [])]


def _cached(config: dict[str, Any]) -> str | None:
    """Weights that an earlier download left here; asking the hub for them would need a network."""
    repository, names = _published(config)
    for name in names if repository else ():
        path = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(path, str):
            return path
    return None


def _downloaded(model: str, pretrained: str, config: dict[str, Any]) -> str:
    """Weights from the hub.

    Raises:
        WeightsUnavailable: no network, or they are published in a format only that can carry code.
    """
    repository, names = _published(config)
    if repository:
        _require_network(model, pretrained, config)
    for name in names if repository else ():
        try:
            return str(huggingface_hub.hf_hub_download(repository, name))
        except Exception as error:  # the hub's client fails in many ways, all but one meaning the same
            errors = huggingface_hub.errors
            is_local = isinstance(error, errors.LocalEntryNotFoundError)  # the network went away
            if isinstance(error, errors.EntryNotFoundError) and not is_local:
                continue
            raise WeightsUnavailable(_offline(model, pretrained, config, error)) from error
    raise WeightsUnavailable(
        f"the weights {pretrained} of {model} are not published as safetensors, and other formats can carry "
        "code; convert them where you trust them, and pass --weights FILE"
    )


def _require_network(model: str, pretrained: str, config: dict[str, Any]) -> None:
    """Ask the hub once, quickly: its client would try for the better part of a minute."""
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=10)
    except Exception as error:  # the session's library is the hub's choice, and so are its errors
        raise WeightsUnavailable(_offline(model, pretrained, config, error)) from None


def _offline(model: str, pretrained: str, config: dict[str, Any], error: Exception) -> str:
    place = f"https://huggingface.co/{config['hf_hub'].rstrip('/')}" if config.get("hf_hub") else "its source"
    return (
        f"the weights {pretrained} of {model} could not be downloaded ({type(error).__name__}). "
        f"Without a network: fetch open_clip_model.safetensors from {place} on another machine and pass "
        "--weights FILE; or try things out with --encoder demonstration"
    )
