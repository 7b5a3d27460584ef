"""Decode one small picture of every kind, so that nothing is left to be loaded afterwards.

Pillow imports modules and the C libraries open files on first use; in the sandbox they no longer
could.
"""

import base64
import contextlib
import io
from collections.abc import Iterable

from PIL import ExifTags, Image

from .errors import UnreadableImage
from .preprocessing import Preprocessing
from .thumbnail import make_thumbnail
from .upload_limits import UploadLimits

# Gray, 16 × 16. Their encoders are slow, and not everywhere where their decoders are.
_ENCODED = {
    "HEIF": (
        "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA"
        "AAAAACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAABwAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAA"
        "AA5waXRtAAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNw"
        "AAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPB"
        "iQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAEAAAAAEAAAAQAAAAAf///9AAAAAC"
        "////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAJG1kYXQAAAAYKAGvBBI43PiVoJIw"
        "rOcvPKFe3uCR8IqA"
    ),
    "AVIF": (
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAA"
        "AAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAHwAAAChpaW5mAAAAAAABAAAAGmluZmUC"
        "AAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAEAAAABAAAAAQcGl4aQAAAAADCAgIAAAA"
        "DGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAJ21kYXQSAAoJGAz/2iAhoNCA"
        "MhAex4eFWd///+LAAAB1fWZY"
    ),
}


def decode_samples(formats: Iterable[str]) -> None:
    """Read a picture of each format, with EXIF and a palette where there are such, as photos are read."""
    preprocessing = Preprocessing(size=8)
    for name in formats:
        # A Pillow built without a format refuses its photos, each with a reason.
        with contextlib.suppress(UnreadableImage, OSError, KeyError):
            limits = UploadLimits(formats=(name,))  # without them every parser would be loaded
            for sample in [base64.b64decode(_ENCODED[name])] if name in _ENCODED else _drawn(name):
                preprocessing.read(sample, limits=limits)
                make_thumbnail(sample, 8, limits=limits)


def _drawn(format: str) -> list[bytes]:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.DateTime] = "2020:01:01 00:00:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (1.0, 2.0, 3.0)
    picture = Image.new("RGB", (32, 24), "gray")
    glass = picture.convert("P")
    glass.info["transparency"] = 0
    samples = []
    for one in (picture,) if format == "JPEG" else (picture, picture.convert("RGBA"), glass):
        file = io.BytesIO()
        one.save(file, format, exif=exif.tobytes())
        samples.append(file.getvalue())
    return samples
