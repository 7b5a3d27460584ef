"""A process that decodes photos for its parent: ``python -m placeprint.encoders.decode_worker``.

A damaged file can crash, hang or exhaust a decoder written in C. Here it takes down one small
process, which knows no model and holds no store, and the parent names the file and goes on.

A job on standard input is one line of JSON (the preprocessing, the number of bytes) and the bytes
of the file; an answer on standard output is one line of JSON (facts or error) and the pixels.
Nothing is unpickled on either side, so a decoder that was taken over can send pixels and text.
"""

import contextlib
import json
import os
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from .errors import UnreadableImage
from .preprocessing import Preprocessing

MEMORY_BYTES = 4 << 30


def limit_resources() -> None:
    """Bound the memory of this process and leave no core dumps, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on every system

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode one file: the header and the pixels of the answer."""
    settings = job["preprocessing"]
    settings["mean"], settings["std"] = tuple(settings["mean"]), tuple(settings["std"])
    try:
        pixels, facts = Preprocessing(**settings).read(content)
    except UnreadableImage as error:
        return {"error": str(error).removeprefix("image: ")}, b""
    described = asdict(facts)
    if facts.captured_at is not None:
        described["captured_at"] = facts.captured_at.isoformat()
    return {"facts": described, "shape": pixels.shape}, pixels.tobytes()


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer jobs until the parent closes the pipe."""
    while line := jobs.readline():
        job = json.loads(line)
        header, pixels = answer(job, jobs.read(job["bytes"]))
        answers.write(json.dumps({**header, "bytes": len(pixels)}).encode() + b"\n")
        answers.write(pixels)
        answers.flush()


if __name__ == "__main__":
    limit_resources()
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever a library prints must not get between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    channel.write(b"ready\n")
    channel.flush()
    serve(sys.stdin.buffer, channel)
