"""What a photo may cost that somebody sent over the network."""

from dataclasses import dataclass

from .errors import InvalidOption, TooManyPixels
from .photo_formats import FORMATS


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """The formats that are taken and the most that decoding one photo may use.

    The defaults take any photo of up to 50 megapixels in the three formats of the web. HEIF and
    AVIF are possible, but their decoders have had many holes; the sandbox is then the last wall.
    """

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP")  # of `photo_formats.FORMATS`
    max_pixels: int = 50_000_000
    max_edge_px: int = 20_000
    memory_bytes: int = 1 << 30  # address space of a worker: 0.12 GB before, up to 1.01 GB with such a photo
    cpu_s: float = 8.0  # processor time a photo, rounded up to a whole second; such photos take 0.1 to 6

    def __post_init__(self) -> None:
        unknown = sorted(set(self.formats) - set(FORMATS))
        if unknown or not self.formats:
            raise InvalidOption(
                f"formats of uploads: {', '.join(unknown) or 'none'}; choose from {', '.join(FORMATS)}"
            )
        if min(self.max_pixels, self.max_edge_px, self.memory_bytes, self.cpu_s) <= 0:
            raise InvalidOption("the limits of uploads must all be above 0")

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture by the size that its header states, before memory is taken for it.

        Raises:
            TooManyPixels: larger than the limits.
        """
        if width * height > self.max_pixels:
            raise TooManyPixels(
                f"{width:,} × {height:,} is more than {self.max_pixels:,} pixels; send it smaller"
            )
        if max(width, height) > self.max_edge_px:
            raise TooManyPixels(
                f"{width:,} × {height:,} has an edge above {self.max_edge_px:,} pixels; send it smaller"
            )
