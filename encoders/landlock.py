"""No path of the file system and no TCP port for this process any more, by Linux's Landlock.

Where the list of system calls (`seccomp`) is in force this is a second lock on the same door; on
other architectures it is the only one. A ruleset that handles every right and grants none, as in
Documentation/userspace-api/landlock.rst of the kernel.
"""

import ctypes
import os
import struct
import sys

# The same on every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1
_PR_SET_NO_NEW_PRIVS = 38

# By version of the interface: how many rights on files there are.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_RIGHTS = 2  # bind and connect, since version 4
_SCOPES = 2  # abstract Unix sockets and signals, since version 6


def install() -> bool:
    """Take all paths and ports away, for good. Files that are open stay so.

    Returns:
        Whether the kernel did it.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    word = ctypes.c_ulong
    version: int = libc.syscall(word(_CREATE_RULESET), None, word(0), word(_ASK_VERSION))
    if version < 1:
        return False
    rights = ruleset(version)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, word(1), word(0), word(0), word(0)) != 0:
        return False
    handle: int = libc.syscall(word(_CREATE_RULESET), rights, word(len(rights)), word(0))
    if handle < 0:
        return False
    try:
        done: int = libc.syscall(word(_RESTRICT_SELF), word(handle), word(0))
        return done == 0
    finally:
        os.close(handle)


def ruleset(version: int) -> bytes:
    """Struct landlock_ruleset_attr, as long as that version of the interface knows it."""
    fields = [(1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1]
    fields += [(1 << _TCP_RIGHTS) - 1] if version >= 4 else []
    fields += [(1 << _SCOPES) - 1] if version >= 6 else []
    return struct.pack(f"={len(fields)}Q", *fields)
