"""The picture formats that are read at all, each parser loaded only when its format is wanted.

The rarer parsers are where image libraries have had their holes, so a parser that nobody asked for
is not even imported.
"""

from collections.abc import Iterable
from importlib import import_module

from PIL import Image

# Pillow reads MPO through JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "HEIF", "AVIF", "TIFF", "WEBP")
THREADED = frozenset({"HEIF", "AVIF"})
"""Formats whose decoders start threads."""

_MODULES = {
    "JPEG": ("PIL.JpegImagePlugin", "PIL.MpoImagePlugin"),
    "PNG": ("PIL.PngImagePlugin",),
    "GIF": ("PIL.GifImagePlugin",),
    "BMP": ("PIL.BmpImagePlugin",),
    "AVIF": ("PIL.AvifImagePlugin",),
    "TIFF": ("PIL.TiffImagePlugin",),
    "WEBP": ("PIL.WebPImagePlugin",),
}


def load_parsers(formats: Iterable[str]) -> None:
    """Make Pillow know the formats, out of `FORMATS`. Without this it would load every parser it has."""
    for name in formats:
        if name in Image.OPEN:
            continue
        if name == "HEIF":
            import_module("pillow_heif").register_heif_opener()
        for module in _MODULES.get(name, ()):
            import_module(module)


def has_signature(content: bytes, formats: Iterable[str]) -> bool:
    """Whether a file begins as one of the formats does, whatever comes after."""
    for name in formats:
        accept = Image.OPEN[name][1]
        if accept is None or accept(content[:16]) is True:
            return True
    return False
