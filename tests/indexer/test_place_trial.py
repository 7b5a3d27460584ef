"""Ways of recognizing places on embeddings made up so that the right answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image
from place_recognition_fakes import CONV, load_backbone, look, write_weights
from place_set_fakes import place_set

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import InvalidOption, UnreadableSource, WrongPhotoSet
from placeprint.encoders.place_recognition.encoder import PlaceConfig, PlaceEncoder
from placeprint.encoders.sphere import destination
from placeprint.indexer.place_approximation import agreement
from placeprint.indexer.place_matcher import LocalReader, PlaceMatcher, middle_layer
from placeprint.indexer.place_plot import plot_places
from placeprint.indexer.place_published import CORRIDOR, published_on
from placeprint.indexer.place_report import evaluate_places, figures_of
from placeprint.indexer.place_search import EmbeddedSet, embed_place_set, exact_neighbors, first_of
from placeprint.indexer.place_sets import read_place_set
from placeprint.indexer.place_tables import meters_table, parts_table, recall_table, risk_table
from placeprint.indexer.place_trial import PlaceTrial, in_walking_order
from placeprint.indexer.place_truth import WithinFrames, WithinMeters, read_list


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def embedded(photos, vectors):
    return EmbeddedSet(photos, unit(vectors), 0.0, [])


def street(n, *, step_m=10.0):
    """Places along a street that crosses the antimeridian."""
    return np.stack(
        [destination(np.array([179.999, -16.8]), 90.0, step_m * row / 1000.0) for row in range(n)]
    )


def walk_trial(rng, *, n=40, noise=1.0, shuffled=False, truth=None):
    """Two walks down a street of random looks; the queries are noisy."""
    looks = rng.normal(size=(n, 16))
    order = rng.permutation(n) if shuffled else np.arange(n)
    there = place_set(street(n), frames=range(n))
    asked = place_set(street(n)[order], frames=order)
    seen = looks[order] + noise * rng.normal(size=(n, 16))
    return PlaceTrial(embedded(asked, seen), embedded(there, looks), truth or WithinMeters(5.0))


def test_exact_neighbors_are_in_order_and_ties_in_that_of_the_gallery(rng):
    queries = rng.integers(-3, 4, (600, 6)).astype(np.float32)  # whole numbers, so that ties are ties
    gallery = rng.integers(-3, 4, (50, 6)).astype(np.float32)
    rows, values = exact_neighbors(queries, gallery, 50)
    expected = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    assert (rows == expected).all()
    assert (values == np.take_along_axis(queries @ gallery.T, expected, axis=1)).all()
    few, best = exact_neighbors(queries, gallery, 3)
    assert few.shape == (600, 3) and (best == values[:, :3]).all()
    assert exact_neighbors(queries, gallery, 99)[0].shape == (600, 50)
    assert first_of(np.zeros((1, 5)), 5)[0].tolist() == [[0, 1, 2, 3, 4]]


def test_agreement_counts_the_exact_ones_found():
    assert agreement(np.array([[1, 2, -1], [4, 3, 5]]), np.array([[2, 1, 0], [3, 4, 5]])) == pytest.approx(
        5 / 6
    )


def test_retrieval_finds_what_is_nearest_in_embedding(rng):
    trial = walk_trial(rng, noise=0.1, shuffled=True)
    answers = trial.retrieve()
    assert (answers.neighbors[:, 0] == trial.queries.photos.frame).all()
    figures = figures_of(trial, answers)
    assert figures.recalls[0].value == 1.0
    assert figures.error_m.max() == pytest.approx(0.0, abs=1e-6)
    assert figures.recalls[0].chance == pytest.approx(1 / 40)
    assert figures.within_m[10.0][0].chance == pytest.approx((38 * 3 + 2 * 2) / 40 / 40)


def test_a_second_look_changes_what_it_is_asked_to(rng):
    trial = walk_trial(rng, noise=2.0)
    first = trial.retrieve()
    truth = lambda row, rows: -np.abs(rows - row).astype(float)  # noqa: E731
    again = trial.look_again(first, truth, k=20)
    before, after = (figures_of(trial, one).recalls for one in (first, again))
    assert after[0].value == pytest.approx(before[3].value)  # what is among 20 comes first
    assert after[3].value == before[3].value
    assert again.looked_at == 1.0 and again.seconds > first.seconds
    middle = float(np.median(first.doubt["spread"]))
    some = trial.look_again(first, truth, k=20, sign="spread", threshold=middle)
    assert some.looked_at == pytest.approx(0.5)
    sure = first.doubt["spread"] <= middle
    assert (some.neighbors[sure] == first.neighbors[sure]).all()
    assert (some.neighbors[~sure] == again.neighbors[~sure]).all()


def test_no_query_has_a_part_in_the_threshold_that_judges_it(rng):
    trial = walk_trial(rng, noise=2.0)
    first = trial.retrieve()
    again = trial.look_again(first, lambda row, rows: -np.abs(rows - row).astype(float))
    only_here = np.where(np.arange(40)[:, None] < 8, again.neighbors, first.neighbors)
    _, thresholds = trial.cross_fitted(first, replace(again, neighbors=only_here), sign="distance")
    assert thresholds[0] == np.inf  # the other stretches gain nothing by a second look
    assert max(thresholds[1:]) < np.inf


def test_queries_of_one_place_are_in_one_fold(rng):
    trial = walk_trial(rng, noise=2.0)
    corner = np.arange(40) % 5  # eight queries at each of five corners
    asked = replace(trial.queries.photos, lonlat=street(5)[corner])
    trial = replace(trial, queries=replace(trial.queries, photos=asked), truth=WithinFrames(0))
    first = trial.retrieve()
    again = trial.look_again(first, lambda row, rows: -np.abs(rows - row).astype(float))
    only_here = np.where((corner == 0)[:, None], again.neighbors, first.neighbors)
    _, thresholds = trial.cross_fitted(first, replace(again, neighbors=only_here), sign="distance")
    assert thresholds[0] == np.inf > max(thresholds[1:])


def test_a_cross_fitted_second_look_is_one_or_the_other(rng):
    trial = walk_trial(rng, noise=2.0)
    first = trial.retrieve()
    again = trial.look_again(first, lambda row, rows: -np.abs(rows - row).astype(float))
    unsure, thresholds = trial.cross_fitted(first, again, sign="distance")
    fold = np.repeat(np.arange(5), 8)
    looked = first.doubt["distance"] > np.array(thresholds)[fold]
    assert (unsure.neighbors == np.where(looked[:, None], again.neighbors, first.neighbors)).all()
    assert unsure.looked_at == pytest.approx(looked.mean())


def test_following_the_walk_finds_what_single_pictures_do_not(rng):
    trial = walk_trial(rng, noise=2.2, truth=WithinFrames(1))
    alone = figures_of(trial, trial.retrieve()).recalls[0].value
    followed = figures_of(trial, trial.follow(9)).recalls[0].value
    assert alone < 0.7
    assert followed > alone + 0.2


def test_walks_are_followed_in_the_order_of_their_frames(rng):
    trial = walk_trial(rng, noise=2.2, truth=WithinFrames(1))
    order = rng.permutation(40)
    mixed = PlaceTrial(
        EmbeddedSet(trial.queries.photos.take(order), trial.queries.embeddings[order], 0.0, []),
        EmbeddedSet(trial.gallery.photos.take(order[::-1]), trial.gallery.embeddings[order[::-1]], 0.0, []),
        WithinFrames(1),
    )
    expected = trial.follow(9).neighbors
    assert (order[::-1][mixed.follow(9).neighbors] == expected[order]).all()


def test_more_pairs_than_memory_holds_are_refused(rng, monkeypatch):
    monkeypatch.setattr("placeprint.indexer.place_trial.MOST_PAIRS", 1599)
    with pytest.raises(InvalidOption, match=r"1,600 pairs .* every second frame"):
        walk_trial(rng).follow(3)


def test_groups_are_walks_where_there_are_any():
    photos = place_set(frames=[3, 1, 1, 2], groups=["b", "a", "b", "a"])
    order, walk = in_walking_order(photos)
    assert order.tolist() == [1, 3, 2, 0]
    assert walk.tolist() == ["a", "a", "b", "b"]
    with pytest.raises(WrongPhotoSet, match="no frame number"):
        in_walking_order(place_set(frames=[-1, 0]))


def panorama_trial(rng, *, collapses):
    """Five panoramas of four cut-outs; the query's best four answers are of a wrong one."""
    gallery = place_set(np.repeat(street(5, step_m=100.0), 4, axis=0), groups=np.repeat(list("abcde"), 4))
    vectors = np.repeat(np.eye(5), 4, axis=0) + 1e-3 * rng.normal(size=(20, 5))
    query = np.array([[0.0, 1.0, 0.9, 0.0, 0.0]])
    return PlaceTrial(
        embedded(place_set(street(5, step_m=100.0)[2:3]), query), embedded(gallery, vectors),
        WithinMeters(25.0), collapses=collapses,
    )  # fmt: skip


