"""How a gallery's collection on a Qdrant server is reached, made and written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .settings import Settings

MEMORY = ":memory:"
"""The URL of a store in this process, for tests."""


@dataclass(frozen=True)
class ServerOptions:
    """What a store must know of its server.

    Attributes:
        url: of the server.
        alias: name of the gallery on it; the collections behind it are numbered.
        api_key: sent with every request.
        shards: parts of a new collection, over which a cluster spreads it; None, here and in the next two,
            leaves it to the server.
        replicas: nodes that keep each of them.
        write_consistency: of these, how many must have a write before it counts.
        read_consistency: how many must agree on an answer, or majority, quorum or all; None asks one.
        write_ordering: weak, medium or strong; None is the server's, weak.
        is_strict: make collections refuse what would be slow or large beyond need.
        timeout_s: of one request.
        retries: how often a request is repeated while the server fails or cannot be reached.
        streams: uploads at one time.
        batch: points in one upload.
        is_filled_first: a new collection links nothing until it is told that all is in.
        index_wait_s: how long a new collection may take to build its index before it takes over without.
    """

    url: str
    alias: str
    api_key: str | None = None
    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None
    read_consistency: int | str | None = None
    write_ordering: str | None = None
    is_strict: bool = True
    timeout_s: int = 60
    retries: int = 5
    streams: int = 3
    batch: int = 128
    is_filled_first: bool = False
    index_wait_s: float = 3600.0


def server_of(
    config: Mapping[str, Any], settings: Settings, *, is_read_only: bool = False
) -> ServerOptions | None:
    """How to reach a gallery's collection; None where its store is a folder.

    Args:
        config: what ``gallery.json`` says.
        settings: the operator's.
        is_read_only: with the key of those who only read, if there is one.
    """
    if config["qdrant_url"] is None:
        return None
    return options_of(config["qdrant_url"], config["collection"], settings, is_read_only=is_read_only)


def options_of(url: str, alias: str, settings: Settings, *, is_read_only: bool = False) -> ServerOptions:
    """The operator's settings for one collection."""
    key = (settings.qdrant_read_api_key if is_read_only else None) or settings.qdrant_api_key
    return ServerOptions(
        url=url,
        alias=alias,
        api_key=key.get_secret_value() if key else None,
        shards=settings.qdrant_shards,
        replicas=settings.qdrant_replicas,
        write_consistency=settings.qdrant_write_consistency,
        read_consistency=settings.qdrant_read_consistency,
        write_ordering=settings.qdrant_write_ordering,
        is_strict=settings.qdrant_is_strict,
        timeout_s=settings.qdrant_timeout_s,
        retries=settings.qdrant_retries,
        streams=settings.qdrant_streams,
        batch=settings.qdrant_batch,
        index_wait_s=settings.qdrant_index_wait_s,
    )
