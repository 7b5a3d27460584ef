"""Embeddings of a gallery's photos by other encoders, each under a name: ``vectors/NAME/`` in its folder.

A photo may be looked at in several ways: by what it shows, by the map around it, by what tells one street
corner from the next. The first is the gallery's own encoder and every photo has it; the others are named
vectors, which photos may lack. Each has a card, ``vector.json``, and a ledger of its own, whose rows are
photos by their bytes' hash; the vector store follows it as it follows the gallery's.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..encoders.errors import DamagedGallery, InvalidOption
from ..encoders.fingerprint import Fingerprint
from .durable import make_folder, sync_folder, write_atomically
from .kept_state import KeptState
from .ledger import Ledger
from .state import State
from .store import VECTOR, Kinds, VectorKind

VECTORS = "vectors"
CARD = "vector.json"
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class VectorCard:
    """What a named vector is.

    Attributes:
        name: of the vector.
        fingerprint: of its encoder.
        encoder: what loads it again.
        weights: local file of its weights, if it came from one.
        is_quantized: see `store.VectorKind`.
        facts: what else its maker wants to know again, JSON.
    """

    name: str
    fingerprint: Fingerprint
    encoder: str
    weights: str | None = None
    is_quantized: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


class NamedVectors:
    """The named vectors in a gallery's folder.

    Args:
        folder: of the gallery.
        is_read_only: touch nothing.
    """

    def __init__(self, folder: Path, *, is_read_only: bool = False) -> None:
        self._folder = folder / VECTORS
        self._is_read_only = is_read_only
        self.cards: dict[str, VectorCard] = {}
        self.ledgers: dict[str, Ledger] = {}
        self._states: dict[str, KeptState] = {}
        for path in sorted(self._folder.glob(f"*/{CARD}")):
            self._take(_read_card(path))

    def _take(self, card: VectorCard) -> None:
        self.cards[card.name] = card
        self.ledgers[card.name] = Ledger(
            self._folder / card.name / "ledger",
            fingerprint=card.fingerprint.id,
            dimension=card.fingerprint.dimension,
            is_read_only=self._is_read_only,
        )

    @property
    def kinds(self) -> Kinds:
        """What the store must know of them."""
        return {
            name: VectorKind(card.fingerprint.dimension, card.is_quantized)
            for name, card in self.cards.items()
        }

    @property
    def lasts(self) -> dict[str, int]:
        """Number of the last shard of each name."""
        return {name: len(ledger) for name, ledger in self.ledgers.items()}

    def state(self, name: str) -> State:
        """What the ledger of a name comes to; read on first use, then kept in step by who appends."""
        return self.kept_state(name).state

    def kept_state(self, name: str) -> KeptState:
        """The state of a name with its file."""
        if name not in self._states:
            self._states[name] = KeptState(
                self.ledgers[name], self._folder / name, is_read_only=self._is_read_only
            )
        return self._states[name]

    def renew_states(self) -> None:
        """Take the ledgers for what they are now: rows were emptied."""
        for name in self.cards:
            self.kept_state(name).renew()

    def close(self) -> None:
        """Let go of the states' files."""
        for kept in self._states.values():
            kept.close()

    def keep(self, card: VectorCard) -> None:
        """Begin a named vector, or note what has changed of it.

        Raises:
            InvalidOption: a name of no use.
        """
        if not NAME.fullmatch(card.name) or card.name == VECTOR:
            raise InvalidOption(
                f"{card.name!r} cannot name a vector: up to 31 lower-case letters, digits and _, beginning "
                f"with a letter, and not {VECTOR!r}, which is the gallery's own"
            )
        folder = self._folder / card.name
        make_folder(folder)
        content = json.dumps({"format": FORMAT, **asdict(card)}, indent=1, ensure_ascii=False)
        write_atomically(folder / CARD, content)
        if self.cards.get(card.name) != card:
            self._states.pop(card.name, None)
            self._take(card)

    def remove(self, name: str) -> None:
        """Forget a named vector and all its embeddings."""
        # The card goes first: what a kill leaves behind is no named vector any more.
        (self._folder / name / CARD).unlink(missing_ok=True)
        sync_folder(self._folder / name)
        if name in self._states:
            self._states[name].close()
        shutil.rmtree(self._folder / name, ignore_errors=True)
        for known in (self.cards, self.ledgers, self._states):
            known.pop(name, None)


def _read_card(path: Path) -> VectorCard:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told.pop("format") != FORMAT:
            raise ValueError("made by another version of Placeprint")
        card = VectorCard(**{**told, "fingerprint": Fingerprint(**told["fingerprint"])})
        if card.name != path.parent.name:
            raise ValueError(f"it names {card.name!r}")
        return card
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedGallery(
            f"{path}: cannot be read ({error}). It says which encoder made these embeddings; move "
            f"{path.parent} away, and have them made again"
        ) from None
