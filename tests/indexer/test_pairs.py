"""Photos of known place out of a gallery, as pairs.

Claims: placed photos alone, in the order of their ids, with the ledger's embeddings and their groups;
the facts say what was left out and where the photos came from; nothing placed is an error.
"""

from pathlib import Path

import numpy as np
import pytest
from fakes import record, unit_rows

from placeprint.encoders.errors import TooFewPairs
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.pairs import pairs_of, photos_of_pairs


def test_pairs_are_the_placed_photos_and_their_embeddings(
    any_gallery: Gallery, rng: np.random.Generator
) -> None:
    vectors = unit_rows(rng, 4)
    any_gallery.add(
        [
            record("fiji-1", vectors[0], lon=179.9, lat=-16.8, group="fiji", source="islands.csv"),
            record("fiji-2", vectors[1], lon=-179.9, lat=-16.8, group="fiji", source="islands.csv"),
            record("nowhere", vectors[2], source="attic"),
            record("pole", vectors[3], lon=0.0, lat=90.0, source="attic"),
        ]
    )
    pairs, facts = pairs_of(any_gallery)
    photos, lonlat = any_gallery.placed()
    expected = {"fiji-1": vectors[0], "fiji-2": vectors[1], "pole": vectors[3]}
    assert len(pairs) == 3 and np.array_equal(pairs.lonlat, lonlat)
    for row, photo in enumerate(photos):
        assert np.array_equal(pairs.images[row], expected[photo.image])
        assert (pairs.groups[row] == "fiji") == photo.image.startswith("fiji")
    assert pairs.encoder == any_gallery.fingerprint.id
    assert (facts["photos"], facts["photos_without_place"]) == (3, 1)
    assert facts["sources"] == {"islands.csv": 2, "attic": 1}


def test_a_gallery_without_places_is_refused(any_gallery: Gallery, rng: np.random.Generator) -> None:
    any_gallery.add([record("nowhere", unit_rows(rng, 1)[0])])
    with pytest.raises(TooFewPairs, match="1 photos, none of known place"):
        pairs_of(any_gallery)


def test_photos_of_pairs_are_in_their_order_with_what_became_of_them(
    any_gallery: Gallery, rng: np.random.Generator, tmp_path: Path
) -> None:
    vectors = unit_rows(rng, 12)
    paths = [tmp_path / f"{row:02}.png" for row in range(12)]
    for path in paths[:11]:
        path.write_bytes(path.name.encode())
    any_gallery.add(
        [
            record(str(path), vector, lon=float(row), lat=5.0, size_bytes=6 + (row == 4))
            for row, (path, vector) in enumerate(zip(paths, vectors, strict=True))
        ]
    )
    pairs, _ = pairs_of(any_gallery)
    photos = photos_of_pairs(any_gallery)
    assert [photo.lon for photo in photos] == pairs.lonlat[:, 0].tolist() != sorted(pairs.lonlat[:, 0])
    for photo, embedding in zip(photos, pairs.images, strict=True):
        row = paths.index(photo.path)
        np.testing.assert_array_equal(embedding, vectors[row])
        if row == 4:
            assert photo.problem and "changed" in photo.problem
        elif row == 11:
            assert photo.problem and "not where it was" in photo.problem
        else:
            assert photo.problem is None and photo.read() == photo.path.name.encode()
