"""The keys of providers of pictures: from the environment alone, shown to their provider alone."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ...encoders.errors import ImageryRefused


class ImageryKeys(BaseSettings):
    """Keys, each in a variable of its name in capitals behind ``PLACEPRINT_``."""

    model_config = SettingsConfigDict(env_prefix="PLACEPRINT_", extra="ignore")

    mapillary_token: SecretStr | None = None
    """Access token of an application, from mapillary.com/dashboard/developers."""

    google_maps_key: SecretStr | None = None
    """API key of Google Maps Platform."""

    google_maps_signing_secret: SecretStr | None = None
    """Its URL signing secret, where requests are signed."""


def required(key: SecretStr | None, variable: str, title: str, where: str) -> str:
    """A key that a provider cannot do without.

    Raises:
        ImageryRefused: there is none; the message says where keys come from and go to.
    """
    if key is None or not key.get_secret_value().strip():
        raise ImageryRefused(f"{title} needs a key: get one at {where} and set the variable {variable} to it")
    return key.get_secret_value().strip()
