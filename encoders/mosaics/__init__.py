"""Maps as rasters of class ids: read vector layers, rasterize them once, cut many views.

What a user of the library needs is imported from `placeprint.encoders.maps`.
"""
