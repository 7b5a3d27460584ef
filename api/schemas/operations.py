"""How the service is."""

from typing import Literal

from .base import Answer


class Alive(Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(Answer):
    """Questions can be asked."""

    status: Literal["ready"] = "ready"


class About(Answer):
    """What this service is and allows, for pages and clients."""

    version: str
    precision: Literal["country", "region", "25km", "exact"]
    geolocation: bool
    """Whether photos may be geolocated here."""
    needs_key: bool
    max_body_mb: float
    formats: list[str]
    """Formats of photos that are taken."""
    takes_urls: bool
    misuse: str
    """What the service must not be used for."""
    basemap: str | None = None
    """Path of a PMTiles file or template of a tile provider, where the operator has set one."""
    attribution: str = ""
