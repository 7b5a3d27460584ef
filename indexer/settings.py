"""What an operator may set, under the prefix ``PLACEPRINT_``.

From the environment, else from a file of its name in the folder `PLACEPRINT_SECRETS_DIR`, else from the
TOML file that `PLACEPRINT_CONFIG` names, which may hold settings of the service too.
"""

import os
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Settings(BaseSettings):
    """Where galleries live."""

    model_config = SettingsConfigDict(env_prefix="PLACEPRINT_", extra="ignore")

    home: Path = Path(platformdirs.user_data_dir("placeprint"))
    """Folder of all galleries."""

    qdrant_url: str | None = None
    """A Qdrant server for new galleries; without it each lives in its own folder."""

    qdrant_api_key: SecretStr | None = None
    """Key for that server."""

    qdrant_read_api_key: SecretStr | None = None
    """Its read-only key, for processes that may not write the gallery's folder; else the other one."""

    qdrant_shards: int | None = Field(default=None, ge=1)
    """Parts of a new collection, over which a cluster spreads it; without it as the server is set."""

    qdrant_replicas: int | None = Field(default=None, ge=1)
    """Nodes of a cluster that keep each part of a new collection; without it as the server is set."""

    qdrant_write_consistency: int | None = Field(default=None, ge=1)
    """How many of these must have a write before it counts; without it as the server is set."""

    qdrant_read_consistency: int | Literal["majority", "quorum", "all"] | None = None
    """How many must agree on an answer; without it the first one is taken."""

    qdrant_write_ordering: Literal["weak", "medium", "strong"] | None = None
    """How strictly writes of several processes follow one another; the server's own is weak."""

    qdrant_is_strict: bool = True
    """Make new collections refuse what would be slow or large beyond our need (Qdrant's strict mode)."""

    qdrant_timeout_s: int = Field(default=60, ge=1)
    """For one request."""

    qdrant_retries: int = Field(default=5, ge=0)
    """How often a request is repeated while the server fails or cannot be reached."""

    qdrant_streams: int = Field(default=3, ge=1, le=32)
    """Uploads at one time."""

    qdrant_batch: int = Field(default=128, ge=1, le=256)
    """Points in one upload."""

    qdrant_index_wait_s: float = Field(default=3600.0, ge=0.0)
    """How long a renewed collection may take to build its index before it takes over without."""

    device: str = "auto"
    """Where encoders compute that index or serve: cpu, cuda, cuda:1; auto takes a GPU if there is one."""

    lock_timeout_s: float = 10.0
    """How long to wait for another process that holds a gallery."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The caller's word first, then the environment, the folder of secrets, and the file."""
        sources = [init_settings, env_settings]
        if folder := os.environ.get("PLACEPRINT_SECRETS_DIR"):
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=folder))
        if file := os.environ.get("PLACEPRINT_CONFIG"):
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=file))
        return tuple(sources)