def test_recall_is_told_with_and_without_collapsed_groups(rng):
    for collapses in (False, True):
        trial = panorama_trial(rng, collapses=collapses)
        figures = figures_of(trial, trial.retrieve())
        both = [one.value for one in figures.recalls], [one.value for one in figures.otherwise]
        apart, together = both[::-1] if collapses else both
        assert apart == [0.0, 1.0, 1.0, 1.0]
        assert together == [0.0, 1.0, 1.0, 1.0]
        chance = figures.recalls[1].chance
        assert chance == pytest.approx(1.0 if collapses else 1.0 - 4368 / 15504)  # C(16, 5) / C(20, 5)


def test_a_panorama_fills_the_first_five_where_it_is_not_collapsed(rng):
    apart = panorama_trial(rng, collapses=False)
    crowded = replace(
        apart,
        gallery=EmbeddedSet(
            apart.gallery.photos.take(np.repeat(np.arange(20), 2)),
            np.repeat(apart.gallery.embeddings, 2, axis=0), 0.0, [],
        ),
    )  # fmt: skip
    assert crowded.n_neighbors == 40  # twenty groups may take eight photos each
    figures = figures_of(crowded, crowded.retrieve())
    assert [one.value for one in figures.recalls[:2]] == [0.0, 0.0]
    assert [one.value for one in figures.otherwise[:2]] == [0.0, 1.0]


