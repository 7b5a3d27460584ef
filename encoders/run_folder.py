"""The folder of a training run: one run each, a log line for each round, a checkpoint to go on from.

``run.json`` says which run it is: settings, data and, where there is one, the model it starts from.
``log.jsonl`` and ``checkpoint.safetensors`` follow while it trains. A round is what lies between two
records, such as an epoch.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .csp_checkpoint import Progress, read_checkpoint
from .errors import AnotherRun
from .location_files import write_atomically
from .processes import ALONE, World, require_one_process

CHECKPOINT = "checkpoint.safetensors"
Show = Callable[[dict[str, Any], int], None]


def claim(
    out: Path, identity: dict[str, Any], facts: dict[str, Any], *, is_resumed: bool, world: World = ALONE
) -> None:
    """See that a folder is free for a run, or holds this very run.

    Args:
        out: made if needed.
        identity: ``settings`` and ``data`` of the run, and more, JSON.
        facts: what else to write into ``run.json``.
        is_resumed: whether a run in the folder is to be gone on with.
        world: the processes that train together.

    Raises:
        AnotherRun: it holds a run, and `is_resumed` is False or that run is another.
        UnwritableFile: it is full or not ours to write to.
        InvalidOption: several processes, and a run of one.
        PlaceprintError: the processes would train with other settings or on other data.
    """
    if world is ALONE:
        require_one_process("this training")
    world.require_same(identity, "data or settings")
    world.first(lambda: _claim(out, identity, facts, is_resumed=is_resumed))


def _claim(out: Path, identity: dict[str, Any], facts: dict[str, Any], *, is_resumed: bool) -> None:
    require_free(out, is_resumed=is_resumed)
    path = out / "run.json"
    if path.exists():
        try:
            require_same(out, json.loads(path.read_text(encoding="utf-8")), identity)
        except ValueError as error:
            raise AnotherRun(f"{path}: cannot be read ({error}); choose another --out") from None
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnotherRun(f"{out}: cannot be a folder for a run ({error.strerror})") from None
    write_atomically(path, json.dumps({**identity, **facts}, indent=1).encode())


def require_free(out: Path, *, is_resumed: bool) -> None:
    """See that a folder holds no run, unless that is to be gone on with; before any work is done.

    Raises:
        AnotherRun: it holds one.
    """
    if (out / "run.json").exists() and not is_resumed:
        raise AnotherRun(f"{out} holds a run already; add --resume to go on with it, or choose another --out")


def require_same(out: Path, found: dict[str, Any], identity: dict[str, Any]) -> None:
    """Name what differs between the run in the folder and the one asked for.

    Raises:
        AnotherRun: something does.
    """
    if found.get("data") != identity["data"]:
        raise AnotherRun(
            f"{out} holds a run on other photos or places; the gallery has changed since. "
            "Choose another --out, or go back to the gallery as it was"
        )
    if found.get("model") != identity.get("model"):
        raise AnotherRun(
            f"{out} holds a run that began from {found.get('model')}, this one from {identity.get('model')}. "
            "Choose another --out, or the same model and weights"
        )
    was, now = found.get("settings", {}), json.loads(json.dumps(identity["settings"]))
    differing = [
        f"{name} was {was.get(name)!r}, now {now[name]!r}" for name in now if was.get(name) != now[name]
    ]
    if differing:
        raise AnotherRun(
            f"{out} holds a run with other settings: {'; '.join(differing)}. Choose another --out"
        )


def resumed(
    out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: dict[str, Any]
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Bring a model and its optimizer to where the folder's run stood.

    Args:
        out: the folder.
        model: of the same settings; changed in place.
        optimizer: of the same settings; changed in place.
        identity: of the run that is asked for.

    Returns:
        Where the run stands and the best state so far; None without a checkpoint, and nothing is changed.

    Raises:
        AnotherRun: the checkpoint is of another run.
        DamagedCheckpoint: it cannot be gone on from.
    """
    path = out / CHECKPOINT
    if not path.exists():
        return None
    progress, best, found = read_checkpoint(path, model, optimizer)
    require_same(out, found, identity)
    return progress, best


def train_rounds(
    out: Path,
    progress: Progress,
    n_rounds: int,
    one_round: Callable[[], dict[str, Any]],
    save: Callable[[], None],
    *,
    checkpoint_s: float,
    show: Show,
    world: World = ALONE,
) -> None:
    """Train to the end, with a line in the log for each round and a checkpoint now and then.

    Of several processes all train, and the first writes and shows.

    Args:
        out: the folder.
        progress: where the run stands; `one_round` moves it on.
        n_rounds: of the whole run.
        one_round: trains one, notes its record in ``progress.log`` and gives it back.
        save: writes the checkpoint.
        checkpoint_s: seconds between checkpoints, at least; one is written at the end, too.
        show: called with the record of each round and the number of rounds.
        world: the processes that train.

    Raises:
        UnwritableFile: the folder is full or not ours to write to.
        PlaceprintError: the processes do not stand at the same round.
    """
    world.require_same(progress.epoch, "checkpoint")
    if not world.is_first:
        while progress.epoch < n_rounds:
            one_round()
        return
    lines = "".join(json.dumps(record) + "\n" for record in progress.log)
    write_atomically(out / "log.jsonl", lines.encode())
    saved_at, n_saved = time.monotonic(), progress.epoch
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        while progress.epoch < n_rounds:
            record = one_round()
            log.write(json.dumps(record) + "\n")
            log.flush()
            if progress.epoch == n_rounds or time.monotonic() - saved_at >= checkpoint_s:
                save()
                saved_at, n_saved = time.monotonic(), progress.epoch
            show(record, n_rounds)
    if n_saved == 0:
        save()
