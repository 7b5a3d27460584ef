"""How a gallery's store keeps vectors: as they are or smaller, in memory or on disk.

The choice stands in ``gallery.json`` under ``storage``; a gallery without one, such as an early one, has
none, and then the number of photos decides when the search index is built. Smaller vectors are for the
search only: the originals stay beside them, and the best are compared again as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ..encoders.errors import InvalidOption

Quantization = Literal["none", "int8", "binary"]
Place = Literal["memory", "disk"]

INT8_ABOVE = 50_000
"""Photos; above, vectors are searched as bytes unless something else was chosen."""

OVERSAMPLING: Mapping[str, float] = {"none": 3.0, "int8": 3.0, "binary": 8.0}
"""How many times as many quantized vectors are found as are wanted, and compared again as they are.

Also for vectors that are kept as they are, because named vectors in the same store may be bytes.
"""


def _require_one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidOption(f"{what}: {value!r} is not one of {', '.join(known)}")


@dataclass(frozen=True)
class Storage:
    """A gallery's choice.

    Attributes:
        quantization: how its own vectors are searched: as they are, a byte or a bit per number; None
            leaves it to the number of photos.
        vectors: where the originals lie; on disk they are read when they are compared, and the memory
            that the system keeps of them is what it can spare.
        graph: where the links of the search index lie.
    """

    quantization: Quantization | None = None
    vectors: Place = "memory"
    graph: Place = "memory"

    def __post_init__(self) -> None:
        if self.quantization is not None:
            _require_one_of("quantization", self.quantization, get_args(Quantization))
        _require_one_of("vectors", self.vectors, get_args(Place))
        _require_one_of("graph", self.graph, get_args(Place))

    def resolved(self, n_photos: int) -> "Storage":
        """The same with the quantization that so many photos get where none was chosen."""
        if self.quantization is not None:
            return self
        return Storage("int8" if n_photos > INT8_ABOVE else "none", self.vectors, self.graph)

    @property
    def oversampling(self) -> float:
        """See `OVERSAMPLING`."""
        return OVERSAMPLING[self.quantization or "none"]

    def __str__(self) -> str:
        words = {"none": "vectors as they are", "int8": "vectors as bytes", "binary": "vectors as bits"}
        said = [words[self.quantization] if self.quantization else "vectors as their number decides"]
        said += ["originals on disk"] if self.vectors == "disk" else []
        said += ["graph on disk"] if self.graph == "disk" else []
        return ", ".join(said)


AUTOMATIC = Storage()


def chosen(
    before: Storage, *, quantization: str | None = None, vectors: str | None = None, graph: str | None = None
) -> Storage:
    """A choice with some words changed; ``auto`` leaves the quantization to the number of photos.

    Raises:
        InvalidOption: a word that means nothing.
    """
    if quantization is not None:
        _require_one_of("quantization", quantization, ("auto", *get_args(Quantization)))
    told = {"quantization": quantization, "vectors": vectors, "graph": graph}
    changes: dict[str, Any] = {key: word for key, word in told.items() if word is not None}
    if quantization == "auto":
        changes["quantization"] = None
    return replace(before, **changes)


def storage_of(config: Mapping[str, Any]) -> Storage:
    """The choice in ``gallery.json``; `AUTOMATIC` where none was made.

    Raises:
        ValueError, TypeError: it is none that is known here.
    """
    return Storage(**config.get("storage", {}))
