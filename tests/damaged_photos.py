"""Photos as nobody should send them: damaged, malicious, in formats that are not taken.

Everything is drawn and made here from a seed; nothing is a real photo. `damaged_photos` is the
stream that tests send to a decoder or a service; `header_bombs` and `foreign_formats` are the
cases that must be refused.
"""

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import ExifTags, Image

Rng = np.random.Generator
Kind = Callable[[Rng], bytes]

LARGE = 10_000_000  # bytes of metadata
N_FRAMES = 10_000


def damaged_photos(n: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`n` files with a name each, the same for the same seed; a few of them can still be decoded."""
    rng = np.random.default_rng(seed)
    kinds = list(_KINDS)
    shares = np.array([_KINDS[kind][0] for kind in kinds], float)
    for number, chosen in enumerate(rng.choice(len(kinds), n, p=shares / shares.sum())):
        yield f"{number:05d}-{kinds[chosen]}", _KINDS[kinds[chosen]][1](rng)


def header_bombs() -> dict[str, bytes]:
    """Small files that announce enormous pictures."""
    jpeg = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    webp = {
        f"webp {kind.decode().strip()}": _riff(kind, body)
        for kind, body in {
            b"VP8X": b"\x10\0\0\0" + 2 * (65_499).to_bytes(3, "little"),
            b"VP8L": b"\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little"),
            b"VP8 ": b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383),
        }.items()
    }
    return {
        "png 65500": _png_header(65_500, 65_500, 8, 2) + _png_end(),
        "png 1 bit 50000": _png_header(50_000, 50_000, 1, 0) + _png_end(),
        "png 2^31": _png_header(2**31 - 1, 2**31 - 1, 16, 6) + _png_end(),
        "jpeg 65500": bytes(jpeg),
        **webp,
    }


def foreign_formats() -> dict[str, bytes]:
    """Files in formats that uploads do not take."""
    picture = _drawn(np.random.default_rng(5), (40, 30))
    fits = "".join(
        f"{card:<80}"
        for card in (
            "SIMPLE  =                    T", "BITPIX  =                    8",
            "NAXIS   =                    2", "NAXIS1  =                   40",
            "NAXIS2  =                   30", "END",
        )
    )  # fmt: skip
    return {
        "eps": encoded(picture, "EPS"),
        "tiff": encoded(picture, "TIFF"),
        "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30, 40, 8, 3) + bytes(14 + 40 * 30 * 3),
        "fits": fits.ljust(2880).encode() + bytes(2880),
        "jpeg2000": encoded(picture, "JPEG2000"),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "pdf": encoded(picture, "PDF"),
        "ico": encoded(picture.resize((32, 32)), "ICO"),
        "gif and html": encoded(picture, "GIF") + b"<html><script>alert(1)</script></html>",
        "bmp": encoded(picture, "BMP"),
        "html": b"<!doctype html><title>photo</title>",
        "text": b"no picture at all",
        "nothing": b"",
    }


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def many_scans(n: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """A progressive JPEG one of whose scans comes `n` times more."""
    content = encoded(_drawn(np.random.default_rng(7), size), "JPEG", progressive=True)
    starts = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xda"]
    return content[: starts[-1]] + content[starts[-1] : -2] * (n + 1) + content[-2:]


def _drawn(rng: Rng, size: tuple[int, int]) -> Image.Image:
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@functools.cache
def _seeds() -> tuple[bytes, ...]:
    """Thirty intact pictures of all the kinds that are taken."""
    rng = np.random.default_rng(30)
    sizes = [(640, 480), (211, 97), (64, 64), (33, 120), (1, 1)]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.DateTime] = "2021:06:01 12:00:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (47.0, 3.0, 1.5)
    files = []
    for size in sizes:
        picture = _drawn(rng, size)
        glass = picture.copy()
        glass.putalpha(picture.convert("L"))
        files += [
            encoded(picture, "JPEG", quality=85, exif=exif.tobytes()),
            encoded(picture.convert("CMYK" if size[0] > 64 else "L"), "JPEG", progressive=True),
            encoded(picture if size[0] > 64 else picture.convert("P"), "PNG", exif=exif.tobytes()),
            encoded(glass, "PNG"),
            encoded(picture, "WEBP", exif=exif.tobytes()),
            encoded(glass, "WEBP", lossless=True),
        ]
    return tuple(files)


def _any_seed(rng: Rng) -> bytes:
    return _seeds()[rng.integers(len(_seeds()))]


def _truncated(rng: Rng) -> bytes:
    content = _any_seed(rng)
    return content[: len(content) * int(rng.integers(100)) // 100]


def _flipped(rng: Rng) -> bytes:
    content = bytearray(_any_seed(rng))
    for place in rng.integers(len(content), size=int(rng.integers(1, 201))):
        content[place] ^= int(rng.integers(1, 256))
    return bytes(content)


def _edited_header(rng: Rng) -> bytes:
    content = bytearray(_any_seed(rng))
    for place in rng.integers(min(96, len(content)), size=int(rng.integers(1, 9))):
        content[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
    if content[:4] == b"\x89PNG":  # or the checksum would hide the edit
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def _shuffled(rng: Rng) -> bytes:
    """Blocks of one file in another order, or of two files mixed."""
    first, second = _any_seed(rng), _any_seed(rng)
    cut, other = int(rng.integers(len(first))), int(rng.integers(len(second)))
    return first[:cut] + second[other:]


def _noise(rng: Rng) -> bytes:
    heads = (
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x40\x01\0\0WEBPVP8 ",
        b"RIFF\x40\x01\0\0WEBPVP8X",
        b"",
    )
    return heads[rng.integers(len(heads))] + rng.bytes(int(rng.integers(1, 4096)))


def _polyglot(rng: Rng) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("evil.py", "raise SystemExit")
    jpeg, html = _seeds()[0], b"<html><script>alert(1)</script></html>"
    return (
        jpeg + archive.getvalue(),
        encoded(_drawn(rng, (30, 20)), "GIF") + html,
        b"%PDF-1.4\n" + jpeg,
        jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(html) + 2) + html + jpeg[2:],
        html + jpeg,
    )[rng.integers(5)]


def _exif_loop(rng: Rng) -> bytes:
    """EXIF whose directories point at themselves and at each other, with counts beyond the file."""
    n = int(rng.integers(1, 40))
    tags = [0x0112, 0x8769, 0x8825, 0xA005, *rng.integers(0x100, 0xFFFF, n)]
    entries = b""
    for tag in sorted(int(tag) for tag in tags):
        kind = 4 if tag in (0x8769, 0x8825, 0xA005) else int(rng.integers(1, 13))
        count = 1 if kind == 4 else int(rng.choice([1, 2, 9, 2**16, 2**31, 2**32 - 1]))
        entries += struct.pack("<HHII", tag, kind, count, int(rng.choice([0, 6, 8, 14, 200])))
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 8)
    return _with_segments(_plain_jpeg(), 0xE1, [block])


def _large_metadata(rng: Rng) -> bytes:
    return _large_files()[rng.integers(len(_large_files()))]


@functools.cache
def _large_files() -> tuple[bytes, ...]:
    n = LARGE // 65_000
    exif = [b"Exif\0\0MM\0*\0\0\0\x08\0\0" + bytes(65_000)] * n
    icc = [b"ICC_PROFILE\0" + bytes([1 + number % 255, 255]) + bytes(65_000) for number in range(n)]
    tiny = [b"Exif\0\0"] * (LARGE // 100)
    bomb = zlib.compress(bytes(LARGE), 9)
    text = b"XML:com.adobe.xmp\0\0\0\0\0"
    return (
        _with_segments(_plain_jpeg(), 0xE1, exif),
        _with_segments(_plain_jpeg(), 0xE2, icc),
        _with_segments(_plain_jpeg(), 0xE1, tiny),
        _with_chunks([(b"iTXt", text + bytes(LARGE))]),
        _with_chunks([(b"iTXt", b"Comment\0\1\0\0\0" + bomb)]),
        _with_chunks([(b"zTXt", b"Comment\0\0" + bomb)]),
        _with_chunks([(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000), 9))] * 200),
        _with_chunks([(b"iCCP", b"profile\0\0" + bomb)]),
        _with_chunks([(b"eXIf", b"MM\0*\0\0\0\x08\0\0" + bytes(LARGE))]),
        _with_chunks([(b"tEXt", b"a\0b")] * (LARGE // 100)),
    )


def _long_animation(rng: Rng) -> bytes:
    return _animations()[rng.integers(3)]


@functools.cache
def _animations() -> tuple[bytes, bytes, bytes]:
    """A GIF, a WebP and an APNG of `N_FRAMES` frames each."""
    gif = encoded(Image.new("P", (4, 4)), "GIF")
    head = gif.index(b"\x2c")
    frame = encoded(Image.new("RGB", (4, 4), "red"), "WEBP", lossless=True)[12:]
    place = bytes(6) + 2 * (3).to_bytes(3, "little") + (40).to_bytes(3, "little") + b"\0"
    webp = _chunk_riff(b"VP8X", b"\x02\0\0\0" + 2 * (3).to_bytes(3, "little")) + _chunk_riff(
        b"ANIM", bytes(6)
    )
    webp += _chunk_riff(b"ANMF", place + frame) * N_FRAMES
    still = _png_header(4, 4, 8, 2)
    pixels = zlib.compress(bytes(4 * 13))
    parts = [still, _chunk(b"acTL", struct.pack(">II", N_FRAMES, 0)), _fctl(0), _chunk(b"IDAT", pixels)]
    for number in range(1, N_FRAMES):
        parts += [_fctl(2 * number - 1), _chunk(b"fdAT", struct.pack(">I", 2 * number) + pixels)]
    return (
        gif[:head] + gif[head:-1] * N_FRAMES + gif[-1:],
        b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp,
        b"".join([*parts, _chunk(b"IEND", b"")]),
    )


def _fctl(number: int) -> bytes:
    return _chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 4, 4, 0, 0, 1, 25, 0, 0))


def _scans(rng: Rng) -> bytes:
    return many_scans(int(rng.choice([5, 50, 500, 3000])))


def _bomb(rng: Rng) -> bytes:
    bombs = list(header_bombs().values())
    return bombs[rng.integers(len(bombs))]


def _foreign(rng: Rng) -> bytes:
    files = list(foreign_formats().values())
    return files[rng.integers(len(files))]


def _plain_jpeg() -> bytes:
    return _seeds()[1]


def _with_segments(jpeg: bytes, marker: int, bodies: list[bytes]) -> bytes:
    made = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for body in bodies)
    return jpeg[:2] + made + jpeg[2:]


def _with_chunks(chunks: list[tuple[bytes, bytes]]) -> bytes:
    png = encoded(_drawn(np.random.default_rng(9), (64, 48)), "PNG")
    return png[:33] + b"".join(_chunk(kind, body) for kind, body in chunks) + png[33:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_header(width: int, height: int, bits: int, color: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)


def _png_end() -> bytes:
    return _chunk(b"IDAT", zlib.compress(bytes(100_000))) + _chunk(b"IEND", b"")


def _chunk_riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _riff(kind: bytes, body: bytes) -> bytes:
    chunks = _chunk_riff(kind, body + bytes(64) if kind != b"VP8X" else body)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


_KINDS: dict[str, tuple[int, Kind]] = {
    "truncated": (25, _truncated),
    "flipped": (30, _flipped),
    "header": (15, _edited_header),
    "shuffled": (6, _shuffled),
    "noise": (5, _noise),
    "polyglot": (4, _polyglot),
    "exif-loop": (6, _exif_loop),
    "large-metadata": (2, _large_metadata),
    "animation": (2, _long_animation),
    "scans": (1, _scans),
    "bomb": (2, _bomb),
    "foreign": (2, _foreign),
}
