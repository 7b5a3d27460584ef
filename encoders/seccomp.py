"""A list of the system calls that a process may still make, enforced by the Linux kernel.

What decoding needs once everything is loaded is little: memory, the pipes that are open already,
the clock, and threads where a format is decoded by several. Every other call fails with EPERM, so
that code which got hold of the process can open no file and no socket, start nothing, signal
nobody, and map no page that can be executed.

The filter is classic BPF, as seccomp(2) and Documentation/userspace-api/seccomp_filter.rst of the
kernel describe it; the numbers are those of the kernel's tables for x86_64 and of
asm-generic/unistd.h for aarch64.
"""

import ctypes
import errno
import platform
import struct
import sys

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*, linux/audit.h

# name: (x86_64, aarch64)
_MEMORY_AND_PIPES = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "munmap": (11, 215), "brk": (12, 214), "rt_sigreturn": (15, 139), "readv": (19, 65), "writev": (20, 66),
    "mremap": (25, 216), "madvise": (28, 233), "exit": (60, 93), "exit_group": (231, 94),
    "restart_syscall": (219, 128), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "getrandom": (318, 278),
}  # fmt: skip
_THREADS = {
    "futex": (202, 98), "rt_sigprocmask": (14, 135), "set_robust_list": (273, 99), "rseq": (334, 293),
    "sched_getaffinity": (204, 123), "sched_yield": (24, 124), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
}  # fmt: skip
_MMAP, _MPROTECT, _PRLIMIT, _PRCTL, _CLONE = (9, 222), (10, 226), (302, 261), (157, 167), (56, 220)
_CLONE3, _SECCOMP = 435, (317, 277)

_X32_BIT = 0x40000000  # the second, 32-bit table of x86_64
_PROT_EXEC, _CLONE_THREAD, _RLIMIT_CPU, _PR_SET_NAME = 4, 0x10000, 0, 15

# linux/filter.h and linux/seccomp.h
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_SET_MODE_FILTER, _ALL_THREADS = 1, 1

Instruction = tuple[int, int, int, int]  # code, steps if true, steps if false, constant


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_supported() -> bool:
    """Whether the filter knows this system's numbers. The kernel may still refuse it."""
    # A 32-bit Python on a 64-bit kernel makes other calls than the machine's name promises.
    return sys.platform == "linux" and platform.machine() in ARCHITECTURES and sys.maxsize > 1 << 32


def install(*, threads: bool) -> bool:
    """Confine this process, all its threads included, for the rest of its life.

    Args:
        threads: whether new threads may be started; new processes never may.

    Returns:
        Whether the kernel took the filter.
    """
    if not is_supported():
        return False
    machine = platform.machine()
    instructions = program(machine, threads=threads)
    filter_ = _Program(len(instructions), b"".join(struct.pack("=HBBI", *one) for one in instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    word = ctypes.c_ulong
    # Without it only root may filter, and a filter could fool programs that raise their rights.
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, word(1), word(0), word(0), word(0)) != 0:
        return False
    number = _SECCOMP[list(ARCHITECTURES).index(machine)]
    if libc.syscall(word(number), word(_SET_MODE_FILTER), word(_ALL_THREADS), ctypes.byref(filter_)) == 0:
        return True
    done: int = libc.prctl(_PR_SET_SECCOMP, word(_MODE_FILTER), ctypes.byref(filter_), word(0), word(0))
    return done == 0


def program(machine: str, *, threads: bool) -> list[Instruction]:
    """The filter for one of `ARCHITECTURES`."""
    column = list(ARCHITECTURES).index(machine)
    allowed = {**_MEMORY_AND_PIPES, **_THREADS}.values()
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH), (_IF_EQUAL, 1, 0, ARCHITECTURES[machine]), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]  # fmt: skip
    if machine == "x86_64":
        lines += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    for numbers in allowed:
        lines += [(_IF_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _ALLOW)]
    for numbers in (_MMAP, _MPROTECT):
        lines += _where(numbers[column], [(_LOAD, 0, 0, _low(2)), (_IF_BITS, 1, 0, _PROT_EXEC), _yes()])
    # Of its own limits it may read all and renew the one on its time.
    own = [(_LOAD, 0, 0, _low(0)), (_IF_EQUAL, 0, 8, 0)]
    is_time = [(_LOAD, 0, 0, _low(1)), (_IF_EQUAL, 0, 1, _RLIMIT_CPU), _yes()]
    is_question = [(_LOAD, 0, 0, _low(2)), (_IF_EQUAL, 0, 3, 0), (_LOAD, 0, 0, _low(2) + 4)]
    lines += _where(_PRLIMIT[column], [*own, *is_time, *is_question, (_IF_EQUAL, 0, 1, 0), _yes()])
    if threads:
        lines += _where(_CLONE[column], [(_LOAD, 0, 0, _low(0)), (_IF_BITS, 0, 1, _CLONE_THREAD), _yes()])
        # Its arguments lie in memory, out of the filter's sight; libraries fall back to clone.
        lines += [(_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
        lines += _where(_PRCTL[column], [(_LOAD, 0, 0, _low(0)), (_IF_EQUAL, 0, 1, _PR_SET_NAME), _yes()])
    return [*lines, (_RETURN, 0, 0, _FAIL | errno.EPERM)]


def _where(number: int, body: list[Instruction]) -> list[Instruction]:
    """A call that is allowed only if its body says so, and fails where the body comes to its end."""
    return [(_IF_EQUAL, 0, len(body) + 1, number), *body, (_RETURN, 0, 0, _FAIL | errno.EPERM)]


def _yes() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _low(argument: int) -> int:
    """Where the lower 32 bits of an argument are; both architectures are little-endian."""
    return _ARGUMENTS + 8 * argument
