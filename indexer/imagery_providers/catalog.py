"""The providers of pictures by their names, and how one is opened."""

from urllib.parse import urlsplit

from ...encoders.errors import ImageryRefused, InvalidOption
from ..imagery_http import is_loopback
from .kartaview import KartaView
from .keys import ImageryKeys, required
from .mapillary import Mapillary
from .panoramax import Panoramax
from .provider import Provider, Terms
from .street_view import StreetView

TERMS: dict[str, Terms] = {kind.name: kind.terms for kind in (Mapillary, KartaView, Panoramax, StreetView)}
"""What one may do with the pictures of each provider."""


def open_provider(
    name: str,
    *,
    base_url: str | None = None,
    picture_hosts: tuple[str, ...] = (),
    is_permitted: bool = False,
) -> Provider:
    """A provider, with its key from the environment.

    Args:
        name: one of `TERMS`.
        base_url: of its API, where that is not the usual one: needed for Panoramax, else for a
            server of your own that stands before it.
        picture_hosts: more hosts that Panoramax's pictures may come from.
        is_permitted: whether the user has the permission that its terms ask for.

    Raises:
        InvalidOption: no such provider, or an address or host that it cannot have.
        ImageryRefused: it needs a key or a permission, and there is none.
    """
    if name not in TERMS:
        raise InvalidOption(f"no provider {name!r} of pictures; there are {', '.join(TERMS)}")
    if picture_hosts and name != Panoramax.name:
        raise InvalidOption(f"{name}'s hosts are known; --picture-host is for {Panoramax.name}")
    if TERMS[name].needs_permission and not is_permitted:
        raise ImageryRefused(
            f"{TERMS[name].text} {TERMS[name].url} If you have it: --i-have-permission. Without it take "
            "mapillary, kartaview, panoramax or photos of your own"
        )
    address = {} if base_url is None else {"base_url": _checked(base_url)}
    keys = ImageryKeys()
    if name == Mapillary.name:
        where = "mapillary.com/dashboard/developers"
        token = required(keys.mapillary_token, "PLACEPRINT_MAPILLARY_TOKEN", "Mapillary", where)
        return Mapillary(token, **address)
    if name == KartaView.name:
        return KartaView(**address)
    if name == Panoramax.name:
        return Panoramax(**({"base_url": ""} | address), picture_hosts=picture_hosts)
    where = "console.cloud.google.com/google/maps-apis"
    key = required(keys.google_maps_key, "PLACEPRINT_GOOGLE_MAPS_KEY", "Google Street View", where)
    secret = keys.google_maps_signing_secret
    return StreetView(key, signing_secret=None if secret is None else secret.get_secret_value(), **address)


def _checked(base_url: str) -> str:
    """An address of an API: https, or http on this machine; without anything secret in it."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not is_safe or parts.username or parts.password or parts.query:
        raise InvalidOption(
            f"--base-url must be https://HOST without user, password or query; got one at {host or 'no host'}"
        )
    return base_url
