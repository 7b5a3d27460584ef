"""Settings of a run that learns regions."""

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidOption

DECAYS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
"""Weight decays to choose from, strongest first; for embeddings that are spread like a standard normal."""

LEAVE_OUT = ("blank", "indoor")


@dataclass(frozen=True, kw_only=True)
class RegionRun:
    """How regions are learned and held out.

    Attributes:
        folds: so many parts of the sub-areas are held out in turn.
        buffer_km: photos this near to one that is held out are not learned from.
        crops: parts of each photo, in another light, that are learned from beside the whole.
        least_area: smallest share of a photo that such a part has.
        least_photos: a region with fewer is left out.
        least_areas: a region with fewer sub-areas is left out: one that has but one or two has either
            nothing to learn from or nothing to be asked.
        decays: weight decays to choose from, strongest first.
        leave_out: kinds of photos not to learn from nor to be asked about, of `LEAVE_OUT`.
        seed: of what is held out together, and of the parts.
    """

    folds: int = 5
    buffer_km: float = 0.25
    crops: int = 4
    least_area: float = 0.25
    least_photos: int = 10
    least_areas: int = 3
    decays: tuple[float, ...] = DECAYS
    leave_out: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InvalidOption: one that has no meaning.
        """
        if not 2 <= self.folds <= 100:
            raise InvalidOption(f"folds={self.folds}: from 2 to 100 parts are held out in turn")
        if not 0.0 <= self.buffer_km < float("inf"):
            raise InvalidOption(f"buffer_km={self.buffer_km}: kilometers, 0 for none")
        if not 0 <= self.crops <= 64:
            raise InvalidOption(f"crops={self.crops}: from 0 to 64 parts of each photo")
        if not 0.0 < self.least_area <= 1.0:
            raise InvalidOption(f"least_area={self.least_area}: a share of a photo, above 0, at most 1")
        if self.least_photos < 2 or self.least_areas < 2:
            raise InvalidOption(
                f"least_photos={self.least_photos}, least_areas={self.least_areas}: at least 2, "
                "one to learn from and one to be asked"
            )
        if unknown := set(self.leave_out) - set(LEAVE_OUT):
            raise InvalidOption(f"leave_out={', '.join(sorted(unknown))}: one of {', '.join(LEAVE_OUT)}")
        if not self.decays or not all(0.0 < one < float("inf") for one in self.decays):
            raise InvalidOption(f"decays={self.decays}: weight decays above 0")
        if list(self.decays) != sorted(self.decays, reverse=True):
            raise InvalidOption(f"decays={self.decays}: strongest first")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
