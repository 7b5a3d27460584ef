"""The process that decodes photos from strangers: what it may lose, and what it cannot do or tell.

Claims: a crash and a kill each cost one photo; a process that was taken over cannot fool its parent;
nothing of a file's text is in a thumbnail or in a message.
"""

import io
import os
import signal
import threading

import damaged_photos as damaged
import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin
from upload_fakes import GOOD, LIMITS, outcome, scripted_pool

from placeprint.encoders.decode_process import environment
from placeprint.encoders.decoding import DecodePool
from placeprint.encoders.errors import UnreadableImage
from placeprint.encoders.photo import open_photo


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", ["SIGSEGV", "SIGKILL"])
def test_a_photo_that_kills_the_decoder_costs_only_itself(how: str) -> None:
    script = "import time; b'EVIL' in content and time.sleep(30)"
    others: list[object] = []
    with scripted_pool(script, timeout_s=20.0) as pool:
        pool.decode(GOOD)
        process = next(iter(pool._processes))
        beside = threading.Thread(target=lambda: others.extend(pool.decode(GOOD)[0].shape for _ in range(50)))
        beside.start()
        threading.Timer(0.3, os.kill, (process.pid, getattr(signal, how))).start()
        with pytest.raises(UnreadableImage, match="crashed the decoder: damaged or malicious"):
            pool.decode(GOOD + b"EVIL")
        beside.join()
        assert others == [(32, 32, 3)] * 50
        assert pool.decode(GOOD)[0].shape == (32, 32, 3)
        assert pool.n_crashed == 1


def test_a_decoder_that_crashes_by_itself_costs_one_photo() -> None:
    script = "import ctypes; b'EVIL' in content and ctypes.string_at(0)"
    with scripted_pool(script) as pool:
        for _ in range(3):
            with pytest.raises(UnreadableImage, match="crashed the decoder"):
                pool.decode(GOOD + b"EVIL")
            assert pool.decode(GOOD)[0].shape == (32, 32, 3)
        assert (pool.n_crashed, pool.n_processes) == (3, 1)


PAYLOADS = {
    "too many pixels": "return {'facts': {}, 'shape': (9, 9, 3)}, bytes(10**6)",
    "no pixels": "return {'facts': {}}, b''",
    "no facts": "return {}, bytes(32 * 32 * 3)",
    "facts of another kind": "return {'facts': dict.fromkeys('width height orientation lon lat heading_deg "
    "captured_at'.split(), 'x')}, bytes(32 * 32 * 3)",
    "a place off the Earth": "return {'facts': {'width': 1, 'height': 1, 'orientation': 1, 'lon': 1e9, "
    "'lat': 0.0, 'heading_deg': None, 'captured_at': None}}, bytes(32 * 32 * 3)",
    "a long line": "return {'error': 'x' * 10**6}, b''",
    "no JSON": "decode_worker.json.dumps = lambda _: 'nonsense'",
    "deep JSON": "decode_worker.json.dumps = lambda _: '[' * 60000",
    "a list": "decode_worker.json.dumps = lambda _: '[1]'",
    "negative": "decode_worker.json.dumps = lambda _: '{\"bytes\": -1}'",
}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_process_that_was_taken_over_cannot_fool_its_parent(payload: str) -> None:
    with (
        scripted_pool(PAYLOADS[payload]) as pool,
        pytest.raises(UnreadableImage, match="crashed the decoder"),
    ):
        pool.decode(GOOD)


def test_a_thumbnail_is_not_longer_than_its_pixels() -> None:
    with scripted_pool("return {}, bytes(10**7)") as pool:
        with pytest.raises(UnreadableImage, match="crashed the decoder"):
            pool.thumbnail(GOOD, 64)


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "", "TooManyPixels2"])
def test_an_error_of_an_unknown_kind_is_an_unreadable_image(kind: str) -> None:
    with scripted_pool(f"return {{'error': 'a\\x1b[31m' + 'b' * 900, 'kind': '{kind}'}}, b''") as pool:
        with pytest.raises(UnreadableImage) as refused:
            pool.decode(GOOD)
    assert type(refused.value) is UnreadableImage
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) <= 500


def test_the_process_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLACEPRINT_API_KEY", "QDRANT__API_KEY", "QDRANT_API_KEY", "AWS_SECRET_ACCESS_KEY", "HOME"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert "secret" not in environment().values()
    assert environment()["PYTHONPATH"] == "/somewhere"
    with scripted_pool("return {'error': ' '.join(os.environ.values())}, b''") as pool:
        assert "secret" not in str(outcome(pool, GOOD))


