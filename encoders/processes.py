"""Training in several processes, which `torchrun` starts, with the result of one.

Every process draws the same batch from the same seed. The work from inputs to embeddings is divided: each
process embeds its part of the rows, and the embeddings are gathered with their gradients. What comes after
them (losses between the pairs of a batch, its statistics, heads) all processes compute alike, of the whole
batch. So a step does not depend on the number of processes, but for rounding.

That gradients are averaged makes them whole: the gradient of what was gathered reaches one's own rows times
the number of processes, so the mean over processes is the sum over rows for weights that only some rows went
through here, and the same number for weights that every process used alike.

Letters: n rows of a whole batch.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InvalidOption, PlaceprintError

TIMEOUT_S = 7200.0
"""How long processes wait for one another: longer than what the first does alone, such as reading photos.

A process that has ended is noticed at once; this is for one that stands still.
"""

_SET_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
T = TypeVar("T")


@dataclass
class World:
    """The processes of a training, seen from one of them. By default it is alone, and nothing is exchanged.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0.
        divided_rows: while a part of a batch is computed, n and the part.
        is_apart: while the first process does something that the others wait for.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    divided_rows: tuple[int, slice] | None = None
    is_apart: bool = False

    @property
    def is_alone(self) -> bool:
        """Whether all that is to be done is for this process to do."""
        return self.size == 1 or self.is_apart

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, evaluates and reports."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process: its own where only ``cuda`` is asked for."""
        return f"cuda:{self.local_rank}" if name == "cuda" and self.size > 1 else name

    # --- a batch, divided -------------------------------------------------------------------------

    def part(self, n: int) -> slice:
        """This process's rows of n; parts differ by one row at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def require_rows(self, n: int) -> None:
        """See that the smallest batch of a run, of n rows, has work for every process.

        Raises:
            InvalidOption: it has not.
        """
        if n < self.size:
            raise InvalidOption(
                f"a batch of {n} cannot be divided among {self.size} processes: start at most {n} "
                "(torchrun --nproc-per-node), or take a larger batch"
            )

    def divided(self, compute: Callable[[slice], Tensor], n: int) -> Tensor:
        """Compute rows that do not depend on one another, each process its part, and gather them.

        Args:
            compute: from a slice of rows to their results, (rows, ...). What it is given must not have
                been gathered with a gradient before. It draws noise by modules of `share_noise` only.
            n: rows of all processes.

        Returns:
            The results of all rows, (n, ...).
        """
        if self.is_alone or n < self.size:
            return compute(slice(0, n))
        part = self.part(n)
        self.divided_rows = (n, part)
        try:
            mine = compute(part)
        finally:
            self.divided_rows = None
        return self.gathered(mine, n)

    def gathered(self, mine: Tensor, n: int) -> Tensor:
        """Rows of all processes in order, with a gradient: one's `part` of them -> (n, ...)."""
        if self.is_alone:
            return mine
        found: Tensor = _Gathered.apply(mine, n, self)
        return found

    def total(self, mine: Tensor) -> Tensor:
        """Sum over processes, with a gradient: any shape -> the same."""
        return mine if self.is_alone else self.gathered(mine[None], self.size).sum(dim=0)

    def share_noise(self, model: nn.Module) -> None:
        """Let a model's dropout draw for the whole batch, so that it draws what one process would.

        Raises:
            InvalidOption: the model normalizes over rows of a batch, of which a process sees a part.
        """
        if self.size == 1:
            return
        for module in list(model.modules()):
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                raise InvalidOption(
                    f"{type(module).__name__} normalizes over the whole batch, of which each process sees a "
                    "part: train in one process, without torchrun, or choose a network without it"
                )
            for name, child in module.named_children():
                if type(child) is nn.Dropout:
                    setattr(module, name, _SharedDropout(child.p, self))

    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Replace the gradients of all weights that it moves by their means over the processes."""
        if self.size == 1:
            return
        weights = [one for group in optimizer.param_groups for one in group["params"]]
        gradients = [one.grad for one in weights if one.grad is not None]
        if not gradients:
            return
        flat = torch.cat([one.reshape(-1) for one in gradients])
        _add_up(flat)
        flat /= self.size
        means = torch.split(flat, [one.numel() for one in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    # --- what is not divided ----------------------------------------------------------------------

    def first(self, work: Callable[[], T]) -> T:
        """Let the first process do something while the others wait; all get what came of it.

        Raises:
            PlaceprintError: in the others, that it did not succeed; in the first whatever `work` raised.
        """
        if self.is_alone:
            return work()
        if not self.is_first:
            answer, error = _told((None, None))
            if error is not None:
                raise PlaceprintError(f"the first process ended: {error}")
            return answer  # type: ignore[no-any-return]
        self.is_apart = True
        try:
            answer = work()
        except Exception as error:
            with suppress(PlaceprintError):  # the others may be what it lacks
                _told((None, str(error)))
            raise
        finally:
            self.is_apart = False
        _told((answer, None))
        return answer

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do something in every process, one after the other, as with a gallery that only one may open."""
        if self.size == 1:
            return work()
        for rank in range(self.size):
            if rank == self.rank:
                answer = work()
            _add_up(torch.zeros(1))
        return answer

    def require_same(self, value: object, what: str) -> None:
        """See that this process has what the first has.

        Raises:
            PlaceprintError: it has not.
        """
        if self.first(lambda: value) != value:
            raise PlaceprintError(
                f"process {self.rank} has another {what} than the first: all must see the same files, "
                "on one machine or on a file system that their machines share"
            )


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Meet the other processes that `torchrun` started, if it did; else one is alone.

    Inside another `joined` of the same process it gives the same processes.

    Raises:
        PlaceprintError: the environment is not torchrun's, or the others cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size == 1:
        yield ALONE
        return
    from torch import distributed

    missing = [name for name in _SET_BY_TORCHRUN if not os.environ.get(name)]
    if missing:
        raise PlaceprintError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set: start the processes with torchrun, "
            "or unset WORLD_SIZE to train in one"
        )
    world = World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    if distributed.is_initialized():  # within another `joined`, which parts
        yield world
        return
    # NCCL wants a GPU for every process; gloo lets them share one.
    has_enough = 0 < int(os.environ["LOCAL_WORLD_SIZE"]) <= torch.cuda.device_count()
    backend = f"cpu:gloo,cuda:{'nccl' if has_enough else 'gloo'}" if torch.cuda.is_available() else "gloo"
    with _explained():
        distributed.init_process_group(backend, timeout=timedelta(seconds=TIMEOUT_S))
    yield world
    # After an error the end of the process parts, which the others notice.
    distributed.destroy_process_group()


