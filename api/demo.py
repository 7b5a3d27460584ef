"""The demonstration: draw scenes, index them, search, locate what was held out, and report.

`placeprint demo` runs it on drawn scenes with the demonstration encoder, so that it needs nothing;
`placeprint demo --photos FOLDER` runs the same on photos of one's own.
"""

import csv
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.areas import Circle
from ..encoders.catalog import DEFAULT, load_encoder
from ..encoders.errors import NoTextTower, NothingToLocateWith, PlaceprintError
from ..encoders.image import ImageEncoder, embed_images
from ..encoders.places import load_places
from ..encoders.scenes.drawing import draw_files
from ..encoders.scenes.scene import caption, cues_of, sample_places
from ..encoders.sphere import great_circle_km
from ..indexer import ingest
from ..indexer.evaluate import evaluate_gallery, evaluate_source
from ..indexer.evaluation_report import Evaluation
from ..indexer.filters import Filter
from ..indexer.gallery import Gallery
from ..indexer.locator import MIN_PHOTOS, Locator
from ..indexer.neighbors import Neighbor
from ..indexer.settings import Settings
from ..indexer.sources import list_source
from . import console, maps, pages

TEXTS = ("palm trees at night", "a snowy street with conifers", "a red brick church")
TEXTS_FOR_PHOTOS = ("a beach", "a church", "snow and mountains")
HELD_OUT = 0.2
N_LOCATED = 6


def run_demo(
    folder: Path, *, photos: Path | None, n_scenes: int, encoder: str | None, weights: Path | None
) -> None:
    """Run everything once and leave ``report.html`` in the folder.

    Args:
        folder: for pictures, gallery and report; may be there from an earlier run.
        photos: one's own source of photos; drawn scenes when left out.
        n_scenes: how many scenes to draw, a fifth of them held out.
        encoder: its name; by default the demonstration encoder for drawings, else the catalog's.
        weights: local weights for it.
    """
    report = Demonstration(folder, started=time.monotonic())
    folder.mkdir(parents=True, exist_ok=True)
    if photos is None:
        report.step(f"drawing {n_scenes} scenes at real places")
        source, queries = draw_scenes(n_scenes, folder, seed=0)
    else:
        source, queries = photos, None
    name = encoder or ("demonstration" if photos is None else DEFAULT)
    loaded = load_encoder(name, weights=weights)
    settings = Settings(home=folder / "home", qdrant_url=None)
    gallery_name = "demo" if photos is None else "photos"
    with Gallery.open_or_create(
        gallery_name, loaded.fingerprint, encoder=name, weights=weights, settings=settings
    ) as gallery:
        report.index(source, gallery, loaded)
        report.search(gallery, loaded, TEXTS if photos is None else TEXTS_FOR_PHOTOS)
        report.locate(gallery, loaded, queries)
        report.write(gallery, loaded)


def draw_scenes(n: int, folder: Path, *, seed: int) -> tuple[Path, Path]:
    """Draw scenes into ``folder/photos`` and list them in two tables.

    Returns:
        The tables of the gallery's photos and of those held out, which show other places.
    """
    table, rng = load_places(), np.random.default_rng(seed)
    chosen = sample_places(n, rng, lonlat=table.lonlat, population=table.population)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    rows, jobs = [], []
    for number, place in enumerate(chosen.tolist()):
        lon, lat = table.lonlat[place].tolist()
        scene = cues_of(lon, lat, table.country_code[place], int(table.population[place]), rng)
        image = f"photos/{number:05d}.jpg"
        jobs.append((scene, folder / image))
        rows.append(
            {
                "image": image, "lon": lon, "lat": lat, "group": f"{table.city[place]} {place}",
                "city": table.city[place], "country": table.country_code[place],
                "month": scene.month, "caption": caption(scene),
            }
        )  # fmt: skip
    draw_files(jobs)
    n_queries = round(HELD_OUT * n)
    queries, gallery = folder / "queries.csv", folder / "gallery.csv"
    for path, part in ((queries, rows[:n_queries]), (gallery, rows[n_queries:])):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(part)
    return gallery, queries