SECRETS = ("GEHEIM-4711", "Erika Mustermann", "SN-0099-XYZ")


def with_secrets(rng: np.random.Generator) -> bytes:
    """A photo with a place, a serial number and names in every corner of its file."""
    number, owner, serial = SECRETS
    exif = Image.Exif()
    exif.update({
        ExifTags.Base.Artist: owner, ExifTags.Base.Copyright: owner, ExifTags.Base.ImageDescription: number,
        ExifTags.Base.Make: serial, ExifTags.Base.Orientation: int(rng.integers(1, 9)),
    })  # fmt: skip
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.BodySerialNumber: serial, ExifTags.Base.UserComment: owner.encode()}
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {ExifTags.GPS.GPSLatitude: (47.0, 11.0, 13.0), ExifTags.GPS.GPSAreaInformation: number.encode()}
    )
    xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{owner} {serial}</x:xmpmeta>".encode()
    options: dict[str, object] = {"exif": exif.tobytes(), "icc_profile": number.encode() * 20}
    format = str(rng.choice(["JPEG", "PNG", "WEBP"]))
    if format == "JPEG":
        options |= {"comment": owner.encode(), "xmp": xmp}
    elif format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", owner)
        text.add_text("Comment", serial, zip=False)
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options |= {"pnginfo": text}
    else:
        options |= {"xmp": xmp}
    size = tuple(int(side) for side in rng.integers(20, 400, 2))
    content = damaged.encoded(damaged._drawn(rng, size), format, **options)  # type: ignore[arg-type]
    return content + number.encode()


NEEDED = {
    "JPEG": {b"\xe0", b"\xdb", b"\xc0", b"\xc4", b"\xda"},  # density, tables, frame, scan
    "PNG": {b"IHDR", b"IDAT", b"IEND"},
    "WEBP": {b"VP8 "},
}


def blocks(content: bytes) -> set[bytes]:
    """The kinds of blocks that a picture file is made of; of a JPEG up to its pixels."""
    found: set[bytes] = set()
    if content.startswith(b"\xff\xd8"):
        place = 2
        while b"\xda" not in found:
            found.add(content[place + 1 : place + 2])
            place += 2 + int.from_bytes(content[place + 2 : place + 4])
        return found
    is_png = content.startswith(b"\x89PNG")
    place = 8 if is_png else 12
    while place < len(content):
        kind, length = content[place + 4 : place + 8], content[place : place + 4]
        if not is_png:
            kind, length = length, kind
        size = int.from_bytes(length, "big" if is_png else "little")
        place += 12 + size if is_png else 8 + size + size % 2
        found.add(kind)
    return found


@pytest.mark.parametrize("format, n", [("JPEG", 100), ("PNG", 30), ("WEBP", 30)])
def test_no_secret_of_a_hundred_photos_is_in_a_thumbnail(
    format: str, n: int, rng: np.random.Generator, pool: DecodePool
) -> None:
    seen: set[str] = set()
    for _ in range(n):
        content = with_secrets(rng)
        seen |= {secret for secret in SECRETS if secret.encode() in content}
        thumbnail = pool.thumbnail(content, 128, format=format)
        found = [secret for secret in SECRETS if secret.encode() in thumbnail]
        assert found == []
        assert blocks(thumbnail) <= NEEDED[format]
        with Image.open(io.BytesIO(thumbnail)) as picture:
            assert not dict(picture.getexif())
            assert max(picture.size) <= 128
    assert seen == set(SECRETS)


def test_of_an_error_of_the_decoder_only_its_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(*arguments: object, **options: object) -> None:
        raise ValueError("unexpected GEHEIM-4711")

    monkeypatch.setattr(Image, "open", trip)
    with pytest.raises(UnreadableImage, match=r"damaged \(ValueError\)$"):
        open_photo(GOOD, limits=LIMITS)


def test_a_message_quotes_nothing_of_the_file(rng: np.random.Generator, pool: DecodePool) -> None:
    for _ in range(100):
        content = bytearray(with_secrets(rng))
        for place in rng.integers(len(content), size=int(rng.integers(1, 30))):
            content[place] ^= int(rng.integers(1, 256))
        told = outcome(pool, bytes(content[: rng.integers(len(content) // 2, len(content))]))
        assert isinstance(told, bytes) or not any(secret in told for secret in SECRETS), told
