"""A small sketch of a gallery's placed photos, by which it is seen later what has changed since.

It keeps place and group of up to 2,048 photos: those whose ids have the lowest hashes, so that two
sketches of one gallery, however much later, speak of the same photos (bottom-k sampling; Broder,
"On the resemblance and containment of documents", 1997). Up to that size nothing escapes it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .photos import Photo

SIZE = 2048


@dataclass(frozen=True)
class Sketch:
    """Photos of one gallery at one time.

    Attributes:
        n_photos: all placed photos.
        facts: hash of place and group, by the hash of the id.
    """

    n_photos: int
    facts: Mapping[str, str]

    @classmethod
    def of(cls, photos: Iterable[Photo]) -> "Sketch":
        """The sketch of placed photos, in any order."""
        facts = {_hash(photo.id): _hash(f"{photo.lon!r} {photo.lat!r} {photo.group}") for photo in photos}
        return cls(len(facts), dict(sorted(facts.items())[:SIZE]))

    def n_told_anew(self, later: "Sketch") -> int:
        """Of the photos in both sketches, how many have another place or group now."""
        return sum(later.facts.get(id, facts) != facts for id, facts in self.facts.items())

    def share_changed(self, later: "Sketch") -> float:
        """Photos that came or went since, as a share of those there are later."""
        # Beyond the last photo that both sketches reach, one of them does not tell.
        reach = min((max(one.facts, default="") for one in (self, later) if one.is_cut), default="g")
        before, after = ({id for id in one.facts if id <= reach} for one in (self, later))
        return len(before ^ after) / max(1, len(after))

    @property
    def is_cut(self) -> bool:
        """Whether it leaves photos out."""
        return self.n_photos > len(self.facts)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
