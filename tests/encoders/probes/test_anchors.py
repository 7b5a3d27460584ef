"""Published scores: they stand under the right task, split and model, and say which rows they are of."""

from placeprint.encoders.probes.anchors import BIOME, MODELS, anchors
from placeprint.encoders.probes.tasks import TASKS


def test_scores_stand_where_they_belong() -> None:
    california = {one.model: one.score for one in anchors("california", "random")}
    assert california == {
        "sincos": 0.243, "SatCLIP": 0.474, "GeoCLIP": 0.702,
        "SINR": 0.490, "Climplicit": 0.582, "MIND": 0.472,
    }  # fmt: skip
    country = [one for one in anchors("country", "block10") if one.method == "knn5"]
    assert [one.score for one in country if one.model == "sincos"] == [0.870]
    assert anchors("country", "block1") == anchors("japan", "random") == []


def test_they_say_which_rows_they_are_of() -> None:
    same = {name for name in TASKS if any(one.has_same_rows for one in anchors(name, "random"))}
    assert same == {"california", "temperature"}
    assert all(len(scores) == len(MODELS) for scores in BIOME.values())
