"""Published results on the benchmarks of `protocols`, to be read beside one's own.

For orientation only: training data, crops, what the gallery shares with the queries, and what a language
model has seen differ from row to row, and the figures were not measured again here. They are from
the papers themselves, or from later papers that quote them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .geolocate import RADII_KM

CAVEAT: Final = (
    "published figures, for orientation only: training data, crops and leakage between gallery and queries "
    "differ from row to row, and none was measured again here"
)


@dataclass(frozen=True)
class Published:
    """One method on one benchmark.

    Attributes:
        protocol: name of the benchmark.
        method: as its authors call it.
        percent: of the photos within 1, 25, 200, 750 and 2,500 km; None where it was not told.
        besides: what else was told, in words; "" for nothing.
    """

    protocol: str
    method: str
    percent: tuple[float | None, ...]
    besides: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The figures as an evaluation names its own, as shares."""
        within = zip(RADII_KM, self.percent, strict=True)
        shares = {
            f"within_{radius:g}_km": None if one is None else round(one / 100.0, 4) for radius, one in within
        }
        return {"method": self.method, **shares} | ({"besides": self.besides} if self.besides else {})


# fmt: off
_Row = tuple[str, float | None, float | None, float | None, float | None, float | None]
_FIGURES: Final[dict[str, tuple[_Row, ...]]] = {
    "im2gps3k": (
        ("PlaNet", 8.5, 24.8, 34.3, 48.4, 64.6),
        ("CPlaNet", 10.2, 26.5, 34.6, 48.6, 64.6),
        ("ISN", 10.5, 28.0, 36.6, 49.7, 66.0),
        ("base(M, f*), ResNet50", 10.1, 28.0, 36.9, 51.1, 67.0),
        ("SwC", 15.0, 30.0, 38.0, 52.3, 67.6),
        ("StreetCLIP, zero-shot", None, 22.4, 37.4, 61.3, 80.4),
        ("TransLocator", 11.8, 31.1, 46.7, 58.9, 80.1),
        ("GeoDecoder", 12.8, 33.5, 45.9, 61.0, 76.1),
        ("GeoCLIP", 14.1, 34.5, 50.7, 69.7, 83.8),
        ("PIGEOTTO", 11.3, 36.7, 53.8, 72.4, 85.3),
        ("LocDiff", 10.9, 34.0, 53.3, 72.5, 85.2),
        ("LocDiff-H", 15.3, 36.5, 56.4, 75.2, 87.4),
        ("G3 (GPT-4V)", 16.7, 40.9, 55.6, 71.2, 84.7),
        ("Img2Loc (GPT-4V)", 17.1, 45.1, 57.9, 72.9, 84.7),
        ("HierLoc", 11.3, 43.8, 58.4, 74.1, 85.1),
        ("GeoSURGE", 17.2, 42.5, 58.1, 74.6, 87.6),
        ("GeoToken", 16.8, 39.6, 53.8, 70.8, 85.0),
        ("GeoToken, with an LLM", 19.0, 46.0, 60.1, 76.6, 88.8),
        ("GeoRanker (Qwen2-VL-7B)", 18.8, 45.1, 61.5, 76.3, 89.3),
        ("Pinpoint", 20.5, 47.4, 63.5, 79.0, 90.2),
        ("GeoRouter", 20.8, 50.5, 65.7, 80.4, 90.7),
        ("GeoSearch + GeoRanker (web)", 23.6, 55.1, 67.1, 79.8, 89.6),
    ),
    "yfcc4k": (
        ("PlaNet", 5.6, 14.3, 22.2, 36.4, 55.8),
        ("CPlaNet", 7.9, 14.8, 21.9, 36.4, 55.5),
        ("ISN", 6.5, 16.2, 23.8, 37.4, 55.0),
        ("SwC", 7.9, 14.3, 21.9, 37.4, 56.5),
        ("TransLocator", 8.4, 18.6, 27.0, 41.1, 60.4),
        ("GeoDecoder", 10.3, 24.4, 33.9, 50.0, 68.7),
        ("GeoCLIP, by G3's authors", 9.6, 19.3, 32.6, 55.0, 74.7),
        ("PLONK", None, 23.7, 36.4, 54.5, 73.6),
        ("PLONK, by a user", 9.8, 32.6, 43.8, 59.6, 75.1),
        ("PIGEOTTO", 10.4, 23.7, 40.6, 62.2, 77.7),
        ("Img2Loc", 14.1, 29.6, 41.4, 59.3, 76.9),
        ("G3", 24.0, 35.9, 47.0, 64.3, 78.2),
        ("GeoSURGE", 19.9, 33.6, 48.7, 67.4, 82.0),
        ("GeoRanker", 32.9, 43.5, 54.3, 69.8, 82.5),
        ("Pinpoint", 33.0, 44.4, 57.5, 71.8, 84.5),
        ("GeoRouter", 33.0, 46.0, 57.5, 72.0, 83.0),
    ),
    "im2gps": (
        ("PlaNet", 8.4, 24.5, 37.6, 53.6, 71.3),
        ("base(M, f*)", 15.2, 40.9, 51.5, 65.4, 78.5),
        ("TransLocator", 19.9, 48.1, 64.6, 75.6, 86.7),
        ("GeoCLIP", 16.5, None, None, None, 88.6),
        ("GeoSURGE", 27.0, None, None, None, 93.2),
        ("PIGEOTTO", 11.8, None, None, None, 91.1),
    ),
    "yfcc26k": (
        ("PlaNet", 4.4, 11.0, 16.9, 28.5, 47.7),
        ("TransLocator", 7.2, 17.8, 28.0, 41.3, 60.6),
        ("GeoCLIP", 11.6, None, None, None, None),
        ("GeoSURGE", 17.8, 31.5, None, None, None),
        ("PIGEOTTO", 10.1, None, None, None, None),
    ),
    "osv5m": (
        ("OSV-5M's baseline", None, None, None, None, None),
        ("Pinpoint", None, 35.6, 67.5, 83.7, 93.2),
        ("LocDiff", None, 11.0, 46.3, 77.0, 88.2),
        ("GaGA", 0.1, 8.0, 40.1, 68.0, 85.4),
    ),
}
# fmt: on
_BESIDES: Final = {
    ("osv5m", "OSV-5M's baseline"): "GeoScore 3361, mean 1,814 km, country 68.0 %, region 39.4 %",
    ("yfcc4k", "PLONK, by a user"): "GeoScore 3100.7, mean 2,394 km",
}


def published(protocol: str) -> list[Published]:
    """What was published on a benchmark, about in the order of time; [] where we know nothing."""
    return [
        Published(protocol, row[0], row[1:], _BESIDES.get((protocol, row[0]), ""))
        for row in _FIGURES.get(protocol, ())
    ]
