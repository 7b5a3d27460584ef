"""The identity of an encoder, which goes with every embedding it makes."""

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What made an embedding. Two embeddings may be compared only if theirs are equal."""

    name: str
    weights_sha256: str  # over names, types, shapes and bytes of all tensors
    preprocessing: str
    dimension: int
    normalization: str = "l2"
    architecture: str = ""  # backend, model and its options: equal weights may be run differently

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that stand for all of it but the name."""
        identity = {key: value for key, value in asdict(self).items() if key != "name"}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
