"""Which region a photo was taken in."""

from .base import Answer


class RegionClassifierOut(Answer):
    """A classifier of regions."""

    name: str
    regions: list[str]
    """All that it knows."""
    mean_recall: float | None
    """Mean over regions of the share told right, of photos of sub-areas it never saw."""
    model: str
    """Whose embeddings it reads."""


class RegionClassifiersOut(Answer):
    """The classifiers that may be asked here."""

    classifiers: list[RegionClassifierOut]


class RegionShareOut(Answer):
    """A region and how probable it is."""

    region: str
    probability: float


class RegionsOut(Answer):
    """Regions of a photo, the likeliest first."""

    classifier: str
    regions: list[RegionShareOut]
    n_regions: int
    """That the classifier knows; a photo from elsewhere is given to one of them, too."""
    n_photos: int
