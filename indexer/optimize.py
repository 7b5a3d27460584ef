"""The child process that builds a search index: ``python -m placeprint.indexer.optimize FOLDER HOW``.

Qdrant Edge keeps Python's interpreter lock while it builds, so that in the serving process no
query would be answered for seconds or minutes. `order` makes HOW, JSON that says how the vectors are kept.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from .edge_store import EdgeStore
from .storage import Storage
from .store import Kinds, VectorKind


def order(folder: Path, kinds: Kinds, storage: Storage) -> list[str]:
    """The command of the child.

    Args:
        folder: of a generation that nobody has open.
        kinds: of its vectors.
        storage: how they are to be kept from now on.
    """
    how = {"kinds": {name: asdict(kind) for name, kind in kinds.items()}, "storage": asdict(storage)}
    return [sys.executable, "-P", "-m", "placeprint.indexer.optimize", str(folder), json.dumps(how)]


def _optimize(folder: Path, how: str) -> None:
    told = json.loads(how)
    kinds = {name: VectorKind(**kind) for name, kind in told["kinds"].items()}
    store = EdgeStore(folder, kinds, storage=Storage(**told["storage"]))
    store.optimize()
    store.flush()
    store.close()


if __name__ == "__main__":
    _optimize(Path(sys.argv[1]), sys.argv[2])