@dataclass
class Demonstration:
    """One run of the demonstration, step by step, and what the report shows of it."""

    folder: Path
    started: float
    facts: list[tuple[str, str]] = field(default_factory=list)
    searches: list[pages.SearchExample] = field(default_factory=list)
    located: list[pages.LocateExample] = field(default_factory=list)
    evaluation: Evaluation | None = None

    def step(self, what: str) -> None:
        """Say what comes now."""
        console.out.print(f"[{time.monotonic() - self.started:5.0f} s] {what}", markup=False)

    def index(self, source: Path, gallery: Gallery, encoder: ImageEncoder) -> None:
        """Index, and fit the geolocation."""
        self.step(f"indexing with {encoder.fingerprint.name}")
        items = list_source(source)
        with console.indexing_progress(as_json=False) as progress:
            report = ingest.index(items, gallery, encoder, progress=progress)
        console.show_report(report, gallery.name, len(gallery), ingest.failures_file(gallery), as_json=False)
        rate = report.n_done / report.seconds if report.n_done else 0.0
        self.facts += [
            ("photos in the gallery", f"{len(gallery):,}"),
            ("of these with a place", f"{gallery.count(Filter(is_placed=True)):,}"),
            ("could not be read", f"{len(report.failures) + report.n_failed_before:,}"),
            ("indexing speed", f"{rate:.0f} photos a second" if rate else "nothing new to index"),
            ("encoder", encoder.fingerprint.name),
        ]

    def search(self, gallery: Gallery, encoder: ImageEncoder, texts: tuple[str, ...]) -> None:
        """Search by photo, by text and by area."""
        self.step("searching by photo, text and place")
        first = min(gallery.find(), key=lambda photo: photo.image)
        like = embed_images(encoder, [first.image])[0]
        others = Filter(exclude_ids=frozenset({first.id}))
        name = Path(first.image).name
        self._note_search(f"like {name}", gallery.nearest(like, 5, filter=others), first.image)
        for text in texts:
            try:
                self._note_search(f"“{text}”", gallery.nearest(encoder.embed_texts([text])[0], 5))
            except (NoTextTower, PlaceprintError) as error:
                console.out.print(f"        “{text}”: {error}", markup=False, soft_wrap=True)
        if first.lon is not None and first.lat is not None:
            near = Filter(within=Circle(first.lon, first.lat, 1000.0), exclude_ids=others.exclude_ids)
            title = f"like {name}, within 1,000 km of it"
            self._note_search(title, gallery.nearest(like, 5, filter=near), first.image)

    def _note_search(self, title: str, neighbors: list[Neighbor], query: str | None = None) -> None:
        best = ", ".join(f"{Path(n.photo.image).name} {n.similarity:.2f}" for n in neighbors[:3])
        console.out.print(f"        {title}: {best or 'nothing'}", markup=False, soft_wrap=True)
        self.searches.append(
            pages.SearchExample(
                title=title,
                query=pages.thumbnail(query) if query else None,
                neighbors=neighbors,
                thumbnails=[pages.thumbnail(neighbor.photo.image) for neighbor in neighbors],
            )
        )

    def locate(self, gallery: Gallery, encoder: ImageEncoder, queries: Path | None) -> None:
        """Locate held-out photos and measure how well that went."""
        if gallery.count(Filter(is_placed=True)) < MIN_PHOTOS:
            self.step(f"no geolocation: it takes at least {MIN_PHOTOS} photos with a place")
            return
        self.step("fitting the geolocation")
        try:
            with console.counting_progress("calibrating") as counting:
                locator = Locator(gallery, progress=counting, stage=console.telling("calibrating"))
        except NothingToLocateWith as error:
            console.out.print(str(error))
            return
        photos, lonlat = gallery.placed()
        self.step("locating photos whose places the gallery does not know")
        with console.counting_progress("locating") as counting:
            if queries is not None:
                items = list_source(queries)
                self.evaluation, _ = evaluate_source(items, gallery, encoder, progress=counting)
                asked = [(item.path, item.group, item.lon, item.lat) for item in items]
            else:
                self.evaluation = evaluate_gallery(gallery, progress=counting)
                asked = [(Path(photo.image), photo.group, photo.lon, photo.lat) for photo in photos]
        console.out.print(self.evaluation.table())
        console.out.print(self.evaluation.summary(), markup=False)
        for image, group, lon, lat in asked[:: max(1, len(asked) // N_LOCATED)][:N_LOCATED]:
            if not image.exists():  # moved since, or in an archive
                continue
            embedding = embed_images(encoder, [image])[0]
            hidden = Filter(exclude_groups=frozenset({group} if group else ()))
            location, near = locator.locate(embedding, filter=hidden)
            truth = None if lon is None or lat is None else (lon, lat)
            self.located.append(
                pages.LocateExample(
                    name=image.name,
                    photo=pages.thumbnail(image, 480),
                    map=maps.draw_location(
                        location, None, gallery_lonlat=lonlat, neighbors=near, truth=truth
                    ),
                    location=location,
                    truth=truth,
                    error_km=None if truth is None else _error_km(location, truth),
                )
            )

    def write(self, gallery: Gallery, encoder: ImageEncoder) -> None:
        """Write the report."""
        self.step("writing the report")
        self.facts.append(("whole run", f"{time.monotonic() - self.started:.0f} s"))
        _, lonlat = gallery.placed()
        plot = None
        if self.evaluation is not None:
            figures = json.dumps(self.evaluation.to_dict(), indent=1)
            (self.folder / "evaluation.json").write_text(figures, encoding="utf-8")
            self.evaluation.plot(self.folder / "evaluation.png")
            plot = (self.folder / "evaluation.png").read_bytes()
        page = pages.demo_page(
            facts=self.facts,
            gallery_map=maps.draw_gallery(lonlat, title="where the gallery's photos lie"),
            searches=self.searches,
            located=self.located,
            evaluation=pages.evaluation_rows(self.evaluation) if self.evaluation else (),
            plot=plot,
        )
        path = self.folder / "report.html"
        path.write_text(page, encoding="utf-8")
        console.out.print(f"report: {path.absolute()}", soft_wrap=True)


def _error_km(location: Any, truth: tuple[float, float]) -> float:
    return float(great_circle_km(np.array([location.lon, location.lat]), np.array(truth)))
