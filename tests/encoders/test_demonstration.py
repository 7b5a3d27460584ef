"""The shipped demonstration encoder: what it knows, what it refuses, and how it is trained."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from placeprint.encoders.demonstration import (
    EMBEDDING_DIM,
    INPUT_SIZE,
    WEIGHTS,
    DemonstrationNet,
    load,
    words_of,
)
from placeprint.encoders.errors import UnknownWords, WeightsUnavailable
from placeprint.encoders.places import load_places
from placeprint.encoders.preprocessing import Preprocessing
from placeprint.encoders.scenes.painting import draw
from placeprint.encoders.scenes.scene import cues_of, sample_places
from placeprint.encoders.sphere import great_circle_km
from placeprint.encoders.train_demonstration import (
    CUES,
    DemonstrationRun,
    DrawnScenes,
    Heads,
    caption_loss,
    embed,
    train,
    vocabulary,
)


def metadata() -> dict[str, str]:
    with safe_open(WEIGHTS, framework="pt") as file:
        return file.metadata()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small batches gain nothing from more, and lose much where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net() -> DemonstrationNet:
    return load()


@pytest.fixture(scope="module")
def drawn() -> DrawnScenes:
    """Scenes at places that the training run did not draw, found by repeating its choice."""
    places, run = load_places(), json.loads(metadata()["run"])
    table = {"lonlat": places.lonlat, "population": places.population}
    used = sample_places(run["scenes"] + run["held_out"], np.random.default_rng(run["seed"]), **table)
    rng = np.random.default_rng(77)
    chosen = np.setdiff1d(sample_places(600, rng, **table), used)
    chosen = rng.permutation(chosen)[:360]
    scenes = [
        cues_of(*places.lonlat[row].tolist(), places.country_code[row], int(places.population[row]), rng)
        for row in chosen
    ]
    prepare = Preprocessing(size=INPUT_SIZE)
    pixels = np.stack([prepare.pixels(draw(scene)).transpose(2, 0, 1) for scene in scenes])
    cues = torch.tensor([[cue in scene.cues for cue in CUES] for scene in scenes])
    return DrawnScenes(scenes, torch.from_numpy(pixels), places.lonlat[chosen], cues)


@pytest.fixture(scope="module")
def embeddings(net: DemonstrationNet, drawn: DrawnScenes) -> torch.Tensor:
    return embed(net, drawn.pixels)


def found(
    net: DemonstrationNet, drawn: DrawnScenes, embeddings: torch.Tensor, text: str, cue: str
) -> tuple[float, float]:
    """Precision of the first twenty scenes for a text, and the share of all scenes that have the cue."""
    with torch.inference_mode():
        similarity = embeddings @ net.embed_texts([text])[0]
    has_cue = drawn.cues[:, CUES.index(cue)]
    return float(has_cue[similarity.topk(20).indices].float().mean()), float(has_cue.float().mean())


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("palm", "palm"), ("snow", "snow"), ("a desert", "sand"), ("pine trees", "conifer"),
        ("skyscrapers", "tower"), ("night", "night"), ("rain", "rain"), ("yellow road lines", "yellow line"),
        ("brick walls", "brick walls"), ("a street in Africa", "africa"),
    ],
)  # fmt: skip
def test_a_text_finds_what_it_says(net, drawn, embeddings, text, cue):
    precision, base_rate = found(net, drawn, embeddings, text, cue)
    assert precision > min(2.5 * base_rate, 0.5 * (1 + base_rate))


def test_palm_ranks_palms_above_conifers(net, drawn, embeddings):
    with torch.inference_mode():
        similarity = embeddings @ net.embed_texts(["palm"])[0]
    palms, conifers = (similarity[drawn.cues[:, CUES.index(cue)]] for cue in ("palm", "conifer"))
    assert (palms[:, None] > conifers[None]).float().mean() > 0.95


def test_embeddings_are_float32_of_unit_length(net, embeddings):
    texts = net.embed_texts(["palm", "a red brick church"])
    for each in (embeddings, texts):
        assert each.dtype == torch.float32
        assert each.shape[1] == EMBEDDING_DIM
        torch.testing.assert_close(each.norm(dim=1), torch.ones(len(each)))


def test_a_picture_has_one_embedding_alone_in_a_batch_and_in_any_order(net, drawn):
    some = drawn.pixels[:9]
    together = embed(net, some)
    alone = torch.cat([embed(net, some[row : row + 1]) for row in range(9)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(embed(net, some.flip(0)).flip(0), together, atol=1e-6, rtol=0)


def test_a_text_has_one_embedding_alone_and_in_a_batch(net):
    together = net.embed_texts(["palm", "snow", "a red brick church"])
    torch.testing.assert_close(net.embed_texts(["snow"])[0], together[1], atol=1e-6, rtol=0)


def test_pixels_are_left_as_they_are(net):
    pixels = torch.full((1, 3, INPUT_SIZE, INPUT_SIZE), 0.25)
    net.embed_images(pixels)
    assert (pixels == 0.25).all()


def test_nearest_scenes_tell_the_place_better_than_chance(drawn, embeddings):
    queries, gallery = slice(0, 120), slice(120, None)
    nearest = (embeddings[queries] @ embeddings[gallery].T).argmax(dim=1).numpy()
    lonlat = drawn.lonlat[gallery]
    error_km = great_circle_km(lonlat[nearest], drawn.lonlat[queries])
    chance_km = great_circle_km(lonlat[:, None], drawn.lonlat[queries][None])
    assert (error_km < 2500).mean() > 2 * (chance_km < 2500).mean()
    assert np.median(error_km) < 0.75 * np.median(chance_km)


def test_unknown_words_are_refused_with_words_that_are_known(net):
    with pytest.raises(UnknownWords, match=r"'quantum physics'.*palm"):
        net.embed_texts(["snow", "quantum physics"])


def test_every_word_that_the_error_offers_is_known(net):
    with pytest.raises(UnknownWords) as refusal:
        net.embed_texts([""])
    offered = str(refusal.value).partition("such as ")[2].partition(";")[0].split(", ")
    assert len(offered) > 8
    net.embed_texts(offered)


def test_an_unknown_word_beside_a_known_one_changes_nothing(net):
    torch.testing.assert_close(net.embed_texts(["zanzibar palm"]), net.embed_texts(["palm"]))


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("Palms", "palm"), ("churches", "church"), ("cities", "city"), ("grass", "grass"), ("cactus", "cactus")],
)
def test_words_are_lowercase_and_singular(plural, singular):
    assert words_of(plural) == [singular]


def test_the_shipped_vocabulary_is_that_of_the_captions(net):
    assert list(net.vocabulary) == vocabulary()


def test_the_shipped_file_is_small_and_says_its_licence():
    assert WEIGHTS.stat().st_size <= 2_000_000
    assert metadata()["licence"] == "Apache-2.0"


def test_missing_weights_are_named(tmp_path: Path):
    with pytest.raises(WeightsUnavailable, match="nowhere"):
        load(tmp_path / "nowhere.safetensors")


def test_foreign_weights_are_refused(tmp_path: Path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsUnavailable, match="not weights of the demonstration encoder"):
        load(tmp_path / "foreign.safetensors")


def test_captions_that_say_nothing_of_pictures_cost_the_logarithm_of_the_batch():
    same = torch.nn.functional.normalize(torch.ones(8, EMBEDDING_DIM), dim=-1)
    loss = caption_loss(same, same, torch.tensor(2.0), torch.eye(8, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(8), rel=1e-5)


def test_captions_true_of_several_pictures_want_them_all():
    axes = torch.eye(4, EMBEDDING_DIM)
    texts = torch.nn.functional.normalize(axes + axes[[1, 0, 3, 2]], dim=-1)
    is_true = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    loss = caption_loss(axes, texts, torch.tensor(4.0), is_true)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-5)


def test_the_place_loss_is_least_at_the_nearest_anchor():
    heads = Heads(np.array([[0.0, 0.0], [90.0, 0.0], [180.0, 0.0]]), 300.0)
    pointing = torch.nn.functional.normalize(heads.directions.detach(), dim=-1)
    losses = [heads.place_loss(pointing[row : row + 1], np.array([[91.0, 1.0]])).item() for row in range(3)]
    assert losses.index(min(losses)) == 1


def test_equal_seeds_train_equal_networks(drawn):
    def trained() -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        net, run = DemonstrationNet(vocabulary()), DemonstrationRun(epochs=1, batch=32, anchors=16)
        few = DrawnScenes(drawn.scenes[:64], drawn.pixels[:64], drawn.lonlat[:64], drawn.cues[:64])
        train(net, few, run, np.random.default_rng(4))
        return net.state_dict()

    first, second = trained(), trained()
    assert all(torch.equal(first[key], second[key]) for key in first)
