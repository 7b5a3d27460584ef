"""Keys: who may ask for what. Only their hashes are kept.

A key is 32 random bytes, so that its plain SHA-256 cannot be guessed back; it is shown once, when it
is made. Taking one away works at once, also while the service runs: the file is read again when it
has changed.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ...encoders.errors import PlaceprintError
from ...indexer.durable import write_atomically

Scope: TypeAlias = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""Each may do what those before it may."""

PREFIX = "pp_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")


class InvalidKeys(PlaceprintError):
    """A file of keys that cannot be read, or a key that cannot be made or taken away."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is kept of a key."""

    name: str
    scope: Scope
    sha256: str
    created_at: str

    def may(self, scope: Scope) -> bool:
        """Whether it covers a scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class KeyRing:
    """The keys of a file, read again when it changes.

    Args:
        path: of the file; there are no keys while it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._keys: list[Key] = []

    @property
    def keys(self) -> list[Key]:
        """All keys there are now.

        Raises:
            InvalidKeys: the file is damaged.
        """
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._keys = None, []
            return []
        if (now := (stat.st_mtime_ns, stat.st_ino)) != self._seen:
            self._keys = _read(self._path)
            self._seen = now
        return self._keys

    @property
    def exists(self) -> bool:
        """Whether there is a file of keys, be there any in it or not."""
        return self._path.exists()

    def find(self, given: str) -> Key | None:
        """The key that a caller shows; None where there is no such key.

        All are compared, each in constant time, so that the time taken tells nothing.
        """
        digest = _digest(given)
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def create(self, name: str, scope: Scope) -> str:
        """Make a key and keep its hash.

        Returns:
            The key, which is nowhere else.

        Raises:
            InvalidKeys: the name is taken or not allowed.
        """
        if not _NAME.fullmatch(name):
            raise InvalidKeys(
                f"{name!r} cannot name a key: 1 to 63 letters, digits, and . _ - @, "
                "beginning with a letter or digit"
            )
        if any(key.name == name for key in self.keys):
            raise InvalidKeys(f"there is a key {name!r} already; revoke it first, or take another name")
        made = PREFIX + secrets.token_urlsafe(32)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write([*self.keys, Key(name=name, scope=scope, sha256=_digest(made), created_at=now)])
        return made

    def revoke(self, name: str) -> None:
        """Take a key away.

        Raises:
            InvalidKeys: there is none of that name.
        """
        left = [key for key in self.keys if key.name != name]
        if len(left) == len(self.keys):
            known = ", ".join(key.name for key in self.keys) or "none"
            raise InvalidKeys(f"no key {name!r}; there are: {known}")
        self._write(left)

    def _write(self, keys: list[Key]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            self._path, json.dumps({"format": 1, "keys": [asdict(key) for key in keys]}, indent=1)
        )
        os.chmod(self._path, 0o600)
        self._seen = None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _read(path: Path) -> list[Key]:
    try:
        keys = [Key(**key) for key in json.loads(path.read_text())["keys"]]
        if any(key.scope not in SCOPES or len(key.sha256) != 64 for key in keys):
            raise ValueError
    except OSError as error:
        raise InvalidKeys(f"{path}: the file of keys cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError):
        raise InvalidKeys(
            f"{path}: the file of keys is damaged; bring it back, or make the keys anew"
        ) from None
    return keys
