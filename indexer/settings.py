"""What an operator may set, under the prefix ``PLACEPRINT_``.

From the environment, else from a file of its name in the folder `PLACEPRINT_SECRETS_DIR`, else from the
TOML file that `PLACEPRINT_CONFIG` names, which may hold settings of the service too.
"""

import os
from pathlib import Path

import platformdirs
from pydantic import SecretStr
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
