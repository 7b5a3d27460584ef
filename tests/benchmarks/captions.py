"""Does training on captions teach a model where pictures are? Before and after, beside prior and probe.

    python tests/benchmarks/captions.py --out bench

No weights are needed: a small image–text model of open_clip (a ConvNeXt of 0.4 million numbers, one text
block) starts from chance and learns from drawn street scenes, whose looks depend on the place. Whole
regions of the Earth are held out. The answers compared on them:

- most common: what is most common in the training part, whatever the picture;
- text alone, before and after: the name nearest to the picture, of the countries of the training part and
  of the five main climates;
- text, with prior: the same times how common each country is, at a temperature fitted on the validation
  part;
- linear probe, before and after: logistic regression on the embeddings of the training part and its labels.

Beside them the demonstration encoder, which has a text tower of its own, tells the 13 regions of the
world that its scenes know by their names. Intervals are 95 % bootstrap intervals over regions.
"""

import argparse
import json
import platform
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import safetensors.torch
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from placeprint.encoders.captioning.climates import GROUPS
from placeprint.encoders.captioning.figures import climate_scores, country_scores, means, prior_scores
from placeprint.encoders.captioning.model import CaptionModel
from placeprint.encoders.captioning.photos import CaptionPhotos
from placeprint.encoders.captioning.settings import CaptionRun
from placeprint.encoders.captioning.trainer import CaptionTrainer
from placeprint.encoders.captioning.zero_shot import NamedPlaces, country_texts, fit_temperature
from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.csp_retrieval import best_constant
from placeprint.encoders.places import load_places
from placeprint.encoders.preprocessing import Preprocessing
from placeprint.encoders.scenes.painting import draw
from placeprint.encoders.scenes.scene import REGION_OF, STYLES, cues_of, sample_places
from placeprint.encoders.sphere import great_circle_km
from placeprint.encoders.train_captions import run_captions
from placeprint.encoders.weights import _untrained

NAME = "placeprint-scenes"
CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {
        "timm_model_name": "test_convnext2", "timm_pool": "", "timm_proj": "linear", "image_size": 64,
    },
    "text_cfg": {"context_length": 48, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}  # fmt: skip
SIZES = (64, 96)  # of our model's pictures, of the demonstration encoder's
console = Console(width=180)


def drawn_scenes(n: int, n_seen: int, cache: Path) -> dict[str, NDArray[Any]]:
    """Scenes at n places: pixels at both sizes (the larger of the first `n_seen`), lonlat, month, heading."""
    path = cache / f"scenes-{n}-{n_seen}.npz"
    if path.exists():
        return dict(np.load(path))
    rng, places = np.random.default_rng(0), load_places()
    rows = sample_places(n, rng, lonlat=places.lonlat, population=places.population)
    small, large = (Preprocessing(size=size) for size in SIZES)
    found: dict[str, list[Any]] = {"small": [], "large": [], "month": [], "heading_deg": []}
    for number, row in enumerate(rows.tolist()):
        lon, lat = places.lonlat[row].tolist()
        scene = cues_of(lon, lat, places.country_code[row], int(places.population[row]), rng)
        picture = draw(scene, size=(128, 96))
        found["small"].append(small.pixels(picture))
        if number < n_seen:
            found["large"].append(large.pixels(picture))
        found["month"].append(scene.month)
        found["heading_deg"].append(scene.heading_deg)
    scenes = {name: np.array(column) for name, column in found.items()} | {"lonlat": places.lonlat[rows]}
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, **scenes)
    return scenes


def photos_of(scenes: dict[str, NDArray[Any]]) -> CaptionPhotos:
    """The scenes as photos with place, month and heading."""
    return CaptionPhotos.of(
        [str(row) for row in range(len(scenes["lonlat"]))],
        scenes["small"],
        scenes["lonlat"],
        taken_at=[datetime(2024, int(month), 15, 12, tzinfo=UTC) for month in scenes["month"]],
        heading_deg=scenes["heading_deg"].tolist(),
    )


def first_weights(folder: Path, seed: int) -> Path:
    """Make the model known to open_clip, and draw its first weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    torch.manual_seed(seed)
    model = _untrained(NAME, {})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".gamma"):  # from the usual 1e-6 so short a run would not get away
                parameter.fill_(0.5)
    path = folder / f"{NAME}-{seed}.safetensors"
    safetensors.torch.save_file({key: value.clone() for key, value in model.state_dict().items()}, path)
    return path


def probed(
    trainer: CaptionTrainer, images: NDArray[np.float32], labels: NDArray[Any], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Scores of a linear probe for all photos, (N, classes), and its classes; labels of training only."""
    rows = np.intersect1d(trainer.train_rows, np.flatnonzero(known))
    scaler = StandardScaler().fit(images[rows])
    probe = LogisticRegression(C=0.1, max_iter=300).fit(scaler.transform(images[rows]), labels[rows])
    return probe.decision_function(scaler.transform(images)), probe.classes_


