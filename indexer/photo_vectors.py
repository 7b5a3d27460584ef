"""What other encoders say of a gallery's photos: the verbs of `Gallery.vectors`.

The files are those of `named_vectors`; what is committed here is in their ledgers first, then in the
store. A search compares them with `Gallery.nearest(using=NAME)`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.errors import FingerprintMismatch, UnknownVector
from ..encoders.fingerprint import Fingerprint
from .admission import unit_vector
from .index import Index
from .ledger import Ledger
from .named_vectors import NamedVectors, VectorCard
from .record import Record
from .store import VECTOR


class PhotoVectors:
    """The named vectors of an open gallery.

    Args:
        gallery: its name, for messages.
        own: the encoder of the gallery's own vectors, ``image``.
        named: the files.
        index: of the gallery.
        require_writable: raises where the gallery may not be changed; called before each change.
    """

    def __init__(
        self,
        gallery: str,
        own: Fingerprint,
        named: NamedVectors,
        index: Index,
        *,
        require_writable: Callable[[], None],
    ) -> None:
        self._gallery = gallery
        self._own = own
        self._named = named
        self._index = index
        self._require_writable = require_writable

    @property
    def cards(self) -> Mapping[str, VectorCard]:
        """What there is, by name."""
        return MappingProxyType(self._named.cards)

    def card(self, name: str) -> VectorCard:
        """What the vectors of a name are.

        Raises:
            UnknownVector: there are none of that name.
        """
        if name not in self._named.cards:
            known = ", ".join([VECTOR, *self._named.cards])
            raise UnknownVector(f"gallery {self._gallery!r} has no vectors {name!r}; there are {known}")
        return self._named.cards[name]

    def ledger(self, name: str) -> Ledger:
        """The ledger of the vectors of a name, to be read.

        Raises:
            UnknownVector: there are none of that name.
        """
        return self._named.ledgers[self.card(name).name]

    def fingerprint(self, name: str) -> Fingerprint:
        """The encoder of the vectors of a name; of the gallery's own for ``image``.

        Raises:
            UnknownVector: there are none of that name.
        """
        return self._own if name == VECTOR else self.card(name).fingerprint

    def check(self, fingerprint: Fingerprint, name: str) -> None:
        """See that an encoder is the one of the vectors of a name, or of the gallery's own, ``image``.

        Raises:
            FingerprintMismatch: it is another, or has other weights or preprocessing.
            UnknownVector: there are none of that name.
        """
        ours = self.fingerprint(name)
        if fingerprint.id == ours.id:
            return
        if name == VECTOR:
            raise FingerprintMismatch(
                f"gallery {self._gallery!r} was built by encoder {ours.name} ({ours.id}), not by "
                f"{fingerprint.name} ({fingerprint.id}): their embeddings cannot be compared. Use "
                f"--encoder {ours.name!r} with the same weights, or index into another gallery"
            )
        raise FingerprintMismatch(
            f"the vectors {name!r} of gallery {self._gallery!r} are by encoder {ours.name} ({ours.id}), not "
            f"by {fingerprint.name} ({fingerprint.id}): their embeddings cannot be compared. Use that "
            f"encoder, or have them made anew"
        )

    def begin(self, card: VectorCard) -> None:
        """Make room for what another encoder says of the photos, under a name; or note its card anew.

        The vector store is made anew where its shape changes, while questions go on.

        Raises:
            FingerprintMismatch: there are vectors of that name by another encoder.
            InvalidOption: a name that cannot be.
        """
        self._require_writable()
        with self._index.writing:
            before = self._named.cards.get(card.name)
            if before is not None:
                self.check(card.fingerprint, card.name)
            self._named.keep(card)
        if before is None or before.is_quantized != card.is_quantized:
            self._index.renew()

    def add(
        self, name: str, sha256s: Sequence[str], embeddings: ArrayLike, *, said: Sequence[str] = ()
    ) -> None:
        """Commit what another encoder says of photos. On return it is durable and found.

        Args:
            name: of the vectors, as `begin` was told.
            sha256s: of the photos' bytes; they may be known or not.
            embeddings: (n, D), of any length but 0.
            said: for each, a mark of what the encoder looked at, by which `marks` tells that it has
                changed; none by default.

        Raises:
            UnknownVector: there are no vectors of that name.
            ValueError: an embedding of another dimension, not finite, or zero.
        """
        self._require_writable()
        dimension = self.card(name).fingerprint.dimension
        marks = said or [""] * len(sha256s)
        rows = [
            Record(
                key=sha256, status="embedded", sha256=sha256, said=mark,
                embedding=unit_vector(embedding, dimension),
            )
            for sha256, mark, embedding in zip(sha256s, marks, np.asarray(embeddings), strict=True)
        ]  # fmt: skip
        if rows:
            self._index.append_named(name, rows)

    def remove(self, name: str, sha256s: Iterable[str]) -> None:
        """Take the vectors of a name away from photos; the photos stay.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        self._require_writable()
        self.card(name)
        known = self._named.state(name).entries
        rows = [Record(key=sha256, status="removed", sha256=sha256) for sha256 in sha256s if sha256 in known]
        if rows:
            self._index.append_named(name, rows)

    def end(self, name: str) -> None:
        """Forget the vectors of a name.

        Raises:
            UnknownVector: there are none.
        """
        self._require_writable()
        self.card(name)
        with self._index.writing:
            self._named.remove(name)
        self._index.renew()

    def marks(self, name: str) -> dict[str, str]:
        """What was told with the vectors of a name, by the hash of each photo that has one.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        self.card(name)
        entries = self._named.state(name).entries
        return {sha256: entry.said for sha256, entry in entries.items() if entry.is_live}

    def lacking(self, name: str) -> list[str]:
        """Ids of the photos in the gallery that have no vector of a name.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        self.card(name)
        state, known = self._index.state, self._named.state(name).keys
        return [id for id in state.live if id in state.embedded_at and not known.get(id)]

    def having(self, name: str, ids: Iterable[str]) -> list[str]:
        """Those of some photos that have a vector of a name, in the order asked.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        self.card(name)
        known = self._named.state(name).keys
        return [id for id in ids if known.get(id)]

    def embeddings(self, name: str, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of a name of some photos, as the ledger has them: (n, D).

        Raises:
            KeyError: for an id that has none.
            UnknownVector: there are no vectors of that name.
        """
        embedded_at = self._named.state(self.card(name).name).embedded_at
        return self.ledger(name).embeddings([embedded_at[id] for id in ids])
