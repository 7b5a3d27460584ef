"""A confined process computes and answers, and can do nothing else.

Claims: every way out that we could think of is refused, with the list of system calls and, as far
as the other parts reach, without it; decoding still works; the list says the same for both
architectures, checked by an interpreter of its program; what is spent in processor time or memory
ends the work and not the parent.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from placeprint.encoders import landlock, seccomp

needs_seccomp = pytest.mark.skipif(not seccomp.is_supported(), reason="no list of calls for this system")

# Every attempt is made in one confined process, which tells by name what became of it.
PRELUDE = """
import ctypes, errno, io, json, mmap, os, resource, signal, socket, subprocess, sys, tempfile, threading, time
import numpy as np
from PIL import Image
from placeprint.encoders import landlock, sandbox, seccomp
from placeprint.encoders.preprocessing import Preprocessing

libc = ctypes.CDLL(None, use_errno=True)
folder = tempfile.mkdtemp()
victim = os.path.join(folder, "victim")
open(victim, "w").close()
file = io.BytesIO()
Image.new("RGB", (40, 30), "red").save(file, "JPEG")
photo = file.getvalue()

def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def exit_of_fork():
    if os.fork() == 0:
        os._exit(0)

def thread():
    one = threading.Thread(target=lambda: None)
    one.start()
    one.join()

attempts = {
    "socket": lambda: socket.socket(),
    "socket pair": lambda: socket.socketpair(),
    "fork": exit_of_fork,
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "run": lambda: subprocess.run(["/bin/true"]),
    "read a file": lambda: open("/etc/passwd").close(),
    "read its own environment": lambda: open("/proc/self/environ").close(),
    "write a file": lambda: open(victim, "w").close(),
    "new file": lambda: open(victim + "2", "w").close(),
    "unlink": lambda: os.unlink(victim),
    "rename": lambda: os.rename(victim, victim + "3"),
    "new folder": lambda: os.mkdir(victim + "4"),
    "list a folder": lambda: os.listdir("/"),
    "stat": lambda: os.stat("/etc/passwd"),
    "chmod": lambda: os.chmod(victim, 0o777),
    "chdir": lambda: os.chdir("/"),
    "link": lambda: os.symlink("/etc/passwd", victim + "5"),
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "signal all": lambda: os.kill(-1, 0),
    "trace the parent": lambda: call("ptrace", 16, os.getppid(), 0, 0),
    "memory of the parent": lambda: call("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0),
    "pipe": lambda: os.pipe(),
    "duplicate": lambda: os.dup(0),
    "code in memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "more memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40)),
    "more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
    "debuggable again": lambda: call("prctl", 4, ctypes.c_ulong(1), 0, 0, 0),
    "ignore the time limit": lambda: signal.signal(signal.SIGXCPU, signal.SIG_IGN),
    "too much memory": lambda: np.ones(3 << 27, np.uint8),
    "thread": thread,
    "decode": lambda: Preprocessing(size=8).read(photo),
    "time left": lambda: sandbox.renew_cpu(5.0),
    "clock": lambda: (time.time(), time.sleep(0.001)),
}
Preprocessing(size=8).read(photo)
"""
AFTER = """
told = {"parts": parts}
for name, attempt in attempts.items():
    try:
        attempt()
        told[name] = "done"
    except OSError as error:
        told[name] = errno.errorcode.get(error.errno, str(error.errno))
    except Exception as error:
        told[name] = type(error).__name__
sys.stdout.write(json.dumps(told))
sys.stdout.flush()
os._exit(0)
"""
HARMLESS = {"decode", "time left", "clock"}
NAMES = """socket|socket pair|fork|spawn|exec|run|read a file|read its own environment|write a file|new file
unlink|rename|new folder|list a folder|stat|chmod|chdir|link|signal the parent|signal all|trace the parent
memory of the parent|pipe|duplicate|code in memory|more memory|more files
debuggable again|ignore the time limit|too much memory|thread""".replace("\n", "|").split("|")


def run(code: str) -> subprocess.CompletedProcess[str]:
    """A Python process as small as a worker is."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, env=environment
    )


@cache
def attempted(*, threads: bool = False, without: str = "") -> dict[str, Any]:
    """What became of every attempt in a process confined with or without threads."""
    switch = f"{without}.install = lambda **_: False\n" if without else ""
    confine = f"parts = sandbox.confine(memory_bytes=400_000_000, threads={threads})"
    done = run(PRELUDE + switch + confine + AFTER)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@needs_seccomp
@pytest.mark.parametrize("name", NAMES)
def test_every_way_out_is_closed(name: str) -> None:
    assert attempted()[name] != "done"


@needs_seccomp
def test_what_is_closed_is_closed_by_the_list_of_calls() -> None:
    told = attempted()
    # Python turns some refusals into errors of its own.
    others = {"thread": "RuntimeError", "too much memory": "MemoryError"}
    others |= {"more memory": "ValueError", "more files": "ValueError"}
    assert {name: told[name] for name in NAMES} == {name: others.get(name, "EPERM") for name in NAMES}


@needs_seccomp
@pytest.mark.parametrize("threads", [False, True])
def test_decoding_and_time_keep_working(threads: bool) -> None:
    told = attempted(threads=threads)
    assert {told[name] for name in HARMLESS} == {"done"}
    assert "seccomp" in told["parts"]


