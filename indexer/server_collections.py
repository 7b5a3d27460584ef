"""The collections of a gallery on a Qdrant server, of which an alias names the one in use.

They are numbered: ``trips-1a2b3c4d-1``, ``-2``, …. A new one is filled beside the one in use, then the alias
is moved in one step, so that a search finds the old or the new one, whole. What a process that was killed
leaves of others is removed by whoever opens the gallery to write. An early gallery has one collection of the
alias's own name, which goes when the first new one takes over.
"""

import re
import time
from typing import Any

from .server_calls import ServerCalls
from .server_options import MEMORY, ServerOptions
from .storage import Storage
from .store import ASKED_AT_ONCE, HNSW, INDEXES, QUANTILE, VECTOR, Kinds, VectorKind

MOST_WANTED = 100_000
"""Answers to one search; the evaluations ask for the most."""

LARGEST_BATCH = 256
MOST_INDEXES = 100
WIDEST_GRAPH_SEARCH = 1024
WIDEST_OVERSAMPLING = 16.0


class ServerCollections:
    """The collections behind one alias.

    Args:
        call: to the server.
        models: of the client, ``qdrant_client.models``.
        options: of the server.
    """

    def __init__(self, call: ServerCalls, models: Any, options: ServerOptions) -> None:
        self._call, self._models, self._options = call, models, options
        self._alias = options.alias

    def names(self) -> list[str]:
        """All there are of the gallery, oldest first."""
        found = [one.name for one in self._call("get_collections").collections]
        numbered = re.compile(re.escape(self._alias) + r"-(\d+)")
        matches = [match for name in found if (match := numbered.fullmatch(name))]
        ours = [match[0] for match in sorted(matches, key=lambda match: int(match[1]))]
        return ([self._alias] if self._alias in found else []) + ours

    @property
    def used(self) -> str | None:
        """Name of the one in use; None where there is none."""
        aliases = {one.alias_name: one.collection_name for one in self._call("get_aliases").aliases}
        if self._alias in aliases:
            return str(aliases[self._alias])
        return self._alias if self._alias in self.names() else None

    def make(self, kinds: Kinds, storage: Storage, *, is_filled_first: bool) -> str:
        """A new one, empty, with its payload indexes; its name.

        Args:
            kinds: of its vectors.
            storage: how it keeps them.
            is_filled_first: links nothing until `link` says that all is in.
        """
        names = self.names()
        last = max((int(name.rpartition("-")[2]) for name in names if name != self._alias), default=0)
        name = f"{self._alias}-{last + 1}"
        options, models = self._options, self._models
        graph = self._graph(storage)
        if not self._call("collection_exists", name):
            self._call(
                "create_collection",
                name,
                vectors_config={name: self._params(name, kind, storage) for name, kind in kinds.items()},
                hnsw_config=models.HnswConfigDiff(**graph | ({"m": 0} if is_filled_first else {})),
                shard_number=options.shards,
                replication_factor=options.replicas,
                write_consistency_factor=options.write_consistency,
                on_disk_payload=True,
                strict_mode_config=self._strict_mode(),
            )
        for key, kind in INDEXES.items():
            self.index(name, key, kind)
        return name

    def index(self, name: str, key: str, kind: str) -> None:
        """Index a payload field. The store in memory has no indexes and would only warn."""
        if self._options.url != MEMORY:
            self._call("create_payload_index", name, key, self._models.PayloadSchemaType(kind), wait=True)

    def link(self, name: str, storage: Storage) -> None:
        """Let the server link what was filled, and wait until it has, or for `index_wait_s`."""
        graph = self._models.HnswConfigDiff(**self._graph(storage))
        self._call("update_collection", name, hnsw_config=graph)
        end = time.monotonic() + self._options.index_wait_s
        while self._call("get_collection", name).status != self._models.CollectionStatus.GREEN:
            if time.monotonic() > end:
                return
            time.sleep(1.0)

    def configure(self, name: str, kinds: Kinds, storage: Storage) -> None:
        """Change how one keeps its vectors; the server builds its index anew by itself."""
        models = self._models
        changes = {
            name: models.VectorParamsDiff(
                quantization_config=self._quantization(name, kind, storage) or models.Disabled.DISABLED,
                on_disk=storage.vectors == "disk",
            )
            for name, kind in kinds.items()
        }
        graph = models.HnswConfigDiff(**self._graph(storage))
        self._call("update_collection", name, vectors_config=changes, hnsw_config=graph)

    def use(self, name: str) -> None:
        """From now on this one is in use; in one step, unless an early gallery's own name is in the way."""
        models = self._models
        before = self.used
        if before == self._alias:
            self._call("delete_collection", before)
        operations = []
        if before not in (None, self._alias):
            gone = models.DeleteAlias(alias_name=self._alias)
            operations.append(models.DeleteAliasOperation(delete_alias=gone))
        new = models.CreateAlias(collection_name=name, alias_name=self._alias)
        operations.append(models.CreateAliasOperation(create_alias=new))
        self._call("update_collection_aliases", change_aliases_operations=operations)

    def clear_others(self) -> None:
        """Remove all but the one in use."""
        used = self.used
        for name in self.names():
            if name != used:
                self._call("delete_collection", name)

    def drop(self) -> None:
        """Remove all, and the alias."""
        if self.used not in (None, self._alias):
            gone = self._models.DeleteAlias(alias_name=self._alias)
            operations = [self._models.DeleteAliasOperation(delete_alias=gone)]
            self._call("update_collection_aliases", change_aliases_operations=operations)
        for name in self.names():
            self._call("delete_collection", name)

    def _params(self, name: str, kind: VectorKind, storage: Storage) -> Any:
        return self._models.VectorParams(
            size=kind.dimension,
            distance=self._models.Distance.COSINE,
            quantization_config=self._quantization(name, kind, storage),
            on_disk=storage.vectors == "disk",
        )

    def _quantization(self, name: str, kind: VectorKind, storage: Storage) -> Any:
        models = self._models
        wanted = storage.quantization if name == VECTOR else "int8" if kind.is_quantized else "none"
        if wanted == "int8":
            scalar = models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True
            )
            return models.ScalarQuantization(scalar=scalar)
        if wanted == "binary":
            return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
        return None

    @staticmethod
    def _graph(storage: Storage) -> dict[str, Any]:
        return {**HNSW, "on_disk": storage.graph == "disk"}

    def _strict_mode(self) -> Any:
        """A forgotten index becomes an error and not a slow query; exact search must stay allowed."""
        if not self._options.is_strict:
            return None
        return self._models.StrictModeConfig(
            enabled=True,
            search_allow_exact=True,
            unindexed_filtering_retrieve=False,
            unindexed_filtering_update=False,
            max_query_limit=MOST_WANTED,
            max_timeout=self._options.timeout_s,
            search_max_hnsw_ef=WIDEST_GRAPH_SEARCH,
            search_max_oversampling=WIDEST_OVERSAMPLING,
            search_max_batchsize=ASKED_AT_ONCE,
            upsert_max_batchsize=max(LARGEST_BATCH, self._options.batch),
            max_payload_index_count=MOST_INDEXES,
        )
