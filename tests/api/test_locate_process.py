"""Locations are worked out in a process of its own, which may be lost, and must not outlive the service."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from placeprint.api.serving import locate_process
from placeprint.api.serving.locate_process import LocateProcess, tell_here
from placeprint.api.serving.refusals import DeadlinePassed, NotReady
from placeprint.api.serving.sensitive import SensitiveAreas
from placeprint.api.serving.told_location import LocationQuestion, LocationTeller
from placeprint.indexer.fitted import Fitted
from placeprint.indexer.fitted_locator import FittedLocator
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface_model import default_surface_model

TOKYO, PARIS = (139.77, 35.68), (2.35, 48.86)


def teller(lon: float = 139.77, lat: float = 35.68) -> LocationTeller:
    around = np.array([[lon, lat]]) + np.random.default_rng(0).normal(0.0, 1.0, (40, 2))
    fitted = Fitted(Prior.from_lonlat(around), default_surface_model())
    return LocationTeller(FittedLocator(fitted), "exact", SensitiveAreas(None))


def asked(lon: float, lat: float, *, with_surface: bool = True) -> LocationQuestion:
    lonlat = np.array([[lon, lat]]) + np.linspace(0.0, 0.05, 8)[:, None]
    embedding = np.ones(4, np.float32)
    return LocationQuestion(np.linspace(0.9, 0.5, 8), lonlat, embedding, "gallery", with_surface)


@pytest.fixture(scope="module")
def process() -> Iterator[LocateProcess]:
    started = LocateProcess()
    yield started
    started.close()


def test_the_answer_is_that_of_the_calling_thread(process: LocateProcess) -> None:
    one, question = teller(), asked(*TOKYO)
    here, there = tell_here(one, question), process(one, question)
    assert there["lon"] == here["lon"] and abs(there["lon"] - TOKYO[0]) < 1.0
    assert there["countries"] == here["countries"]
    assert there["surface"] == here["surface"]
    assert there["regions"][0]["area_km2"] == pytest.approx(here["regions"][0]["area_km2"])


def test_it_runs_elsewhere_and_lets_others_go_first(process: LocateProcess) -> None:
    process.start()
    assert process.pid not in (None, os.getpid())
    assert psutil.Process(process.pid).nice() >= psutil.Process().nice() + 5


def test_many_galleries_take_turns(process: LocateProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate_process, "MAX_TELLERS", 2)
    places = [(lon, 10.0) for lon in (-120.0, 0.0, 120.0)]
    tellers = [teller(*place) for place in places]
    for _ in range(2):
        for one, place in zip(tellers, places, strict=True):
            found = process(one, asked(*place, with_surface=False))
            assert abs(found["lon"] - place[0]) < 3.0
            assert "surface" not in found


def test_a_lost_process_is_replaced_and_the_question_answered(process: LocateProcess) -> None:
    one = teller()
    process(one, asked(*TOKYO))
    assert process.pid is not None
    before = process.pid
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before)] if psutil.pid_exists(before) else [], timeout=5.0)
    assert abs(process(one, asked(*TOKYO))["lat"] - TOKYO[1]) < 1.0
    assert process.pid != before


def test_what_fails_in_it_is_a_fault_without_the_question(
    process: LocateProcess, caplog: pytest.LogCaptureFixture
) -> None:
    one = teller()
    with pytest.raises(RuntimeError, match="could not be worked out") as fault:
        process(one, LocationQuestion(np.ones(3), np.ones((2, 2)), np.ones(4), "gallery", True))  # type: ignore[arg-type]
    assert "located" not in str(fault.value)
    assert "ValueError" in caplog.text or "IndexError" in caplog.text
    assert process(one, asked(*TOKYO))["countries"]


def test_one_that_takes_too_long_is_ended() -> None:
    slow = LocateProcess(timeout_s=0.001)
    try:
        with pytest.raises(DeadlinePassed, match=r"longer than 0\.001 s"):
            slow(teller(), asked(*TOKYO))
        assert slow.pid is None
    finally:
        slow.close()


def test_one_that_does_not_start_is_said_to(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locate_process, "MODULE", "placeprint.no_such_module")
    with pytest.raises(NotReady, match="does not start"):
        LocateProcess()(teller(), asked(*TOKYO))
    assert "does not start" in caplog.text  # also where nobody waits for it


def test_nothing_is_started_after_the_end(process: LocateProcess) -> None:
    ended = LocateProcess()
    ended.close()
    with pytest.raises(NotReady, match="ending"):
        ended(teller(), asked(*TOKYO))
    assert ended.pid is None


def test_it_ends_with_a_service_that_is_killed() -> None:
    with subprocess.Popen(
        [
            sys.executable, "-c",
            "from placeprint.api.serving.locate_process import LocateProcess\n"
            "process = LocateProcess(); process.start(); print(process.pid, flush=True); input()",
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 10.0
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" and time.monotonic() < end:
        time.sleep(0.02)
    assert time.monotonic() < end
