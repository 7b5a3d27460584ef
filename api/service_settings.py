"""What an operator may set of the HTTP service, from the environment under ``PLACEPRINT_``."""

import ipaddress
from typing import Any

from pydantic import Field, ValidationError, field_validator

from ..encoders.errors import PlaceprintError, UnknownGallery
from ..indexer.gallery import gallery_names
from ..indexer.settings import Settings
from .precision import Precision


class InvalidSettings(PlaceprintError):
    """A setting with a value that the service does not take."""


class ServiceSettings(Settings):
    """Which gallery is served, to whom, and how precisely."""

    gallery: str = ""
    """Name of the gallery; may be left out where there is only one."""

    host: str = "127.0.0.1"
    """Address to listen at; a loopback address."""

    port: int = Field(8000, ge=0, le=65535)
    """Port to listen at; 0 for any that is free."""

    max_body_mb: float = Field(20.0, gt=0.0, le=1024.0)
    """Largest photo that is taken, in units of 10⁶ bytes."""

    precision: Precision = "region"
    """How precisely places are told: of what is asked about, and of the gallery's photos."""

    @field_validator("host")
    @classmethod
    def _is_loopback(cls, host: str) -> str:
        if not is_loopback(host):
            raise ValueError(
                f"the service asks for no keys yet, so it listens on this machine only: 127.0.0.1, ::1 or "
                f"localhost, not {host!r}. To reach it from elsewhere, put a proxy that checks who asks "
                "before it, or forward the port over ssh"
            )
        return host


def read_settings(**given: Any) -> ServiceSettings:
    """Settings from the environment and, before these, from the caller.

    Raises:
        InvalidSettings: a value that is not allowed; the message names its variable.
    """
    try:
        return ServiceSettings(**given)
    except ValidationError as error:
        # Neither the value nor the whole error is shown: a setting may be a secret.
        faults = [
            f"PLACEPRINT_{'_'.join(str(part) for part in fault['loc']).upper()}: "
            + fault["msg"].removeprefix("Value error, ")
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidSettings("; ".join(faults)) from None


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def gallery_to_serve(settings: ServiceSettings) -> str:
    """The gallery asked for, or the only one.

    Raises:
        UnknownGallery: none was asked for, and there is not exactly one.
    """
    if settings.gallery:
        return settings.gallery
    names = gallery_names(settings)
    if len(names) != 1:
        raise UnknownGallery(
            f"which gallery? There are {len(names)} in {settings.home}"
            f"{': ' + ', '.join(names) if names else ''}. Name one with --gallery or PLACEPRINT_GALLERY, "
            "or make one with: placeprint index FOLDER --gallery NAME"
        )
    return names[0]
