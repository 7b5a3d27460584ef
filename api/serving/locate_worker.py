"""A process that works out locations for the service: ``python -m placeprint.api.serving.locate_worker``.

Its parent is `locate_process`. Standard input has pickled orders, each after its length: keep a teller
under a number, forget one, or answer a question by one. Standard output has a line of JSON for each
question. The process ends with its parent, whose end of the pipe then closes.
"""

import json
import os
import pickle
import signal
import struct
import sys
import traceback
from typing import Any, BinaryIO

from ...encoders.geocells import default_geocells
from ...encoders.places import load_places
from .told_location import LocationTeller

NICENESS = 10
"""A location takes some tenths of a second of a core, and searches go first."""

LENGTH = struct.Struct(">Q")


def answer_all(orders: BinaryIO, answers: BinaryIO) -> None:
    """Do what the parent says until it closes the pipe."""
    tellers: dict[int, LocationTeller] = {}
    while len(head := orders.read(LENGTH.size)) == LENGTH.size:
        what, number, content = pickle.loads(orders.read(LENGTH.unpack(head)[0]))
        if what == "keep":
            tellers[number] = content
        elif what == "forget":
            tellers.pop(number, None)
        else:
            answers.write(json.dumps(_answer(tellers[number], content)).encode() + b"\n")
            answers.flush()


def _answer(teller: LocationTeller, asked: Any) -> dict[str, Any]:
    try:
        return {"told": teller.tell(asked)}
    except Exception as error:
        # Without its message, which may quote the question.
        return {"error": type(error).__name__, "stack": traceback.format_tb(error.__traceback__)}


def main() -> None:
    """Load what every answer needs, say so, and work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get in between
    load_places()
    default_geocells()
    answers.write(b"ready\n")
    answers.flush()
    answer_all(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
