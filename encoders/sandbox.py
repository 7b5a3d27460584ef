"""Confine a process that is about to read what a stranger sent: limits, and no way out.

`confine` is called once everything is imported and warm. From then on the process can compute and
talk through the pipes it has, and nothing more: bounded memory, no new file, no socket, no other
process. What the system cannot give is left out, and `describe` tells what is in force.

- Everywhere: descriptors that it does not need are closed.
- Unix: limits on memory, files, processes and core dumps (macOS does not keep the one on memory).
- Linux: no new rights, no debugger, Landlock (5.13 and later), and on x86_64 and aarch64 a list of
  allowed system calls.
"""

import contextlib
import ctypes
import math
import os
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from . import landlock, seccomp

resource: Any
try:
    resource = import_module("resource")
except ImportError:  # not on every system
    resource = None

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_MAX_DESCRIPTORS = 65_536

_active: list[str] = []


def confine(*, memory_bytes: int, threads: bool, keep: Iterable[int] = (0, 1, 2)) -> tuple[str, ...]:
    """Lock this process in, for good.

    Args:
        memory_bytes: of address space, all in all; what is mapped already counts.
        threads: whether new threads may be started.
        keep: file descriptors to leave open; all others are closed.

    Returns:
        The parts that are in force, see `describe`.
    """
    kept = sorted(set(keep))
    _close_all_but(kept)
    if landlock.install():
        _active.append("landlock")
    _limit_resources(memory_bytes, threads=threads, n_descriptors=kept[-1] + 1)
    if sys.platform == "linux":
        _give_up_rights()
    if seccomp.install(threads=threads):
        _active.append("seccomp")
    return describe()


def describe() -> tuple[str, ...]:
    """The parts of the sandbox that the system has put in force for this process."""
    return tuple(_active)


def renew_cpu(seconds: float) -> None:
    """Give this process `seconds` of processor time more, rounded up to a whole second.

    When they are spent the system ends it with SIGXCPU. Does nothing where there is no such limit.
    """
    if resource is None:
        return
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _close_all_but(kept: list[int]) -> None:
    first = 0
    for number in [*kept, _MAX_DESCRIPTORS]:
        if first < number:  # an empty range would be taken for all of them
            os.closerange(first, number)
        first = number + 1
    _active.append("closed descriptors")


def _limit_resources(memory_bytes: int, *, threads: bool, n_descriptors: int) -> None:
    if resource is None:
        return
    limits = {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NOFILE": n_descriptors,
        **({} if threads else {"RLIMIT_NPROC": 0}),  # it counts threads too; root is not bound by it
    }
    for name, limit in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (limit, limit))
            label = name.removeprefix("RLIMIT_").lower()
            _active.append(f"{label} {limit / 1e6:,.0f} MB" if name == "RLIMIT_AS" else f"{label} {limit}")


def _give_up_rights() -> None:
    libc, word = ctypes.CDLL(None, use_errno=True), ctypes.c_ulong
    parts = {"no new privileges": (_PR_SET_NO_NEW_PRIVS, 1), "not dumpable": (_PR_SET_DUMPABLE, 0)}
    for name, (option, value) in parts.items():
        if libc.prctl(option, word(value), word(0), word(0), word(0)) == 0:
            _active.append(name)