def answers(trainer: CaptionTrainer, *, is_trained: bool) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Scores on the test part of text and probe, for the model as it is."""
    test, facts = trainer.rows(2), trainer.facts
    images = trainer.embed_photos(np.arange(len(trainer.photos)))
    codes, truth = trainer.country_codes, facts.country_code[test]
    scored, classes = probed(trainer, images, facts.country_code.astype(str), facts.country_code != "")
    letters = np.array([one[:1] for one in facts.climate])
    by_climate, groups = probed(trainer, images, letters, letters != "")
    climate = np.full((len(test), len(GROUPS)), -np.inf)
    climate[:, [list(GROUPS).index(str(one)) for one in groups]] = by_climate[test]
    text = {name: score for name, score in trainer.scores(test).items() if not name.startswith("caption_to")}
    found = {
        "text alone": text,
        "linear probe": {
            **country_scores(scored[test], classes.astype(object), truth),
            **climate_scores(climate, facts.climate[test]),
        },
    }
    if is_trained:
        found["text, with prior"] = with_prior(trainer, images, codes)
    return found


def with_prior(
    trainer: CaptionTrainer, images: NDArray[np.float32], codes: NDArray[np.object_]
) -> dict[str, NDArray[np.float64]]:
    """Countries by text times how common they are; errors of the place that this makes best."""
    facts, test, validation = trainer.facts, trainer.rows(2), trainer.rows(1)
    names = country_texts(trainer.model, codes.tolist())
    row_of = {code: row for row, code in enumerate(codes)}
    common = np.bincount(
        [row_of[one] for one in facts.country_code[trainer.train_rows] if one], minlength=len(codes)
    )
    asked = np.array([row for row in validation if facts.country_code[row] in row_of])
    truth = np.array([row_of[facts.country_code[row]] for row in asked])
    temperature = fit_temperature(names.similarity(images[asked]), truth, common)
    posterior = names.posterior(images[test], temperature=temperature, prior=common)
    error_km = great_circle_km(trainer.photos.lonlat[test], names.best_places(posterior))
    return {
        **country_scores(posterior, codes, facts.country_code[test]),
        "within_2500_km": (error_km <= 2500.0).astype(float),
        "error_km": error_km,
    }


def constant_km(trainer: CaptionTrainer) -> NDArray[np.float64]:
    """Errors of the best single place of the training part."""
    lonlat = trainer.photos.lonlat
    return great_circle_km(lonlat[trainer.rows(2)], best_constant(lonlat[trainer.train_rows]))


def demonstration(scenes: dict[str, NDArray[Any]]) -> dict[str, float]:
    """How often the demonstration encoder tells the region of the world of a scene by its name alone."""
    encoder = load_encoder("demonstration")
    images = np.concatenate([encoder.embed_pixels(part) for part in np.array_split(scenes["large"], 8)])
    codes = load_places().nearest(scenes["lonlat"][: len(images)]).index
    region = [REGION_OF.get(code, "oceania") for code in load_places().country_code[codes]]
    names = tuple(STYLES)
    truth = np.array([names.index(one) for one in region])
    texts = NamedPlaces.of(encoder, names, templates=("a street in {}", "a drawing of a street in {}"))
    similarity = texts.similarity(images)
    return {
        "scenes": float(len(images)),
        "text_alone": float((similarity.argmax(axis=1) == truth).mean()),
        "most_common": float(np.bincount(truth).max() / len(truth)),
        "chance": 1.0 / len(names),
    }


def show(rows: dict[str, dict[str, Any]], columns: tuple[str, ...]) -> None:
    """The table."""
    table = Table(box=None, pad_edge=False)
    for title in ("held-out regions", *columns):
        table.add_column(title, justify="left" if title == "held-out regions" else "right", no_wrap=True)
    for name, row in rows.items():
        cells = [row.get(column) for column in columns]
        table.add_row(
            name, *("" if c is None else f"{c['value']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" for c in cells)
        )
    console.print(table)


def main() -> None:
    """Draw, train, measure, write ``captions.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--scenes", type=int, default=9000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    scenes = drawn_scenes(args.scenes, min(1500, args.scenes), args.out / "cache")
    run = CaptionRun(
        tune="all", learning_rate=2e-3, epochs=args.epochs, batch_size=128, part_size=128, seed=args.seed
    )
    photos, weights = photos_of(scenes), first_weights(args.out / "cache", args.seed)
    started = time.process_time()
    before = CaptionTrainer(photos, run, CaptionModel(f"open_clip:{NAME}", weights))
    scores = {f"{name}, before": row for name, row in answers(before, is_trained=False).items()}
    report = run_captions(
        photos, CaptionModel(f"open_clip:{NAME}", weights), run, args.out / f"captions-{args.seed}",
        is_resumed=True, source={"photos": "drawn street scenes"},
        show=lambda record, rounds: console.print(
            f"{record['round']}/{rounds}: loss {record['loss']:.3f}, rank {record['rank_share']:.3f}, "
            f"country {record['country_at_1']:.3f}, climate {record['climate_at_1']:.3f}"
        ),
    )  # fmt: skip
    encoder = args.out / f"captions-{args.seed}" / "encoder.safetensors"
    after = CaptionTrainer(photos, run, CaptionModel(f"open_clip:{NAME}", encoder))
    scores |= {f"{name}, after": row for name, row in answers(after, is_trained=True).items()}
    test = after.rows(2)
    error_km = scores["text, with prior, after"].pop("error_km")
    scores["most common"] = prior_scores(after.facts.take(after.train_rows), after.facts.take(test))
    scores["best single place"] = {"within_2500_km": (constant_km(after) <= 2500.0).astype(float)}
    rows = {
        name: {key: asdict(one) for key, one in means(row, after.region[test]).items()}
        for name, row in scores.items()
    }
    results = {
        "rows": rows,
        "median_km": {
            "text, with prior": float(np.median(error_km)),
            "best single place": float(np.median(constant_km(after))),
        },
        "demonstration": demonstration(scenes),
        "photos": report["photos"],
        "countries": report["countries"],
        "best_round": report["best_round"],
        "settings": run.to_dict(),
        "cpu_s": time.process_time() - started,
        "machine": f"{platform.machine()}, torch {torch.__version__}, {args.threads} thread(s)",
    }
    show(rows, ("country_at_1", "country_at_5", "climate_at_1", "rank_share", "within_2500_km"))
    console.print(
        {name: results[name] for name in ("median_km", "demonstration", "countries", "photos", "cpu_s")}
    )
    (args.out / "captions.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
