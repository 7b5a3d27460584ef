"""Maps that need no server: read vector layers, draw them once, cut a view around any place.

    layer = read_layer("liechtenstein.osm.pbf")
    build_mosaic([layer], "li.tif", zooms=[14, 16])
    views = Mosaic.open("li.tif").crops([[9.52, 47.14]], ground_m=1000.0)   # (1, 224, 224) class ids
    png = map_png(views[0])

This is the door to `encoders.mosaics`, whose modules say the rest. Maps from tile servers, for a preview
and never in bulk: `mosaics.tile_source`.
"""

from .mosaics.build import build_mosaic
from .mosaics.entropy import entropy_bits, sampling_weight
from .mosaics.layers import Layer, layer_of, read_layer
from .mosaics.legend import CLASSES, LEGEND_VERSION, N_CLASSES, NODATA, MapClass, class_id
from .mosaics.mosaic import Mosaic
from .mosaics.styles import STYLES, paint
from .mosaics.styles import png_bytes as map_png
from .mosaics.synthetic_city import synthetic_city

__all__ = [
    "CLASSES",
    "LEGEND_VERSION",
    "NODATA",
    "N_CLASSES",
    "STYLES",
    "Layer",
    "MapClass",
    "Mosaic",
    "build_mosaic",
    "class_id",
    "entropy_bits",
    "layer_of",
    "map_png",
    "paint",
    "read_layer",
    "sampling_weight",
    "synthetic_city",
]
