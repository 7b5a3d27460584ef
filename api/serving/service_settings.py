"""What an operator may set of the HTTP service.

Each setting is read from the environment (``PLACEPRINT_PRECISION=25km``), else from a file of its name
in the folder `PLACEPRINT_SECRETS_DIR`, else from the TOML file that `PLACEPRINT_CONFIG` or ``--config``
names (``precision = "25km"``). A name in that file that means nothing is an error.
"""

import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from ...encoders.errors import PlaceprintError, UnknownGallery
from ...indexer.gallery_files import gallery_names
from ...indexer.settings import Settings
from .precision import Precision

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class InvalidSettings(PlaceprintError):
    """A setting with a value that the service does not take."""


class ServiceSettings(Settings):
    """What is served, to whom, how precisely, and how much of it at a time."""

    model_config = SettingsConfigDict(env_prefix="PLACEPRINT_", env_nested_delimiter="__", extra="forbid")

    # --- what ---
    galleries: list[str] = Field(default_factory=list)
    """Names of the galleries that are served; all there are by default."""

    models: dict[str, str] = Field(default_factory=dict)
    """More image encoders to load: name, and the file of its weights or nothing."""

    vectors: list[str] = Field(default_factory=lambda: ["place"])
    """Names of the vectors beside a gallery's own by which photos are recognized. Their encoders are loaded
    with the gallery, from where its `vectors build` had them."""

    regions: dict[str, str] = Field(default_factory=dict)
    """Region classifiers to serve: name, and the file that `train regions` left. The encoder whose embeddings
    they read has to be served, for a gallery or among the models."""

    # --- where ---
    host: str = "127.0.0.1"
    """Address to listen at. Beyond this machine's own, keys are asked for."""

    port: int = Field(8000, ge=0, le=65535)
    """Port to listen at; 0 for any that is free."""

    hostnames: list[str] = Field(default_factory=list)
    """Names under which others reach the service; under other names it does not answer."""

    cors_origins: list[str] = Field(default_factory=list)
    """Addresses of other pages whose scripts may ask, such as ``https://maps.example.org``."""

    # --- who ---
    keys_file: Path | None = None
    """File of the hashed keys; by default ``keys.json`` in the home."""

    rate_per_minute: int = Field(600, ge=0, le=1_000_000)
    """Requests a minute of each key, or without keys of each address; 0 for no limit."""

    megapixels_per_minute: int = Field(12_000, ge=0, le=10_000_000)
    """Megapixels a minute that each key, or without keys each address, may have decoded: by default a
    thousand photos of 12; 0 for no limit. A request may have four times `max_pixels_mp`."""

    # --- how precisely ---
    precision: Precision = "region"
    """How precisely places are told: of what is asked about, and of the gallery's photos."""

    geolocation: bool | None = None
    """Whether photos may be geolocated, and their very places recognized. By default only while this machine
    alone is listened to."""

    facet_fields: list[str] = Field(default_factory=list)
    """Fields of the payload whose values are counted even where nearly each photo has one of its own, which
    otherwise is refused: such values name single photos."""

    sensitive_areas: Path | None = None
    """GeoJSON polygons within which no place is told more precisely than by country."""

    audit_log: Path | None = None
    """File to which a line is added for each geolocation or recognition; by default ``audit.jsonl`` in the
    home."""

    # --- how much ---
    max_body_mb: float = Field(20.0, gt=0.0, le=1024.0)
    """Largest body that is taken, in units of 10⁶ bytes."""

    max_pixels_mp: float = Field(50.0, gt=0.0, le=500.0)
    """Largest photo that is taken, in millions of pixels."""

    formats: list[str] = Field(default_factory=lambda: ["JPEG", "PNG", "WEBP"])
    """Formats of photos that are taken; HEIF and AVIF have had the most holes."""

    url_hosts: list[str] = Field(default_factory=list)
    """Hosts from which a photo may be fetched for a caller; none by default."""

    source_folders: list[Path] = Field(default_factory=list)
    """Folders below which a source may be indexed over HTTP; none by default."""

    decoders: int = Field(2, ge=1, le=64)
    """Processes that decode photos."""

    model_threads: int = Field(max(1, (os.cpu_count() or 2) // 2), ge=1, le=256)
    """Threads of one call of a model. By default half of the cores: the others decode and answer."""

    max_inside: int = Field(2 * (os.cpu_count() or 2), ge=1, le=10_000)
    """Searches that are answered at a time; more are sent away with 503, to come again in a moment. By
    default two for each core: with more inside, all of them are slower, and none is done sooner."""

    max_locating: int = Field(4, ge=1, le=1000)
    """Photos that are geolocated at a time, each of which takes some tenths of a second."""

    max_recognizing: int = Field(4, ge=1, le=1000)
    """Photos whose very place is looked for at a time; a second look takes about a second of a core."""

    max_look_again: int = Field(50, ge=0, le=500)
    """Most photos that one question may have looked at again; 0 for no second looks."""

    max_embedding: int = Field(64, ge=1, le=10_000)
    """Requests for embeddings, and for photos to be added, that are answered at a time."""

    max_looking: int = Field(64, ge=1, le=10_000)
    """Lists, counts, tiles of the map and small pictures that are answered at a time."""

    max_waiting: int = Field(256, ge=1, le=100_000)
    """Inputs that may wait for the model."""

    deadline_s: float = Field(20.0, gt=0.0, le=600.0)
    """Longest time for one question, seconds."""

    # --- the rest ---
    log_format: Literal["text", "json"] = "text"
    """How the log is written."""

    basemap: str = ""
    """A .pmtiles file, or the template of a tile provider: ``https://…/{z}/{x}/{y}.png``."""

    attribution: str = ""
    """Whom to name for the basemap."""

    @field_validator("hostnames", "url_hosts")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        names = [name.lower().rstrip(".") for name in names]
        if wrong := [name for name in names if not HOST_NAME.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r} is no host's name; write it without https:// and port")
        return names

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        if wrong := [one for one in origins if not re.fullmatch(r"https?://[^/*\s]+", one)]:
            raise ValueError(f"{wrong[0]!r} is no origin, such as https://maps.example.org; * is not taken")
        return origins

    @field_validator("formats")
    @classmethod
    def _are_formats(cls, formats: list[str]) -> list[str]:
        formats = [name.upper() for name in formats]
        if wrong := sorted(set(formats) - set(PHOTO_FORMATS)):
            raise ValueError(f"no format {wrong[0]}; there are {', '.join(PHOTO_FORMATS)}")
        return formats

    @field_validator("sensitive_areas", "keys_file", "audit_log", mode="before")
    @classmethod
    def _nothing_is_none(cls, path: Any) -> Any:
        return None if path == "" else path

    @model_validator(mode="after")
    def _is_reachable(self) -> "ServiceSettings":
        if not self.is_local and not self.hostnames and not _is_plain_address(self.host):
            raise ValueError(
                f"PLACEPRINT_HOSTNAMES: listening at {self.host}, say under which names others reach the "
                "service, for example PLACEPRINT_HOSTNAMES='[\"photos.example.org\"]'; or listen at "
                "127.0.0.1, for this machine only"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine is listened to."""
        return is_loopback(self.host)

    @property
    def may_geolocate(self) -> bool:
        """Whether photos may be geolocated."""
        return self.is_local if self.geolocation is None else self.geolocation

    @property
    def keys_path(self) -> Path:
        """Where the hashed keys are."""
        return self.keys_file or self.home / "keys.json"

    @property
    def audit_path(self) -> Path:
        """Where geolocations are noted."""
        return self.audit_log or self.home / "audit.jsonl"


def read_settings(config: Path | None = None, **given: Any) -> ServiceSettings:
    """Settings from the caller and, after these, from the environment, secrets and the TOML file.

    Raises:
        InvalidSettings: a value that is not allowed; the message names its variable.
    """
    if config is not None:
        os.environ["PLACEPRINT_CONFIG"] = str(config)
    file = os.environ.get("PLACEPRINT_CONFIG")
    try:
        if file and not Path(file).is_file():
            raise InvalidSettings(f"{file}: there is no such file of settings")
        return ServiceSettings(**given)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{file}: not TOML ({error})") from None
    except OSError as error:
        raise InvalidSettings(f"{file}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        # Neither the value nor the whole error is shown: a setting may be a secret.
        raise InvalidSettings(
            "; ".join(_fault(fault) for fault in error.errors(include_url=False, include_input=False))
        ) from None
    except ValueError as error:  # a list in the environment that is no JSON
        raise InvalidSettings(f'{error}; write lists as JSON: ["first", "second"]') from None


def _fault(fault: Any) -> str:
    name = "_".join(str(part) for part in fault["loc"]).upper()
    if fault["type"] == "extra_forbidden":
        return f"{name.lower()}: there is no such setting"
    said = fault["msg"].removeprefix("Value error, ")
    return f"PLACEPRINT_{name}: {said}" if name else said


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_plain_address(host: str) -> bool:
    """Whether a host is one address, under which the service can then be asked."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def galleries_to_serve(settings: ServiceSettings) -> list[str]:
    """The galleries asked for, or all there are.

    Raises:
        UnknownGallery: one that is asked for is not there.
    """
    names = gallery_names(settings)
    if missing := [name for name in settings.galleries if name not in names]:
        raise UnknownGallery(
            f"no gallery {missing[0]!r} in {settings.home} (there: {', '.join(names) or 'none yet'}); "
            f"make it with: placeprint index FOLDER --gallery {missing[0]}"
        )
    return settings.galleries or names
