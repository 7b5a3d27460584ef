"""Recognizing the very place: one of each group, a second look where unsure, and files that are gone."""

from pathlib import Path

import pytest
from PIL import Image
from place_recognition_fakes import CONV, load_backbone, look, walk, write_weights

from placeprint.encoders.errors import FingerprintMismatch, InvalidOption
from placeprint.encoders.image import TimmEncoder
from placeprint.indexer import recognize as module
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.recognize import recognize
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

N_PLACES = 10


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TimmEncoder:
    made = load_backbone(CONV, write_weights(CONV, tmp_path_factory.mktemp("weights")))
    assert isinstance(made, TimmEncoder)
    return made


@pytest.fixture(scope="module")
def home(encoder: TimmEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten places, each in three frames of one sequence."""
    home = tmp_path_factory.mktemp("home")
    (home / "photos").mkdir()
    lines = ["image,lon,lat,walk"]
    for place, (lon, lat) in enumerate(walk(N_PLACES).tolist()):
        for day in range(3):
            Image.fromarray(look(place, day)).save(home / "photos" / f"{place}-{day}.png")
            lines.append(f"{place}-{day}.png,{lon},{lat},walk {place}")
    (home / "photos" / "photos.csv").write_text("\n".join(lines))
    settings = Settings(home=home, qdrant_url=None)
    source = list_source(home / "photos" / "photos.csv", group_column="walk")
    with Gallery.create("walks", encoder.fingerprint, encoder="conv", settings=settings) as gallery:
        index(source, gallery, encoder, workers=1)
    return home


@pytest.fixture
def walks(home: Path):  # type: ignore[no-untyped-def]
    with Gallery.open("walks", settings=Settings(home=home, qdrant_url=None)) as gallery:
        yield gallery


def place_of(image: str) -> int:
    return int(Path(image).name.split("-")[0])


def test_of_frames_of_a_walk_the_most_similar_stands_for_all(walks: Gallery, encoder: TimmEncoder) -> None:
    photo = look(4, 9)
    found = recognize(walks, encoder, photo, k=N_PLACES, looked_at=0).found
    assert sorted(place_of(one.photo.image) for one in found) == list(range(N_PLACES))
    assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)
    every = recognize(walks, encoder, photo, k=30, looked_at=0, one_of_group=False).found
    assert len(every) == 30 and every[0].photo.id == found[0].photo.id
    for one in found:
        own = [other for other in every if place_of(other.photo.image) == place_of(one.photo.image)]
        assert own[0].photo.id == one.photo.id


def test_photos_without_a_named_group_stand_for_themselves(encoder: TimmEncoder, home: Path) -> None:
    settings = Settings(home=home, qdrant_url=None)
    with Gallery.open_or_create("loose", encoder.fingerprint, settings=settings) as gallery:
        index(list_source(home / "photos" / "photos.csv"), gallery, encoder, workers=1)
        assert len({photo.group for photo in gallery.find()}) == 1  # the area around
        assert len(recognize(gallery, encoder, look(1, 9), k=30, looked_at=0).found) == 30


def test_a_second_look_is_taken_only_where_unsure(walks: Gallery, encoder: TimmEncoder) -> None:
    photo = look(6, 9)
    doubt = recognize(walks, encoder, photo, looked_at=0).doubt
    assert 0.0 < doubt < 1.0
    sure = recognize(walks, encoder, photo, unsure=min(1.0, doubt + 0.01))
    assert not sure.looked_again and sure.found[0].score is None
    unsure = recognize(walks, encoder, photo, unsure=doubt - 0.01, looked_at=5, k=8)
    assert unsure.looked_again and [one.score is not None for one in unsure.found] == [True] * 5 + [False] * 3
    scores = [one.score for one in unsure.found[:5]]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


def test_a_second_look_finds_more_places(walks: Gallery, encoder: TimmEncoder) -> None:
    right = {}
    for looked_at in (0, N_PLACES):
        answers = [
            recognize(walks, encoder, look(place, 20 + day), k=1, looked_at=looked_at, unsure=0.0).found[0]
            for place in range(N_PLACES)
            for day in range(2)
        ]
        right[looked_at] = sum(place_of(one.photo.image) == row // 2 for row, one in enumerate(answers))
    assert right[N_PLACES] > right[0] and right[N_PLACES] >= 18


def test_a_photo_without_its_file_comes_after_those_looked_at(
    walks: Gallery, encoder: TimmEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = look(2, 9)
    gone = recognize(walks, encoder, photo, looked_at=0).found[0].photo
    real = module.read_original

    def without(id: str, keys: tuple[str, ...]) -> bytes:
        return real(id, keys if id != gone.id else ())

    monkeypatch.setattr(module, "read_original", without)
    answer = recognize(walks, encoder, photo, unsure=0.0, looked_at=4, k=4)
    assert answer.missing == [gone.id] and answer.found[-1].photo.id == gone.id
    assert answer.found[-1].score is None and answer.found[0].score is not None


def test_an_empty_answer_and_what_cannot_be(walks: Gallery, encoder: TimmEncoder, tmp_path: Path) -> None:
    nothing = recognize(walks, encoder, look(0, 9), filter=Filter(where={"walk": "nowhere"}))
    assert nothing.found == [] and nothing.doubt == 1.0 and not nothing.looked_again
    with pytest.raises(InvalidOption, match="unsure=2"):
        recognize(walks, encoder, look(0, 9), unsure=2.0)
    other = load_backbone(CONV, write_weights(CONV, tmp_path, seed=2))
    with pytest.raises(FingerprintMismatch):
        recognize(walks, other, look(0, 9))