def evaluation(rng, **parts):
    trial = walk_trial(rng, noise=2.0)
    asked = replace(trial.queries.photos, parts=parts)
    trial = replace(trial, queries=replace(trial.queries, photos=asked))
    first = trial.retrieve()
    ways = [first, trial.look_again(first, lambda row, rows: -np.abs(rows - row).astype(float))]
    return evaluate_places(trial, ways, {"encoder": "made up"}, ["a note"])


def test_a_report_tells_all_that_a_figure_must_be_read_with(rng, tmp_path):
    light = np.array(["day", "night"] * 20)
    told = evaluation(rng, light=light)
    json = told.to_dict()
    assert json["right_photos_per_query"] == {"min": 1, "median": 1.0, "max": 1}
    assert json["truth"] == "within 5 m" and json["encoder"] == "made up"
    first, again = json["rows"]
    assert first["recall"][0]["low"] < first["recall"][0]["value"] < first["recall"][0]["high"]
    assert set(first["within_m"]) == {"1", "5", "10", "25", "100", "1000"}
    assert first["error_rate"] == pytest.approx(1.0 - first["recall"][0]["value"])
    assert first["looked_at_again"] is None and again["looked_at_again"] == 1.0
    parts = first["parts"]["light"]
    assert parts["day"]["n"] == parts["night"]["n"] == 20
    mean = (parts["day"]["recall_at_1"] + parts["night"]["recall_at_1"]) / 2.0
    assert mean == pytest.approx(first["recall"][0]["value"])
    assert first["aurc_least"] <= first["aurc"]["distance"]["area"]
    for table in (
        recall_table(told, CORRIDOR),
        meters_table(told),
        risk_table(told),
        parts_table(told.rows[0], "light"),
    ):
        assert table.row_count >= 2
    plot_places(told, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_groups_that_nothing_tells_of_are_missed(rng):
    trial = replace(walk_trial(rng), collapses=True)
    assert "column group" in evaluate_places(trial, [trial.retrieve()], {}).notes[-1]


def test_groups_too_large_to_fill_twenty_answers_are_told_of(rng, monkeypatch):
    monkeypatch.setattr("placeprint.indexer.place_trial.MOST_NEIGHBORS", 10)
    trial = panorama_trial(rng, collapses=True)
    assert "fewer than 20 groups" in evaluate_places(trial, [trial.retrieve()], {}).notes[-1]


def test_a_truth_that_everything_satisfies_is_told_of(rng):
    trial = walk_trial(rng, truth=WithinMeters(1e6))
    told = evaluate_places(trial, [trial.retrieve()], {})
    assert "right for every query" in told.notes[-1]


def test_queries_at_one_place_share_their_luck(rng):
    trial = walk_trial(rng)
    doubled = trial.queries.photos.take(np.repeat(np.arange(40), 2))
    trial = PlaceTrial(embedded(doubled, rng.normal(size=(80, 16))), trial.gallery, trial.truth)
    assert (trial.place == np.repeat(np.unique(trial.place)[trial.place[::2]], 2)).all()
    assert len(np.unique(trial.place)) == 40
    north = place_set([[9.5, 47.1], [9.5, 47.2], [9.5, 47.1]])
    assert len(np.unique(replace(trial, queries=embedded(north, np.eye(3))).place)) == 2


def test_queries_left_out_are_left_out_of_every_figure(rng):
    trial = walk_trial(rng, noise=0.1)
    half = trial.gallery.photos.take(np.arange(20))
    trial = replace(
        trial, gallery=EmbeddedSet(half, trial.gallery.embeddings[:20], 0.0, []), are_all_counted=False,
        truth=WithinMeters(1.0),
    )  # fmt: skip
    figures = figures_of(trial, trial.retrieve())
    assert figures.n_counted == 20 and figures.n_wrong == 0
    assert len(figures.error_m) == 20
    assert figures.risk["distance"].area == 0.0
    assert figures.within_m[1.0][0].value == 0.5  # by meters every query counts


def test_without_places_frames_tell_how_far_answers_spread(rng):
    trial = walk_trial(rng)
    bare = PlaceTrial(
        embedded(place_set(frames=range(40)), rng.normal(size=(40, 16))),
        embedded(place_set(frames=range(40)), rng.normal(size=(40, 16))),
        WithinFrames(1),
    )
    assert set(bare.retrieve().doubt) == {"distance", "ratio", "spread"}
    assert bare.retrieve().doubt["spread"].max() < 40
    nameless = replace(
        bare,
        gallery=embedded(place_set(names=[f"{row}.jpg" for row in range(40)]), rng.normal(size=(40, 16))),
    )
    assert set(nameless.retrieve().doubt) == {"distance", "ratio"}
    assert trial.retrieve().doubt["spread"].max() < 400  # meters


def test_three_quarters_up_is_the_layer_that_is_read():
    assert [middle_layer(n) for n in (5, 12, 24, 2)] == [3, 9, 18, 1]


def test_broken_photos_are_left_out_and_named(tmp_path, encoder):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    found = embed_place_set(read_place_set(tmp_path), encoder)
    assert found.photos.names == ["red.png"] and len(found.embeddings) == 1
    assert len(found.skipped) == 1 and "torn.jpg" in found.skipped[0]
    (tmp_path / "red.png").unlink()
    with pytest.raises(UnreadableSource, match="none of its photos can be read"):
        embed_place_set(read_place_set(tmp_path), encoder)


def test_batches_do_not_change_embeddings(tmp_path, encoder):
    for number in range(5):
        Image.new("RGB", (20, 20), (40 * number, 9, 200)).save(tmp_path / f"{number}.png")
    photos = read_place_set(tmp_path)
    one, all_ = (embed_place_set(photos, encoder, batch_size=size).embeddings for size in (1, 5))
    np.testing.assert_allclose(one, all_, atol=1e-5)


def test_an_encoder_without_layers_has_no_local_features(encoder):
    with pytest.raises(InvalidOption, match="layers cannot be read"):
        LocalReader(encoder)


def test_local_features_are_read_three_quarters_up_or_where_a_place_encoder_reads(tmp_path):
    backbone = load_backbone(CONV, write_weights(CONV, tmp_path))
    for number in range(3):
        Image.fromarray(look(number, 0)).save(tmp_path / f"{number}.png")
        Image.fromarray(look(number, 0)).save(tmp_path / f"q{number}.png")
    photos = read_place_set(tmp_path)
    there, asked = photos.take(np.arange(3)), photos.take(np.arange(3, 6))
    plain = LocalReader(backbone, size=64)
    assert plain.features.layer == 3
    assert plain.read(asked.items[0]).shape == (np.prod(plain.features.grid), plain.features.channels)
    config = PlaceConfig(layer=2, size=64, aggregation="mean")
    of_place = LocalReader(PlaceEncoder(config, backbone))
    assert of_place.features.layer == 2
    for one in (PlaceMatcher(plain, asked, there), PlaceMatcher(of_place, asked, there)):
        for query in range(3):
            assert one(query, np.array([2, 0, 1])).argmax() == [1, 2, 0][query]
    with pytest.raises(InvalidOption, match="part of it"):
        LocalReader(PlaceEncoder(config, backbone), layer=1)


def test_only_the_last_features_are_kept(tmp_path, monkeypatch):
    backbone = load_backbone(CONV, write_weights(CONV, tmp_path))
    for number in range(4):
        Image.fromarray(look(number, 0)).save(tmp_path / f"{number}.png")
    photos = read_place_set(tmp_path)
    reader = LocalReader(backbone, size=64, layer=2)
    read, rows = [], np.array([0, 1, 0])
    expected = PlaceMatcher(reader, photos, photos)(3, rows)
    features_of = reader.read
    monkeypatch.setattr(reader, "read", lambda item: read.append(item.key) or features_of(item))
    PlaceMatcher(reader, photos, photos)(3, rows)
    assert len(read) == 3  # the query, and each photo once
    monkeypatch.setattr("placeprint.indexer.place_matcher.KEPT_BYTES", 1)
    assert PlaceMatcher(reader, photos, photos)(3, rows) == pytest.approx(expected)
    assert len(read) == 3 + 4  # the photo that was no more kept was read again


@pytest.mark.real
def test_the_corridor_is_recognized_by_a_second_look():
    """The floor below which something is broken; `tests/benchmarks/corridor.py` has the figures."""
    folder, weights = SHARED / "data" / "vpr" / "corridor", SHARED / "weights"
    if not folder.is_dir():
        pytest.skip("the corridor is not here")
    found = load_encoder(
        "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1",
        weights=weights / "mobilenetv2_100.imagenet.safetensors",
    )
    asked, there = read_place_set(folder / "query"), read_place_set(folder / "ref")
    right, near = (
        truth.positives(asked, there) for truth in (read_list(folder / "ground_truth.csv"), WithinFrames(2))
    )
    assert (right.query == near.query).all() and (right.reference == near.reference).all()
    queries = embed_place_set(asked.take(np.arange(0, 111, 4)), found)  # a part, to be quick
    gallery = embed_place_set(there.take(np.arange(0, 111, 2)), found)
    trial = PlaceTrial(queries, gallery, WithinFrames(2))
    first = trial.retrieve()
    again = trial.look_again(
        first, PlaceMatcher(LocalReader(found, size=224), queries.photos, gallery.photos), k=10
    )
    alone, looked = (figures_of(trial, answers).recalls[0].value for answers in (first, again))
    assert alone > 0.4
    assert looked > 0.9
    assert published_on(asked, there) == CORRIDOR
    assert published_on(there, asked) == {}
