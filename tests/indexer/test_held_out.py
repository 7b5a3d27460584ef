"""Neighbors that cannot know a photo, copies of the same scene among them.

Claims: photos more similar than the limit are hidden whatever their group, and one of just that similarity
stays; K neighbors remain, and no more questions are asked for it than needed; copies in a photo's own group
are not counted; authors and sequences are compared across groups.
"""

import numpy as np
import pytest
from fakes import fingerprint_of, record

from placeprint.encoders.errors import InvalidFilter
from placeprint.indexer.blocks import held_out_by_block
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.held_out import are_kin, held_out, held_out_from
from placeprint.indexer.leakage import leakage_audit
from placeprint.indexer.record import encode_payload

QUERY = np.eye(8, dtype=np.float32)[:1]
AT = np.array([[10.0, 50.0]])


def at_similarity(cosine: float, axis: int = 1) -> np.ndarray:
    """A unit vector at this cosine to the query."""
    vector = np.zeros(8)
    vector[0], vector[axis] = cosine, np.sqrt(1.0 - cosine**2)
    return vector.astype(np.float32)


def fill(gallery, cosines, *, group="g{}", **facts):
    gallery.add(
        [
            record(f"p{n}", at_similarity(cosine), lon=20.0 + n, lat=0.0, group=group.format(n), **facts)
            for n, cosine in enumerate(cosines)
        ]
    )
    return gallery


def ask(gallery, **options):
    return held_out(gallery, QUERY, AT, ["mine"], **options)


def test_a_photo_of_exactly_the_similarity_stays_and_a_nearer_one_goes(any_gallery):
    fill(any_gallery, [0.999, 0.981, 0.98, 0.979, 0.5])
    found = ask(any_gallery, k=5, exclude_similarity=0.98)
    assert found.similarity[0, :3] == pytest.approx([0.98, 0.979, 0.5], abs=1e-5)
    assert not np.isfinite(found.similarity[0, 3:]).any()
    assert found.neighbor_lonlat[0, 0].tolist() == [22.0, 0.0]
    assert found.n_copies.tolist() == [2]


@pytest.mark.parametrize("limit", [0.6, 0.8, 0.9, 0.95, 0.98, 0.99])
def test_no_rounding_takes_a_photo_at_the_limit(any_gallery, limit):
    fill(any_gallery, [limit, 0.1])
    assert ask(any_gallery, k=2, exclude_similarity=limit).n_copies.tolist() == [0]


def test_all_neighbors_asked_for_remain_whatever_is_hidden(any_gallery, monkeypatch):
    fill(any_gallery, [0.99] * 7 + [0.9, 0.8, 0.7, 0.6])
    asked, ask_gallery = [], any_gallery.locate_neighbors

    def spy(embedding, k, **options):
        asked.append(k)
        return ask_gallery(embedding, k, **options)

    monkeypatch.setattr(any_gallery, "locate_neighbors", spy)
    found = ask(any_gallery, k=3, exclude_similarity=0.98)
    assert found.similarity[0] == pytest.approx([0.9, 0.8, 0.7], abs=1e-5)
    assert found.n_copies.tolist() == [7]
    assert asked == [3, 6, 12]  # all are copies, so twice as many; of 12 there are 11
    asked.clear()
    ask(any_gallery, k=8, exclude_similarity=0.98)
    assert asked == [8, 15]  # some are not: the copies are known, and no guess is needed
    asked.clear()
    assert ask(any_gallery, k=3).n_copies is None
    assert asked == [3]
    asked.clear()
    ask(any_gallery, k=3, exclude_similarity=0.995)
    assert asked == [3]


def test_a_gallery_of_nothing_but_copies_leaves_no_neighbor(any_gallery):
    fill(any_gallery, [0.999] * 5)
    found = ask(any_gallery, k=2, exclude_similarity=0.98)
    assert not np.isfinite(found.similarity).any()
    assert found.n_copies.tolist() == [5]
    assert list(leakage_audit(found).values()) == [0, 0, 1]


def test_copies_in_the_own_group_are_hidden_as_ever_and_not_counted(any_gallery):
    fill(any_gallery, [0.999, 0.99, 0.5], group="mine")
    any_gallery.add([record("other", at_similarity(0.3), lon=0.0, lat=0.0, group="other")])
    found = ask(any_gallery, k=2, exclude_similarity=0.98)
    assert found.n_copies.tolist() == [0]
    assert found.similarity[0, 0] == pytest.approx(0.3, abs=1e-5)


def test_the_audit_says_how_many_photos_had_copies(any_gallery):
    fill(any_gallery, [0.999, 0.5])
    two = held_out(
        any_gallery, np.stack([QUERY[0], at_similarity(0.0)]), np.repeat(AT, 2, axis=0), ["a", "b"],
        k=2, exclude_similarity=0.98,
    )  # fmt: skip
    assert leakage_audit(two)["neighbors above similarity 0.98, hidden as copies"] == 1
    assert leakage_audit(two)["nearest neighbor above similarity 0.999"] == 0
    assert len(leakage_audit(held_out(any_gallery, QUERY, AT, ["a"], k=2))) == 2


def test_copies_in_other_blocks_are_hidden_too(settings):
    with Gallery.create("blocks", fingerprint_of(8), settings=settings) as gallery:
        fill(gallery, [0.999, 0.9, 0.8])
        found = held_out_by_block(gallery, QUERY, AT, ["mine"], 5.0, k=2, exclude_similarity=0.98)
        assert found.similarity[0] == pytest.approx([0.9, 0.8], abs=1e-5)
        assert found.n_copies.tolist() == [1]
        assert found.group.tolist() != ["mine"]


def test_a_gallery_judging_itself_hides_copies_of_other_groups(any_gallery):
    fill(any_gallery, [0.999, 0.9985, 0.2])
    found = held_out_from(any_gallery, k=2, exclude_similarity=0.98)
    assert sorted(found.n_copies.tolist()) == [0, 1, 1]
    assert found.take(np.array([True, False, False])).n_copies.shape == (1,)


@pytest.mark.parametrize("limit", [1.01, -2.0, float("nan")])
def test_what_is_no_cosine_is_refused(any_gallery, limit):
    with pytest.raises(InvalidFilter, match="a cosine, such as"):
        ask(any_gallery, k=2, exclude_similarity=limit)


def test_authors_and_sequences_are_known_across_groups(any_gallery):
    fill(any_gallery, [0.9, 0.5], payload=encode_payload({"author": "ann", "sequence_id": ""}))
    told = [{"author": "ann"}, {"author": "bob", "sequence_id": ""}]
    found = held_out(any_gallery, np.repeat(QUERY, 2, 0), np.repeat(AT, 2, 0), ["a", "b"], k=1, told=told)
    assert found.is_kin.tolist() == [True, False]
    audit = leakage_audit(found)
    assert audit["nearest neighbor by the same author or of the same sequence"] == 1


def test_what_is_not_said_makes_nobody_kin():
    assert not are_kin({}, {})
    assert not are_kin({"author": None, "sequence": ""}, {"author": None, "sequence": ""})
    assert not are_kin({"author": "ann"}, {"owner": "ann"})
    assert are_kin({"sequence": 7}, {"sequence": 7})
