"""How much quicker two processes train than one: an epoch of contrastive spatial pre-training.

    OMP_NUM_THREADS=1 python tests/benchmarks/train_processes.py --json train_processes.json

Every process has one thread. The processes wait in their places while the other way is measured, and both
ways must have the same weights after a first epoch. On a machine that is busy, or with fewer cores than
processes, two cannot be quicker; the control says how far the figures can be trusted.
"""

import argparse
import json
import multiprocessing
import os
import socket
import sys
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parent))

from turns import pin_threads, take_turns

from placeprint.encoders.csp_sampling import Pairs, epoch_batches
from placeprint.encoders.csp_settings import CspRun
from placeprint.encoders.csp_trainer import Split, Trainer
from placeprint.encoders.processes import ALONE, World, joined
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors

N_PROCESSES = 2
CLOSE = 1e-4
_WITHOUT_END = 100_000  # epochs: the rate of learning hardly changes while it is measured


@dataclass(frozen=True)
class Size:
    """What is trained."""

    pairs: int
    batch_size: int
    hidden: int

    def trainer(self, world: World = ALONE) -> Trainer:
        """Ready for its first step."""
        rng = np.random.default_rng(0)
        lonlat = uniform_on_sphere(self.pairs, rng)
        images = np.tanh(unit_vectors(lonlat) @ rng.normal(size=(3, 512))) + rng.normal(
            size=(self.pairs, 512)
        )
        pairs = Pairs(images.astype(np.float32), lonlat, np.arange(self.pairs).astype(str), "made-up")
        options = {"hidden": self.hidden, "dropout": 0.2}
        run = CspRun(
            batch_size=self.batch_size, n_random=self.batch_size, network_options=options,
            epochs=_WITHOUT_END, block_deg=10.0,
        )  # fmt: skip
        return Trainer(Split.of(pairs, run), run, world)


SIZES = (Size(4000, 256, 512), Size(4000, 1024, 2048))


def epoch(trainer: Trainer) -> None:
    """All steps of an epoch, without its evaluation."""
    trainer.model.train()
    n, size = len(trainer.train), trainer.run.batch_size
    for rows in epoch_batches(n, size, seed=0, epoch=trainer.progress.step // (n // size + 1)):
        trainer.step(rows)


def serve(orders: Connection, rank: int, port: int, size: Size) -> None:
    """One of the processes: an epoch at each order, until the orders end."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": N_PROCESSES, "LOCAL_WORLD_SIZE": N_PROCESSES}
    os.environ.update({name: str(value) for name, value in told.items()})
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with joined() as world:
        trainer = size.trainer(world)
        while orders.recv():
            epoch(trainer)
            orders.send({name: one.numpy() for name, one in trainer.model.state_dict().items()})


class Together:
    """The processes, waiting for orders."""

    def __init__(self, size: Size) -> None:
        context = multiprocessing.get_context("spawn")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._orders = []
        self._processes = []
        for rank in range(N_PROCESSES):
            mine, theirs = context.Pipe()
            self._orders.append(mine)
            self._processes.append(context.Process(target=serve, args=(theirs, rank, port, size)))
            self._processes[-1].start()
            theirs.close()

    def epoch(self) -> dict[str, np.ndarray]:
        """Train one epoch; the weights after it."""
        for one in self._orders:
            one.send(True)
        weights, *_ = [one.recv() for one in self._orders]
        return weights

    def close(self) -> None:
        """Let them end."""
        for one in self._orders:
            one.send(False)
        for process in self._processes:
            process.join(30.0)


def measure(size: Size, blocks: int) -> dict[str, object]:
    """Two processes beside one, with the largest difference of their weights after an epoch."""
    alone, together = size.trainer(), Together(size)
    try:
        epoch(alone)
        shared, apart = together.epoch(), 0.0
        for name, weights in alone.model.state_dict().items():
            length = max(float(weights.norm()), 1e-6)
            apart = max(apart, float(np.linalg.norm(weights.numpy() - shared[name])) / length)
        if apart > CLOSE:
            raise SystemExit(f"{size}: the weights differ by {apart:.2g} of their length after an epoch")
        turns = take_turns(together.epoch, {"one": lambda: epoch(alone)}, blocks=blocks)
    finally:
        together.close()
    found = turns.compare("one")
    return {**asdict(size), "weights_apart": apart, **asdict(found), "doubt": found.doubt}


def main() -> None:
    """Measure every size, print a table, write JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="file to write")
    options.add_argument("--blocks", type=int, default=12, help="of six turns each")
    options.add_argument("--sizes", type=int, default=len(SIZES), help="how many of them, smallest first")
    chosen = options.parse_args()
    pin_threads(1)
    rows = [measure(size, chosen.blocks) for size in SIZES[: chosen.sizes]]
    table = Table(title="An epoch in two processes beside one", title_justify="left")
    for title in ("batch", "hidden", "two, s", "one, s", "times quicker", "of minima", "control"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            f"{row['batch_size']}", f"{row['hidden']}", f"{row['ours_s']:.3f}", f"{row['theirs_s']:.3f}",
            f"{row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]", f"{row['ratio_of_minima']:.2f}",
            f"{row['control']:.3f}",
        )  # fmt: skip
    Console().print(table)
    if chosen.json is not None:
        told = {"load_average": os.getloadavg(), "cores": os.cpu_count(), "rows": rows}
        chosen.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
