"""Limits for photos from strangers, what becomes of one, and a decoder that does as a script says."""

import sys

import damaged_photos as damaged
from PIL import Image

from placeprint.encoders.decode_process import DecodeProcess
from placeprint.encoders.decoding import DecodePool
from placeprint.encoders.errors import UnreadableImage
from placeprint.encoders.preprocessing import Preprocessing
from placeprint.encoders.upload_limits import UploadLimits

SMALL = Preprocessing(size=32)
LIMITS = UploadLimits()
LONGEST_S = 5.0  # for any file at all
GOOD = damaged.encoded(Image.new("RGB", (64, 48), "teal"), "JPEG")


class ScriptedPool(DecodePool):
    """A pool whose processes do as a script says with certain photos, and decode all others."""

    script = ""

    def _new_process(self) -> DecodeProcess:
        return _scripted(self.script)(self.limits, self._timeout_s)


def _scripted(script: str) -> type[DecodeProcess]:
    code = (
        "import os, signal, sys\n"
        "from placeprint.encoders import decode_worker\n"
        "honest = decode_worker.answer\n"
        f"def answer(job, content, limits):\n    {script}\n    return honest(job, content, limits)\n"
        "decode_worker.answer = answer\n"
        "decode_worker.main(sys.argv[1:])\n"
    )

    class Scripted(DecodeProcess):
        @staticmethod
        def command(limits: UploadLimits | None) -> list[str]:
            return [sys.executable, "-P", "-c", code, *DecodeProcess.command(limits)[4:]]

    return Scripted


def scripted_pool(script: str, **options: object) -> ScriptedPool:
    pool = ScriptedPool(SMALL, workers=1, limits=LIMITS, **options)  # type: ignore[arg-type]
    pool.script = script
    return pool


def outcome(pool: DecodePool, content: bytes) -> str | bytes:
    """The pixels, or the kind of the refusal and its reason."""
    try:
        return pool.decode(content)[0].tobytes()
    except UnreadableImage as error:
        return f"{type(error).__name__}: {error}"
