"""What an operator may set, from the environment under the prefix ``PLACEPRINT_``."""

from pathlib import Path

import platformdirs
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where galleries live."""

    model_config = SettingsConfigDict(env_prefix="PLACEPRINT_")

    home: Path = Path(platformdirs.user_data_dir("placeprint"))
    """Folder of all galleries."""

    qdrant_url: str | None = None
    """A Qdrant server for new galleries; without it each lives in its own folder."""

    qdrant_api_key: SecretStr | None = None
    """Key for that server."""

    lock_timeout_s: float = 10.0
    """How long to wait for another process that holds a gallery."""
