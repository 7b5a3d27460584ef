"""A process that decodes photos for its parent: ``python -m placeprint.encoders.decode_worker``.

A damaged file can crash, hang or exhaust a decoder written in C, and a malicious one can take it
over. Here it gets hold of one small process, which knows no model and no secret, holds no store,
and has given up every right but to compute and to answer (`sandbox`). The parent names the file
and goes on.

The only argument is the limits as JSON, see `UploadLimits`; without it files are the operator's
own, and of any of `FORMATS`. A job on standard input is one line of JSON (the task, its settings,
the number of bytes) and the bytes of the file; an answer on standard output is one line of JSON
(facts or error) and the pixels or the thumbnail. Nothing is unpickled on either side, so a decoder
that was taken over can send pixels and text.
"""

import json
import os
import signal
import sys
import warnings
from dataclasses import asdict
from typing import Any, BinaryIO

from . import sandbox, warm_up
from .errors import UnreadableImage
from .photo_formats import FORMATS, THREADED, load_parsers
from .preprocessing import Preprocessing
from .thumbnail import make_thumbnail
from .upload_limits import UploadLimits

OWN_MEMORY_BYTES = 4 << 30  # for the operator's own files


def answer(job: dict[str, Any], content: bytes, limits: UploadLimits | None) -> tuple[dict[str, Any], bytes]:
    """Do one job: the header and the body of the answer."""
    try:
        if job["task"] == "thumbnail":
            return {}, make_thumbnail(content, job["side_px"], format=job["format"], limits=limits)
        settings = job["preprocessing"]
        settings["mean"], settings["std"] = tuple(settings["mean"]), tuple(settings["std"])
        pixels, facts = Preprocessing(**settings).read(content, limits=limits)
    except UnreadableImage as error:
        return {"error": str(error).removeprefix("image: "), "kind": type(error).__name__}, b""
    except MemoryError:
        return {"error": "does not fit into memory", "kind": "UnreadableImage"}, b""
    described = asdict(facts)
    if facts.captured_at is not None:
        described["captured_at"] = facts.captured_at.isoformat()
    return {"facts": described, "shape": pixels.shape}, pixels.tobytes()


def serve(jobs: BinaryIO, answers: BinaryIO, limits: UploadLimits | None) -> None:
    """Answer jobs until the parent closes the pipe."""
    while line := jobs.readline():
        if limits is not None:
            sandbox.renew_cpu(limits.cpu_s)
        job = json.loads(line)
        header, body = answer(job, jobs.read(job["bytes"]), limits)
        answers.write(json.dumps({**header, "bytes": len(body)}).encode() + b"\n")
        answers.write(body)
        answers.flush()


def main(arguments: list[str]) -> None:
    """Load and warm up, lock the door, then work."""
    limits = None
    if arguments:
        settings = json.loads(arguments[0])
        limits = UploadLimits(**{**settings, "formats": tuple(settings["formats"])})
    formats = limits.formats if limits else FORMATS
    load_parsers(formats)
    warm_up.decode_samples(formats)
    # A warning would open source files to quote from; and Ctrl-C is for the parent to handle.
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever a library prints must not get between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    parts = sandbox.confine(
        memory_bytes=limits.memory_bytes if limits else OWN_MEMORY_BYTES,
        threads=not THREADED.isdisjoint(formats),
        keep=(0, 1, 2, channel.fileno()),
    )
    channel.write(b"ready " + json.dumps(parts).encode() + b"\n")
    channel.flush()
    serve(sys.stdin.buffer, channel, limits)


if __name__ == "__main__":
    main(sys.argv[1:])
