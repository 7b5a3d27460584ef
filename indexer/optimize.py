"""The child process that builds a search index: ``python -m placeprint.indexer.optimize FOLDER``.

Qdrant Edge keeps Python's interpreter lock while it builds, so that in the serving process no
query would be answered for seconds or minutes.
"""

import sys
from pathlib import Path

from .edge_store import EdgeStore

if __name__ == "__main__":
    store = EdgeStore(Path(sys.argv[1]))
    store.optimize()
    store.flush()
    store.close()
