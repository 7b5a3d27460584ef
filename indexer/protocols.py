"""Benchmarks of photo geolocation: which photos they consist of, and how they count.

A figure can stand beside a published one only if it is of the same photos, counted the same way. So each
benchmark says how many photos it has, how their ids look and, where we know them, the hash of all ids:
lists have been mixed up before (one project's link to YFCC4k gave the list of YFCC26k, another's
metadata had the columns LON and LAT exchanged for a while). No photo and no list comes with the
package; `protocol_source` reads those that the user has.

An id is what stays the same however a file is called: the number of the photo at Flickr or Mapillary.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..encoders.errors import UnknownProtocol, WrongPhotoSet


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One benchmark.

    Attributes:
        name: as `--protocol` takes it.
        title: as papers write it.
        n_photos: of the whole set; more than one number where a reduced list is as usual as the whole.
        is_inclusive: whether an error of exactly the radius is within it (≤), or not (<).
        id_pattern: found in a file's name; group 1 is the id, group 2, if any, the photo's author.
        ids_look: an example of a name, for messages.
        id_column: of the set's own metadata; so are `lon_column` and `lat_column`.
        group_column: there, of what belongs together, if the name of the file does not say it.
        ids_sha256: by number of photos, what `ids_hash` gives for all their ids; where it is known.
        photos_from: where the photos are had.
        remarks: what to know before comparing figures.
    """

    name: str
    title: str
    n_photos: tuple[int, ...]
    is_inclusive: bool = True
    id_pattern: str
    ids_look: str
    id_column: str = "IMG_ID"
    lon_column: str = "LON"
    lat_column: str = "LAT"
    group_column: str | None = None
    ids_sha256: Mapping[int, str] = field(default_factory=dict)
    photos_from: str
    remarks: str

    def id_of(self, name: str) -> str | None:
        """The id in a file's name or in the id column; None if it is none of this set's form."""
        match = re.search(self.id_pattern, name)
        return match[1] if match else None

    def author_of(self, name: str) -> str | None:
        """Who took the photo, where the file's name says it."""
        match = re.search(self.id_pattern, name)
        return match[2] if match is not None and match.re.groups > 1 else None

    @property
    def counted(self) -> str:
        """The number of photos in words."""
        return " or ".join(f"{n:,}" for n in self.n_photos)

    def check(self, ids: Collection[str], *, where: str, is_partial: bool = False) -> None:
        """See that ids are those of this set.

        Args:
            ids: of the photos, see `id_of`.
            where: they were listed, for the message.
            is_partial: a part of them is enough. Then only their number can be checked, and not each
                of them.

        Raises:
            WrongPhotoSet: there are more or fewer, doubled ones, or others.
        """
        different = set(ids)
        if len(different) < len(ids):
            raise WrongPhotoSet(
                f"{where}: {len(ids) - len(different):,} of its {len(ids):,} photos are listed twice; "
                f"{self.title} has every photo once"
            )
        if len(ids) > max(self.n_photos) or (len(ids) not in self.n_photos and not is_partial):
            raise WrongPhotoSet(
                f"{where}: {len(ids):,} photos, but {self.title} has {self.counted}{_as_other(self, ids)}"
            )
        known = self.ids_sha256.get(len(ids))
        if known is not None and known != ids_hash(different):
            raise WrongPhotoSet(
                f"{where}: as many photos as {self.title} has, {len(ids):,}, but they are not the same ones "
                f"(hash of the ids {ids_hash(different)[:12]}…, expected {known[:12]}…)"
            )


