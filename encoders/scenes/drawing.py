"""Scenes drawn to files, in several processes.

A process imports what this module imports, the drawing and no more: it starts in a quarter of a second, where
one that imports torch would take longer to start than to draw.
"""

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from .painting import draw
from .scene import Scene


def draw_files(scenes: Sequence[tuple[Scene, Path]]) -> None:
    """Draw each scene to its JPEG file, unless that is there.

    Ctrl-C goes to the processes too; they leave it to this one.
    """
    pool = ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None  # a child inherits it
    try:
        drawn = pool.map(_draw, scenes, chunksize=25)
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    try:
        list(drawn)
    finally:
        pool.shutdown(cancel_futures=True)


def _draw(job: tuple[Scene, Path]) -> None:
    scene, path = job
    if not path.exists():
        half = path.with_suffix(".tmp")
        draw(scene).save(half, "JPEG", quality=90)
        half.replace(path)  # a picture is there whole or not at all
