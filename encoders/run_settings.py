"""The settings of a training run as they are kept and read back, and its presets."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InvalidOption, UnknownEncoder

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Run = TypeVar("Run", bound=DataclassInstance)


def known_settings(run: "type[DataclassInstance]", settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, as they were kept.

    Args:
        run: whose fields they are.
        settings: JSON.

    Raises:
        InvalidOption: a setting unknown here.
    """
    unknown = set(settings) - {one.name for one in fields(run)}
    if unknown:
        raise InvalidOption(f"no setting {', '.join(sorted(unknown))} here; made by another version?")
    return dict(settings)


def preset_of(presets: "Mapping[str, Run]", name: str, called: str, changes: Mapping[str, Any]) -> "Run":
    """A preset, with some settings changed.

    Args:
        presets: by name.
        name: of the one wanted.
        called: what they are presets of, in words.
        changes: settings by name.

    Raises:
        UnknownEncoder: no preset of that name.
    """
    if name not in presets:
        raise UnknownEncoder(f"no preset {name!r} of {called}; there are {', '.join(presets)}")
    return replace(presets[name], **changes)
