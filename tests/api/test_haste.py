"""What lets searches go first: switches of the process, and who yields to whom in a service."""

import asyncio
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from served import make_gallery, open_service, picture, settings_at

from placeprint.api import app as app_module
from placeprint.api import cli
from placeprint.api.serving.locate_process import LocateProcess
from placeprint.api.serving.photo_decoders import PATIENT_NICENESS
from placeprint.api.serving.service import Service


@pytest.fixture
def as_before() -> Iterator[None]:
    """Whatever a server switches for its whole process is switched back."""
    threads, threshold, interval = torch.get_num_threads(), gc.get_threshold(), sys.getswitchinterval()
    yield
    torch.set_num_threads(threads)
    gc.set_threshold(*threshold)
    gc.unfreeze()
    sys.setswitchinterval(interval)


def test_the_command_line_has_threads_of_models_sleep_while_they_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "app", lambda: None)
    monkeypatch.setenv("OMP_WAIT_POLICY", "")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    cli.main()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # the operator's word holds
    cli.main()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.usefixtures("as_before")
def test_a_server_leaves_cores_to_others_and_looks_at_new_garbage_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = open_service(settings_at(make_gallery(tmp_path), model_threads=1))
    monkeypatch.setattr(app_module, "Service", lambda settings: service)
    monkeypatch.setattr(app_module._AnnouncedServer, "run", lambda self: None)
    torch.set_num_threads(2)
    try:
        app_module.run_server(
            home=tmp_path, qdrant_url=None, model_threads=1, port=0, galleries=["trips"], rate_per_minute=0
        )
    finally:
        service.close()
    assert torch.get_num_threads() == 1
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] > 700


def test_embeddings_wait_while_somebody_searches(tmp_path: Path) -> None:
    service = open_service(settings_at(make_gallery(tmp_path)))
    model = service.gallery("trips").model
    n_decoding, most = 0, 0
    decode = service.decoders.decode

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal n_decoding, most
        n_decoding += 1
        most = max(most, n_decoding)
        try:
            return await decode(*args, **kwargs)  # type: ignore[arg-type]
        finally:
            n_decoding -= 1

    service.decoders.decode = counted  # type: ignore[method-assign,assignment]

    async def embed_four() -> None:
        await asyncio.gather(
            *(service.embed_photo(picture("red"), model, is_patient=True) for _ in range(4))  # type: ignore[arg-type]
        )

    async def main() -> tuple[int, int]:
        nonlocal most
        async with service.admitted("search"):
            await embed_four()
        searched, most = most, 0
        await asyncio.sleep(0.2)
        await embed_four()
        return searched, most

    try:
        assert asyncio.run(main()) == (1, 4)
    finally:
        service.close()


def test_those_who_decode_for_embeddings_let_others_go_first(tmp_path: Path) -> None:
    service = open_service(settings_at(make_gallery(tmp_path)))
    preprocessing = service.gallery("trips").model.preprocessing  # type: ignore[union-attr]

    async def nice(is_patient: bool) -> int:
        before = {child.pid for child in psutil.Process().children()}
        await service.decoders.decode(picture("red"), preprocessing, is_patient=is_patient)
        (started,) = {child.pid for child in psutil.Process().children()} - before
        return int(psutil.Process(started).nice())

    async def main() -> list[int]:
        return [await nice(False), await nice(True)]

    try:
        hurried, patient = asyncio.run(main())
        assert hurried == psutil.Process().nice()
        assert patient == min(19, hurried + PATIENT_NICENESS)
    finally:
        service.close()


def test_a_service_locates_in_a_process_of_its_own_and_ends_it(tmp_path: Path) -> None:
    encoder = open_service(settings_at(make_gallery(tmp_path)))
    model = encoder.gallery("trips").model
    encoder.close()
    service = Service(settings_at(tmp_path), {"color": model.encoder, model.fingerprint.name: model.encoder})  # type: ignore[union-attr]
    try:
        assert isinstance(service._tell, LocateProcess)
        service._locate.submit(lambda: None).result()  # it has started: nobody had to ask for that
        pid = service._tell.pid
        assert pid is not None
        told = service.gallery("trips").locate(
            np.ones(model.fingerprint.dimension, np.float32), prior="gallery",
            exclude_ids=frozenset(), with_surface=False, n_evidence=2,
        )  # fmt: skip
        assert told["countries"] and service._tell.pid == pid
    finally:
        service.close()
    assert not psutil.pid_exists(pid)
