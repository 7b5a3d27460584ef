"""Signs of leakage: near and identical neighbors, kin, hidden copies; none of them raised without cause."""

from dataclasses import replace

import numpy as np
from fakes import exact_neighbors

from placeprint.indexer.held_out import HeldOut
from placeprint.indexer.leakage import leakage_audit


def test_the_audit_counts_close_and_identical_neighbors():
    lonlat = np.array([[0.0, 0.0], [0.005, 0.0], [50.0, 0.0]])
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    audit = leakage_audit(exact_neighbors(embeddings, lonlat, [0, 1, 2]))
    assert list(audit.values()) == [2, 2]


def test_a_photo_without_neighbors_raises_no_alarm():
    alone = HeldOut(np.zeros((1, 2)), np.array(["a"]), np.full((1, 1), -np.inf), np.zeros((1, 1, 2)))
    assert list(leakage_audit(alone).values()) == [0, 0]


def test_only_photos_with_copies_or_kin_are_counted():
    bare = exact_neighbors(np.eye(3), np.array([[0.0, 0.0], [20.0, 0.0], [50.0, 0.0]]), [0, 1, 2])
    assert len(leakage_audit(bare)) == 2
    known = replace(
        bare, n_copies=np.array([0, 7, 1]), exclude_similarity=0.5, is_kin=np.array([1, 0, 0], bool)
    )
    assert list(leakage_audit(known).values()) == [0, 0, 1, 2]
