"""The verbs of the service: serve, and keys for those who may ask it."""

import errno
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .exits import WRONG_USAGE, fail
from .options import AsJson

KeysFile = Annotated[
    Path | None, typer.Option(envvar="PLACEPRINT_KEYS_FILE", help="By default keys.json in the home.")
]

keys_app = typer.Typer(no_args_is_help=True, help="Keys for those who may ask the service.")


def serve(
    gallery: Annotated[
        list[str] | None, typer.Option("--gallery", "-g", help="Several times for several; by default all.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="8000 by default; 0 for any that is free.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
) -> None:
    """Serve galleries over HTTP, with a web page; PLACEPRINT_PRECISION caps what is told of places.

    Example: placeprint serve --gallery trips
    """
    from .serving.service_settings import InvalidSettings, read_settings

    options: dict[str, Any] = {"galleries": gallery, "host": host, "port": port}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = read_settings(config, **given)
        _require_free(settings.host, settings.port)
        from .app import run_server  # loads torch, which takes seconds

        run_server(config, **given)
    except InvalidSettings as error:
        fail(str(error), WRONG_USAGE)


def _require_free(host: str, port: int) -> None:
    """See that nobody else listens there, before models are loaded."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                fail(f"port {port} is taken by another program; choose one with --port N, or --port 0")
            fail(f"cannot listen at {host} port {port}: {error.strerror}; choose others with --host, --port")


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        Literal["read", "write", "admin"],
        typer.Option(help="read: ask. write: and add and delete photos. admin: everything."),
    ] = "read",
    keys_file: KeysFile = None,
) -> None:
    """Make a key and show it, this once.

    Example: placeprint keys create museum --scope read
    """
    made = _ring(keys_file).create(name, scope)
    typer.echo(made)
    typer.echo(f"the key of {name}, for {scope}; it is kept nowhere, so copy it now", err=True)


@keys_app.command("list")
def list_keys(keys_file: KeysFile = None, as_json: AsJson = False) -> None:
    """List the keys; of each its name, its scope and when it was made."""
    from . import console

    for key in _ring(keys_file).keys:
        if as_json:
            console.say("key", name=key.name, scope=key.scope, created_at=key.created_at)
        else:
            typer.echo(f"{key.name}: {key.scope}, made {key.created_at}")


@keys_app.command("revoke")
def revoke_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")], keys_file: KeysFile = None
) -> None:
    """Take a key away. A service that runs notices at once."""
    _ring(keys_file).revoke(name)
    typer.echo(f"the key of {name} is not valid any more")


def _ring(keys_file: Path | None) -> Any:
    from ..indexer.settings import Settings
    from .serving.keys import KeyRing

    return KeyRing(keys_file or Settings().home / "keys.json")
