"""Erasing over HTTP: the photo is gone at once, and nobody waits while its files are made anew."""

import threading
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import JPEG, TRIPS, ids, make_gallery, picture, serving

from placeprint.indexer.gallery import Gallery


def test_questions_and_writes_go_on_while_a_photo_is_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    finish = Gallery.finish_erasing

    def held(gallery: Gallery) -> None:
        begun.set()
        assert may_end.wait(30.0)
        finish(gallery)

    monkeypatch.setattr(Gallery, "finish_erasing", held)
    with serving() as serve:
        client: TestClient = serve(make_gallery(tmp_path), precision="exact")
        id = ids(client.post(f"{TRIPS}/search/image", content=picture("red"), headers=JPEG))[0]
        answers: list[int] = []
        erasing = threading.Thread(
            target=lambda: answers.append(client.delete(f"{TRIPS}/photos/{id}?erase=true").status_code)
        )
        erasing.start()
        try:
            assert begun.wait(30.0)
            found = client.post(f"{TRIPS}/search/image", content=picture("red"), headers=JPEG)
            assert id not in ids(found) and len(ids(found)) == 10
            assert client.get(f"{TRIPS}/photos/{id}").status_code == 404
            added = client.post(f"{TRIPS}/photos?lon=2.0&lat=48.0", content=picture("green"), headers=JPEG)
            assert added.status_code in (200, 201)
            assert answers == []
        finally:
            may_end.set()
            erasing.join(30.0)
        assert answers == [200]
