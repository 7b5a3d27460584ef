"""Processes that one run of the tests has started, known by a mark in their environment."""

import os
import time
import uuid

import psutil

MARK = "PLACEPRINT_TORTURE_SESSION"
_STARTED = time.time()


def begin() -> None:
    """Mark this process, and with it all that it will start."""
    os.environ.setdefault(MARK, uuid.uuid4().hex)


def left_over() -> list[psutil.Process]:
    """Processes of this run that still live, but for this one, those that wait for it, and its helper.

    A decoder has no environment but a few words; it is known by its name, its age, and that nobody
    waits for it any more.
    """
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid in own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.ppid() == os.getpid() and "resource_tracker" in " ".join(process.cmdline()):
                continue  # multiprocessing's, which ends with this process
            is_marked = process.environ().get(MARK) == os.environ.get(MARK)
            is_decoder = (
                "placeprint.encoders.decode_worker" in process.cmdline()
                and process.create_time() >= _STARTED
                and process.ppid() == 1
            )
            if is_marked or is_decoder:
                found.append(process)
        except psutil.Error:
            continue
    return found
