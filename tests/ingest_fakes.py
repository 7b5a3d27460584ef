"""Photos of one color, and all that a gallery knows of what was indexed."""

from pathlib import Path

from PIL import Image

from placeprint.indexer.gallery import Gallery


def draw(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 24), color).save(path)


def contents(gallery: Gallery) -> dict[str, tuple[object, ...]]:
    """All that a gallery knows, by photo."""
    photos = list(gallery.find())
    embeddings = gallery.embeddings([photo.id for photo in photos])
    return {
        p.id: (p.image, p.lon, p.lat, p.group, e.tobytes()) for p, e in zip(photos, embeddings, strict=True)
    }