def require_one_process(what: str) -> None:
    """Refuse to do in each of several processes what one does.

    Args:
        what: that is done, in words.

    Raises:
        InvalidOption: `torchrun` started several.
    """
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size > 1:
        raise InvalidOption(
            f"{what} takes one process, and torchrun started {size}: use the same command without torchrun"
        )


class _Gathered(torch.autograd.Function):
    """Rows of all processes; backward, one's own rows of the gradient, times the number of processes."""

    @staticmethod
    def forward(context: Any, mine: Tensor, n: int, world: World) -> Tensor:
        context.world = world
        # Parts may differ in length, which gathering does not allow; a sum with zeros is exact.
        whole = mine.new_zeros((n, *mine.shape[1:]))
        whole[world.part(n)] = mine
        _add_up(whole)
        return whole

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        world: World = context.world
        return gradient[world.part(len(gradient))] * world.size, None, None


class _SharedDropout(nn.Dropout):
    """Dropout whose mask is drawn for all rows of a divided batch: (rows, ...) -> the same."""

    def __init__(self, p: float, world: World) -> None:
        super().__init__(p)
        self.world = world

    def forward(self, input: Tensor) -> Tensor:
        if self.world.divided_rows is None or not self.training or self.p == 0.0:
            return super().forward(input)
        n, part = self.world.divided_rows
        return input * F.dropout(input.new_ones((n, *input.shape[1:])), self.p)[part]


def _add_up(tensor: Tensor) -> None:
    """Replace a tensor by its sum over the processes."""
    from torch import distributed

    with _explained():
        distributed.all_reduce(tensor)


def _told(answer: tuple[Any, str | None]) -> tuple[Any, str | None]:
    """What the first process says."""
    from torch import distributed

    told = [answer]
    with _explained():
        distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    return told[0]


@contextmanager
def _explained() -> Iterator[None]:
    """Say what an exchange between processes failed of."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise PlaceprintError(
            "another process of this training has ended, or did not answer for "
            f"{TIMEOUT_S / 3600:g} hours ({str(error).splitlines()[0]}). What it said stands above; the same "
            "command with --resume goes on from the last checkpoint"
        ) from error