def ids_hash(ids: Collection[str]) -> str:
    """SHA-256 of the ids in order, one a line."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def _as_other(protocol: Protocol, ids: Collection[str]) -> str:
    """A guess at what the list is instead, and what to do."""
    others = [one for one in PROTOCOLS.values() if len(ids) in one.n_photos and one is not protocol]
    if others:
        return f". That is the number of {others[0].title}: --protocol {others[0].name}"
    if len(ids) < min(protocol.n_photos):
        return "; to evaluate a part of it say --partial"
    return ""


def protocol_named(name: str) -> Protocol:
    """Find a benchmark by its name, in capitals or not, with or without - and _.

    Raises:
        UnknownProtocol: there is none of that name, or its photos were never released.
    """
    plain = re.sub(r"[-_ ]", "", name.lower())
    if plain in NEVER_RELEASED:
        raise UnknownProtocol(f"{name}: {NEVER_RELEASED[plain]}")
    if plain not in PROTOCOLS:
        raise UnknownProtocol(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[plain]


_FLICKR_FILE = r"(\d+)_[0-9a-f]+_\d+_(\d+@N\d+)(?:\.\w+)?$"
_FLICKR_NUMBER = r"(?:^|[/_])(\d{5,11})(?:\.\w+)?$"

_ALL = (
    Protocol(
        name="im2gps",
        title="IM2GPS",
        n_photos=(237,),
        id_pattern=_FLICKR_FILE,
        ids_look="123456789_0123456789_12_12345678@N00.jpg",
        ids_sha256={237: "e1179d94ca103b8841ec211169f098d727a78ff172a92f2b67f2954e25c7a809"},
        photos_from="the page of the IM2GPS project (Hays and Efros 2008); the files tell their places "
        "themselves, in JPEG comments",
        remarks="with 237 photos a share is known to about 6 points. In a common metadata file AUTHOR is "
        "wrong for most rows; authors are read from the names of the files.",
    ),
    Protocol(
        name="im2gps3k",
        title="IM2GPS3k",
        n_photos=(2997,),
        id_pattern=_FLICKR_FILE,
        ids_look="1234567890_0123456789_1234_12345678@N00.jpg",
        ids_sha256={2997: "8485574227888d66bc378d09063d7e4968d6d49bee26b0f540ad6a97aeddaef1"},
        photos_from="the repository lugiavn/revisiting-im2gps (Vo, Jacobs and Hays 2017); metadata with LON "
        "and LAT in TIBHannover/GeoEstimation",
        remarks="an early metadata file had the columns LON and LAT exchanged; such a file is refused. "
        "Six photos are in IM2GPS too.",
    ),
    Protocol(
        name="yfcc4k",
        title="YFCC4k",
        n_photos=(4536,),
        id_pattern=_FLICKR_NUMBER,
        ids_look="12345678901.jpg",
        group_column="AUTHOR",
        ids_sha256={4536: "86bfcbee22714a7e3b1dfb520edffe4e8b531e790425affb04f5b2ee57df977d"},
        photos_from="the repository lugiavn/revisiting-im2gps (Vo, Jacobs and Hays 2017)",
        remarks="it shares authors with MP-16: a gallery of MP-16 must hide photos of the same author "
        "(index it with --group-column AUTHOR), or it finds the photographer and not the place.",
    ),
    Protocol(
        name="yfcc26k",
        title="YFCC26k",
        n_photos=(25_600, 23_035),
        id_pattern=_FLICKR_NUMBER,
        ids_look="1234567890.jpg",
        group_column="AUTHOR",
        ids_sha256={23_035: "cfab70c2d10e379b300c6cd1c5776720e6d99204bccdbf8fd5902beda207c144"},
        photos_from="the list yfcc25600 of TIBHannover/GeoEstimation, by whose Flickr addresses photos are "
        "downloaded one by one",
        remarks="25,600 are listed; 23,035 of them still had metadata. Photos disappear from Flickr (about a "
        "thousand by 2024), so that hardly two evaluations are of the same ones.",
    ),
    Protocol(
        name="osv5m",
        title="OSV-5M",
        n_photos=(210_122,),
        is_inclusive=False,
        id_pattern=r"(?:^|/)(\d{8,18})(?:\.\w+)?$",
        ids_look="1234567890123456.jpg",
        id_column="id",
        lon_column="longitude",
        lat_column="latitude",
        group_column="sequence",
        photos_from="the data set osv5m/osv5m at Hugging Face: images/test, five archives, and test.csv",
        remarks="an error counts as within a radius only if it is less (<). Its authors judge countries by "
        "the nearest GeoNames place. 1.45 % of the frames show their true coordinates as an overlay.",
    ),
)
PROTOCOLS: Final[Mapping[str, Protocol]] = {one.name: one for one in _ALL}
"""By name, in the order of their age."""

NEVER_RELEASED: Final[Mapping[str, str]] = {
    "gws15k": "its 14,955 photos were never released, so nobody outside can report on it, and we do not"
}
