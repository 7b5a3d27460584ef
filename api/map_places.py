"""Which maps a training looks at, and at which places of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # they load torch and GDAL, which `--help` must not
    import numpy as np
    from numpy.typing import NDArray

    from ..encoders.areas import Box
    from ..encoders.map_learning.crop_source import CropSource


Maps = Annotated[
    list[Path], typer.Option("--mosaic", help="Map to learn from; several times for several maps.")
]
RunFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made if it is not there.")]
DrawnIn = Annotated[
    str | None,
    typer.Option("--area", metavar="W,S,E,N", help="Draw places here; by default all over the maps."),
]
Points = Annotated[
    Path | None,
    typer.Option("--points", help="Learn from the places of this table or vector file instead."),
]


def opened_maps(paths: list[Path]) -> "tuple[CropSource, Box | None, dict[str, Any]]":
    """The maps as one source, the box of a single one, and what the card should say of them."""
    from ..encoders.map_learning.crop_source import Patchwork
    from ..encoders.mosaics.mosaic import Mosaic

    opened = [Mosaic.open(path) for path in paths]
    facts = {
        "mosaics": [path.name for path in paths],
        "sources": sorted({source for one in opened for source in one.about.sources}),
        "attribution": "; ".join(sorted({credit for one in opened for credit in one.about.credit})),
    }
    if len(opened) == 1:
        return opened[0], opened[0].bounds, facts
    return Patchwork([(one.bounds, one) for one in opened]), None, facts


def places_of(
    source: "CropSource", box: "Box | None", area: str | None, points: Path | None, **draw: Any
) -> "NDArray[np.float64]":
    """Places to learn from: those of a file, or drawn from an area, or from all over the maps.

    Args:
        source: of the crops.
        box: of a single map.
        area: ``W,S,E,N`` as typed.
        points: a table or vector file.
        draw: number, width of a crop and seed; see `map_learning.crop_source.places_in`.

    Raises:
        BadParameter: both ways to say where, or no box.
    """
    import numpy as np

    from ..encoders.areas import Box
    from ..encoders.map_learning.crop_source import Patchwork, places_in
    from ..encoders.map_learning.labels import read_places

    if points is not None and area is not None:
        raise typer.BadParameter("--points says where to learn, and so does --area: give one of them")
    if points is not None:
        return read_places(points)
    if area is not None:
        return places_in(source, _box(area), **draw)
    if box is not None:
        return places_in(source, box, **draw)
    assert isinstance(source, Patchwork)
    boxes: list[Box] = [one for one, _ in source.sources]
    shares = np.array([one.area_km2 for one in boxes])
    counts = np.maximum(1, np.round(draw.pop("n") * shares / shares.sum()).astype(int))
    width, seed = draw["ground_m"], draw["seed"]
    drawn = [
        places_in(own, box, n, ground_m=width, seed=seed + number)
        for number, ((box, own), n) in enumerate(zip(source.sources, counts.tolist(), strict=True))
    ]
    # Where maps overlap, the first is looked at, and its places stand for the ground of both.
    kept = [lonlat[source.owners(lonlat) == number] for number, lonlat in enumerate(drawn)]
    return np.concatenate(kept)


def _box(text: str) -> "Box":
    from ..encoders.areas import Box

    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--area {text}: four numbers, west,south,east,north degrees") from None
    return Box(west, south, east, north)
