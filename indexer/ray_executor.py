"""Chunks of photos embedded on a Ray cluster: an actor per core or GPU, restarted when it is lost.

Ray is the runner of tasks and no more. What was committed is in the ledger, whatever becomes of the
cluster; a chunk whose worker is lost is done again, by the actor that takes its place or by another. The
photos' files and the encoder's weights must be at the same paths on every node, and so must this package.

It is an optional dependency: ``pip install placeprint[ray]``.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.decoding import DecodePool
from ..encoders.errors import FingerprintMismatch, InvalidOption, PlaceprintError
from ..encoders.fingerprint import Fingerprint
from . import chunks
from .chunks import Chunk, decode_item
from .listing import Item
from .record import Record
from .state import State

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder

RETRIES = 3  # of a chunk whose worker is lost; then the chunk itself is to blame
WINDOW = 4  # chunks per actor that may be done before one that is not

Hashes = NDArray[np.uint64]  # (n,), sorted: the first 64 bits of SHA-256s


class RayExecutor:
    """Sends chunks to actors of a Ray cluster.

    Args:
        load: makes the encoder in each actor.
        fingerprint: what it must be.
        address: of the cluster; ``local`` starts one on this machine, ``auto`` finds the one there is.
        actors: how many; by default one for each GPU of the cluster, or for each core where there is none.
        decoders: processes that decode beside each actor.

    Raises:
        InvalidOption: Ray is not installed.
        PlaceprintError: there is no cluster at the address.
    """

    def __init__(
        self,
        load: "Callable[[], ImageEncoder]",
        fingerprint: Fingerprint,
        *,
        address: str = "local",
        actors: int | None = None,
        decoders: int = 1,
    ) -> None:
        self._load = load
        self._fingerprint = fingerprint
        self._address = address
        self._actors = actors
        self._decoders = decoders

    def run(self, items: Iterable[Item], state: State, *, undelete: bool) -> Iterator[list[Record]]:
        """See `executors.Executor.run`."""
        ray = _ray()
        is_ours = not ray.is_initialized()
        if is_ours:
            self._connect(ray)
        actors: list[Any] = []
        try:
            gpus = float(ray.cluster_resources().get("GPU", 0))
            cores = int(ray.cluster_resources().get("CPU", 1))
            n_actors = self._actors or int(gpus) or cores
            kind = ray.remote(_Worker).options(
                num_cpus=min(1.0, cores / n_actors), num_gpus=min(1.0, gpus / n_actors),
                max_restarts=-1, max_task_retries=RETRIES,
            )  # fmt: skip
            actors = [kind.remote(self._load, self._fingerprint, self._decoders) for _ in range(n_actors)]
            known = ray.put(known_hashes(state, undelete=undelete))
            yield from _in_order(ray, actors, items, known)
        finally:
            for actor in actors:
                ray.kill(actor)
            if is_ours:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        try:
            ray.init(
                address=None if self._address == "local" else self._address,
                include_dashboard=False if self._address == "local" else None,
                log_to_driver=False, logging_level="ERROR",
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise PlaceprintError(
                f"--ray-address {self._address}: no Ray cluster answers there ({error}). Start one with `ray "
                "start --head`, or leave the address out to run on this machine alone"
            ) from None


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise InvalidOption(
            "--executor ray: Ray is not installed; pip install 'placeprint[ray]', on every node"
        ) from None
    return ray


def _in_order(ray: Any, actors: list[Any], items: Iterable[Item], known: Any) -> Iterator[list[Record]]:
    """Rows of all chunks, in the order of the items, whichever is done first.

    An actor has one chunk at a time: when it is lost, it is plain which chunk it was lost over.
    """
    remaining = iter(items)
    idle = list(actors)
    running: dict[Any, tuple[int, Any, list[Item]]] = {}  # result to come -> number, actor, chunk
    done: dict[int, list[Record]] = {}
    following, number = 0, 0  # the chunk to give next, and the one to send next
    while True:
        while idle and number - following < WINDOW * len(actors):
            chunk = list(islice(remaining, chunks.COMMIT))
            if not chunk:
                break
            actor = idle.pop()
            running[actor.rows.remote(chunk, known)] = number, actor, chunk
            number += 1
        if not running:
            return
        for result in ray.wait(list(running), num_returns=1)[0]:
            one, actor, chunk = running.pop(result)
            idle.append(actor)
            done[one] = _got(ray, result, chunk)
        while following in done:
            yield done.pop(following)
            following += 1


def _got(ray: Any, result: Any, asked: list[Item]) -> list[Record]:
    try:
        rows: list[Record] = ray.get(result)
        return rows
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise PlaceprintError(
            f"the {len(asked)} photos from {asked[0].key} to {asked[-1].key}: {RETRIES + 1} workers were "
            f"lost over them ({type(error).__name__}). What was done is kept. If a worker has too little "
            "memory, give it more, or start fewer of them with --ray-actors; then type the same command again"
        ) from None


class _Worker:
    """What runs in an actor: an encoder, and processes that decode for it."""

    def __init__(self, load: "Callable[[], ImageEncoder]", fingerprint: Fingerprint, decoders: int) -> None:
        self._load = load
        self._fingerprint = fingerprint
        self._decoders = decoders
        self._ready: tuple[ImageEncoder, DecodePool] | None = None

    def rows(self, items: list[Item], known: Hashes) -> list[Record]:
        """Rows of one chunk."""
        encoder, pool = self._ready or self._begin()
        chunk = Chunk(encoder, lambda sha256: is_among(sha256, known))
        for photo in pool.map(lambda item: decode_item(pool, item), items):
            chunk.take(photo)
        return chunk.finished()

    def _begin(self) -> "tuple[ImageEncoder, DecodePool]":
        """With the first chunk, whose answer can carry what is wrong back to who asked."""
        encoder = self._load()
        if encoder.fingerprint.id != self._fingerprint.id:
            raise FingerprintMismatch(
                f"the encoder of a worker on {os.uname().nodename} is {encoder.fingerprint.id}, the "
                f"gallery's {self._fingerprint.id}: put the same weights and the same release on every node"
            )
        self._ready = encoder, DecodePool(encoder.preprocessing, workers=self._decoders)
        return self._ready


def known_hashes(state: State, *, undelete: bool) -> Hashes:
    """What workers need not embed, small enough to be sent to all of them: 8 bytes a photo.

    That any two of a hundred million photos agree in so many bits has a chance of one in four thousand. A
    photo taken for another so is left out, until a run on one machine, which asks the ledger, takes it up.
    """
    found = [int(sha256[:16], 16) for sha256 in state.known_sha256s(undelete=undelete)]
    return np.sort(np.array(found, np.uint64))


def is_among(sha256: str, known: Hashes) -> bool:
    """Whether a hash begins as one of these."""
    wanted = np.uint64(int(sha256[:16], 16))
    place = int(np.searchsorted(known, wanted))
    return place < len(known) and bool(known[place] == wanted)
