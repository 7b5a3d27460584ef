"""Placeprint: an embedding for every photo and every place on Earth.

The names below load their modules on first use, so that ``import placeprint`` stays quick.
"""

__version__ = "0.1.0"