@needs_seccomp
def test_threads_where_they_are_wanted_and_still_no_processes() -> None:
    told = attempted(threads=True)
    assert told["thread"] == "done"
    assert [name for name in NAMES if told[name] == "done"] == ["thread"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have less to give")
def test_without_the_list_of_calls_the_rest_still_holds() -> None:
    told = attempted(without="seccomp")
    assert "seccomp" not in told["parts"]
    closed = {"socket", "socket pair", "read a file", "write a file", "new file", "pipe", "duplicate"}
    assert {told[name] for name in closed} <= {"EMFILE", "EACCES"}
    assert told["too much memory"] == "MemoryError"
    if "landlock" in told["parts"]:
        changing = {"unlink", "rename", "new folder", "list a folder", "link", "exec"}
        assert {told[name] for name in changing} <= {"EACCES", "EMFILE"}


def test_a_system_that_gives_nothing_is_told_as_it_is() -> None:
    told = run(
        "from placeprint.encoders import landlock, sandbox, seccomp\n"
        "sandbox.resource = None; sandbox.sys.platform = 'plan9'\n"
        "landlock.install = seccomp.install = lambda **_: False\n"
        "print(sandbox.describe(), sandbox.confine(memory_bytes=1 << 30, threads=True)); sandbox.renew_cpu(1)"
    )
    assert told.stdout == "() ('closed descriptors',)\n", told.stderr


@pytest.mark.skipif(os.name != "posix", reason="descriptors are inherited otherwise")
def test_inherited_descriptors_are_closed() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    code = f"""
import os
from placeprint.encoders import sandbox
sandbox.confine(memory_bytes=1 << 30, threads=True, keep=(0, 1, 2))
try:
    os.write({writing}, b"secret")
except OSError as error:
    print(error.errno)
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        pass_fds=(writing,),
        env=environment,
    )
    os.close(writing)
    assert done.stdout.strip() == str(errno.EBADF), done.stderr
    assert os.read(reading, 10) == b""
    os.close(reading)


@pytest.mark.skipif(os.name != "posix", reason="no such limit")
def test_processor_time_ends_and_is_renewed() -> None:
    code = """
import time
from placeprint.encoders import sandbox
for _ in range(2):
    sandbox.renew_cpu(0.6)
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
print("alive", flush=True)
while True:
    pass
"""
    done = run(code)
    assert done.stdout == "alive\n"
    assert done.returncode < 0


ALLOW, EPERM, ENOSYS = "allow", "EPERM", "ENOSYS"
OUTCOMES = {
    0x7FFF0000: ALLOW,
    0x50000 | errno.EPERM: EPERM,
    0x50000 | errno.ENOSYS: ENOSYS,
    0x80000000: "kill",
}


def judged(machine: str, number: int, *arguments: int, threads: bool = False, arch: int | None = None) -> str:
    """Run the filter as the kernel would."""
    words = {0: number, 4: seccomp.ARCHITECTURES[machine] if arch is None else arch}
    for place, argument in enumerate([*arguments, *[0] * (6 - len(arguments))]):
        words[16 + 8 * place], words[20 + 8 * place] = argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF
    tests: dict[int, Callable[[int, int], bool]] = {
        0x15: lambda a, k: a == k,
        0x35: lambda a, k: a >= k,
        0x45: lambda a, k: bool(a & k),
    }
    lines, at, register = seccomp.program(machine, threads=threads), 0, 0
    while True:
        code, if_true, if_false, constant = lines[at]
        at += 1
        if code == 0x06:
            return OUTCOMES[constant]
        if code == 0x20:
            register = words[constant]
        else:
            at += if_true if tests[code](register, constant) else if_false


# machine: read, openat, socket, mmap, mprotect, prlimit64, clone, clone3, execve, kill
NUMBERS = {
    "x86_64": (0, 257, 41, 9, 10, 302, 56, 435, 59, 62),
    "aarch64": (63, 56, 198, 222, 226, 261, 220, 435, 221, 129),
}


@pytest.mark.parametrize("machine", NUMBERS)
@pytest.mark.parametrize("threads", [False, True])
def test_the_list_says_the_same_on_both_architectures(machine: str, threads: bool) -> None:
    read, openat, socket, mmap, mprotect, prlimit, clone, clone3, execve, kill = NUMBERS[machine]

    def judge(number: int, *arguments: int) -> str:
        return judged(machine, number, *arguments, threads=threads)

    assert judge(read) == ALLOW
    assert {judge(number) for number in (openat, socket, execve, kill)} == {EPERM}
    for call in (mmap, mprotect):
        assert judge(call, 0, 4096, 3) == ALLOW  # read and write
        assert {judge(call, 0, 4096, 7), judge(call, 0, 4096, 4)} == {EPERM}  # execute
    assert judge(clone, 0x3D0F00) == (ALLOW if threads else EPERM)  # as pthread_create does
    assert judge(clone, 0x11) == EPERM  # as fork does
    assert judge(clone3) == (ENOSYS if threads else EPERM)
    its_own_time, a_pointer = (0, 0), 0x7F00_0000_0000
    assert judge(prlimit, *its_own_time, a_pointer, 0) == ALLOW
    assert judge(prlimit, 0, 9, 0, a_pointer) == ALLOW  # only reads
    assert judge(prlimit, 0, 9, a_pointer, 0) == EPERM
    assert judge(prlimit, 1, 0, a_pointer, 0) == EPERM  # another process


@pytest.mark.parametrize("machine", NUMBERS)
def test_the_other_tables_of_calls_are_no_way_round(machine: str) -> None:
    assert judged(machine, 0, arch=0x40000003) == "kill"  # the 32-bit one
    if machine == "x86_64":
        assert judged(machine, 0x40000000 | 59) == "kill"  # x32


def test_a_ruleset_is_as_long_as_its_version_knows() -> None:
    assert [len(landlock.ruleset(version)) for version in (1, 3, 4, 5, 6, 9)] == [8, 8, 16, 16, 24, 24]
