"""Pixels are counted before they are decoded: by request, and by caller and minute."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from served import JPEG, TRIPS, Serve, is_problem, make_gallery, picture, serving

from placeprint.api.serving import pixels
from placeprint.api.serving.pixels import BILL, Bill, PixelBudget, charge, stated_pixels
from placeprint.api.serving.refusals import BodyTooLarge, TooManyRequests


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("pixels"))


def photo(kind: str, width: int, height: int, **how: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind, **how)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "how"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"comment": b"\xff\xc0" * 20_000}), ("PNG", {}),
     ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": b"Exif\0\0II*\0"})],
)  # fmt: skip
def test_the_header_says_how_many_pixels_there_are(kind: str, how: dict[str, object]) -> None:
    assert stated_pixels(photo(kind, 320, 200, **how)) == 64_000


def test_of_several_statements_the_largest_counts() -> None:
    small, large = photo("PNG", 10, 10), photo("PNG", 100, 90)
    assert stated_pixels(small[:33] + large[8:33] + small[33:]) == 9_000
    frame = photo("JPEG", 100, 90)
    start = frame.index(b"\xff\xc0")
    assert stated_pixels(photo("JPEG", 10, 10)[:2] + frame[start:]) == 9_000


@pytest.mark.parametrize("filler", [b"", b"\xff" * 64])
def test_a_header_of_endless_segments_states_nothing(filler: bytes) -> None:
    jpeg, segment = photo("JPEG", 100, 90), filler + b"\xff\xe1\0\x02"
    assert stated_pixels(jpeg[:2] + segment * 1_000 + jpeg[2:]) == 9_000
    assert stated_pixels(jpeg[:2] + segment * 2_100 + jpeg[2:]) is None


def test_a_png_of_endless_chunks_states_nothing() -> None:
    png, chunk = photo("PNG", 100, 90), bytes(4) + b"tEXt" + bytes(4)
    assert stated_pixels(png[:33] + chunk * 2_000 + png[33:]) == 9_000
    assert stated_pixels(png[:33] + chunk * 2_100 + png[33:]) is None


def test_only_so_many_bytes_between_segments_are_looked_at() -> None:
    jpeg, segment = photo("JPEG", 100, 90), bytes(1_000) + b"\xff\xe1\0\x02"
    assert stated_pixels(jpeg[:2] + segment * 60 + jpeg[2:]) == 9_000
    assert stated_pixels(jpeg[:2] + segment * 70 + jpeg[2:]) is None


def test_a_file_that_states_nothing_counts_as_the_largest() -> None:
    bill = Bill("key a", PixelBudget(0), largest=1_000)
    token = BILL.set(bill)
    try:
        charge(b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n")
        assert bill.n_pixels == 2_000
        charge(b"no photo at all")
        assert bill.n_pixels == 2_000
        bill.takes_others = True
        charge(b"no photo that is known here")
        assert bill.n_pixels == 3_000
    finally:
        BILL.reset(token)


def test_a_caller_gets_pixels_back_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pixels.time, "monotonic", lambda: now)
    budget = PixelBudget(60)
    budget.take("a", 50)
    with pytest.raises(TooManyRequests) as refused:
        budget.take("a", 20)
    assert refused.value.retry_after_s in (10, 11)
    budget.take("b", 60)  # another has a budget of its own
    now += 10.0
    budget.take("a", 20)
    with pytest.raises(TooManyRequests):
        budget.take("a", 1)
    now += 1000.0
    budget.take("a", 90)  # more than a minute holds, once all of it is there; else it would never come
    now += 30.0
    with pytest.raises(TooManyRequests):
        budget.take("a", 1)


def test_callers_are_forgotten_and_none_is_refused_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_MOST_CALLERS", 10)
    budget = PixelBudget(60)
    for i in range(50):
        budget.take(str(i), 60)
    assert len(budget._left) == 10


def test_one_request_has_so_many_pixels_and_no_more(home: Path) -> None:
    many = [("images", (f"{i}.png", picture("red", 1000), "image/png")) for i in range(5)]
    with serving() as start:
        client = start(home, max_pixels_mp=1.0)
        answer = client.post("/v1/embed/images", files=many)
        assert is_problem(answer, 413) and "5 megapixels together" in answer.json()["detail"]
        assert client.post("/v1/embed/images", files=many[:4]).status_code == 200
        tokens = client.post("/v1/embeddings", json={"input": ["data:image/png;base64," + _base64()] * 5})
        assert is_problem(tokens, 413)


def _base64() -> str:
    return base64.b64encode(picture("red", 1000)).decode()


def ways(start: Serve, home: Path) -> None:
    client = start(home, max_pixels_mp=1.0, megapixels_per_minute=2, geolocation=True)
    assert client.post("/v1/embed/images", content=picture("red", 1000), headers=JPEG).status_code == 200
    assert client.post("/v1/embed/images", content=picture("red", 1000), headers=JPEG).status_code == 200
    asked = (
        ("/v1/embed/images", {"content": picture("red", 1000), "headers": JPEG}),
        (f"{TRIPS}/search/image", {"content": picture("red", 1000), "headers": JPEG}),
        (f"{TRIPS}/geolocate", {"content": picture("red", 1000), "headers": JPEG}),
        (f"{TRIPS}/photos", {"content": picture("red", 1000), "headers": JPEG}),
        (f"{TRIPS}/search", {"json": {"queries": [{"image": _base64()}]}}),
        ("/v1/embeddings", {"json": {"input": {"image": _base64()}}}),
    )
    for path, how in asked:
        answer = client.post(path, **how)  # type: ignore[arg-type]
        assert is_problem(answer, 429), path
        assert 20 <= int(answer.headers["Retry-After"]) <= 32
        assert "MEGAPIXELS_PER_MINUTE" in answer.json()["detail"]
    assert client.get(f"{TRIPS}/photos").status_code == 200  # what has no pixels goes on
    told = client.get("/metrics").text
    assert 'placeprint_refused_total{reason="pixels"}' in told


def test_a_caller_may_send_so_many_pixels_a_minute_whichever_way(home: Path) -> None:
    with serving() as start:
        ways(start, home)


def test_no_bill_no_limit() -> None:
    assert BILL.get() is None
    charge(picture("red"))
    token = BILL.set(Bill("a", PixelBudget(0), largest=10))
    try:
        with pytest.raises(BodyTooLarge):
            charge(*[picture("red")] * 5)
    finally:
        BILL.reset(token)
