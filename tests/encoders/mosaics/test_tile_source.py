"""Tiles from a server on this machine: name, cache, pause, repeats, refusals."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placeprint.encoders.areas import Box
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption, NoMapTiles, UnwritableFile
from placeprint.encoders.mosaics.mercator import ground_m_per_px, to_lonlat
from placeprint.encoders.mosaics.tile_source import AGENT, TileSource

AROUND = Box(9.4, 47.0, 9.6, 47.2)


class Server:
    """Tiles whose color is their number, after some answers that are none."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.at: list[float] = []
        self.answers: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, str(self.headers["User-Agent"])))
                outer.at.append(time.monotonic())
                status = outer.answers.pop(0) if outer.answers else 200
                self.send_response(status)
                self.end_headers()
                if status == 200:
                    _, z, x, y = self.path.split("/")
                    color = (int(x) % 256, int(y.split(".")[0]) % 256, int(z))
                    out = io.BytesIO()
                    Image.new("RGB", (256, 256), color).save(out, "PNG")
                    self.wfile.write(out.getvalue())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/{{z}}/{{x}}/{{y}}.png"


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


def source(server: Server, folder: Path, **how: float) -> TileSource:
    return TileSource(server.url, cache=folder, **{"pause_s": 0.0, "retry_s": 0.01, **how})  # type: ignore[arg-type]


def test_tiles_stand_where_they_belong(server: Server, tmp_path: Path) -> None:
    found = source(server, tmp_path).picture(AROUND, 9)
    paths = {path for path, _ in server.asked}
    columns = sorted({int(path.split("/")[2]) for path in paths})
    rows = sorted({int(path.split("/")[3].split(".")[0]) for path in paths})
    assert found.pixels.shape == (256 * len(rows), 256 * len(columns), 4)
    assert found.pixels[0, 0].tolist() == [columns[0] % 256, rows[0] % 256, 9, 255]
    assert found.pixels[-1, -1].tolist() == [columns[-1] % 256, rows[-1] % 256, 9, 255]
    left, right, bottom, top = found.extent_m
    x, y = np.deg2rad(9.5) * 6378137.0, np.arctanh(np.sin(np.deg2rad(47.1))) * 6378137.0
    assert left < x < right and bottom < y < top


def test_our_name_arrives(server: Server, tmp_path: Path) -> None:
    source(server, tmp_path).picture(AROUND, 4)
    assert {agent for _, agent in server.asked} == {AGENT}
    assert AGENT.startswith("placeprint/")


def test_the_cache_outlives_the_source(server: Server, tmp_path: Path) -> None:
    first = source(server, tmp_path).picture(AROUND, 9)
    n = len(server.asked)
    again = source(server, tmp_path).picture(AROUND, 9)
    assert len(server.asked) == n > 0
    assert np.array_equal(again.pixels, first.pixels)
    assert len(list(tmp_path.rglob("*.png"))) == n


def test_too_many_requests_are_repeated_after_growing_pauses(server: Server, tmp_path: Path) -> None:
    server.answers = [429, 429, 503]
    source(server, tmp_path, retry_s=0.1).picture(AROUND, 4)
    assert len(server.asked) == 4
    waits = np.diff(server.at)
    assert waits[0] >= 0.1 and waits[1] >= 0.2 and waits[2] >= 0.4


def test_requests_keep_a_pause(server: Server, tmp_path: Path) -> None:
    source(server, tmp_path, pause_s=0.08).picture(AROUND, 9)
    assert len(server.at) >= 2
    assert np.diff(server.at).min() >= 0.07  # the server's clock starts when the request arrives


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_not_repeated(server: Server, tmp_path: Path, status: int) -> None:
    server.answers = [status] * 9
    with pytest.raises(NoMapTiles, match=r"no tile 4/8/5 .*draw the map offline"):
        source(server, tmp_path).picture(AROUND, 4)
    assert len(server.asked) == 1


def test_a_server_that_never_recovers_is_given_up(server: Server, tmp_path: Path) -> None:
    server.answers = [429] * 9
    with pytest.raises(NoMapTiles, match="429"):
        source(server, tmp_path, retries=2).picture(AROUND, 4)
    assert len(server.asked) == 3
    assert not list(tmp_path.rglob("*.png"))


def test_no_server(tmp_path: Path) -> None:
    nobody = TileSource("http://127.0.0.1:9/{z}/{x}/{y}.png", cache=tmp_path, retries=1, retry_s=0.01)
    with pytest.raises(NoMapTiles, match="ConnectionError"):
        nobody.picture(AROUND, 4)


def test_bulk_of_openstreetmaps_own_tiles_is_refused(tmp_path: Path) -> None:
    for name in ("OpenStreetMap.Mapnik", "https://a.tile.openstreetmap.org/{z}/{x}/{y}.png"):
        osm = TileSource(name, cache=tmp_path)
        assert osm.is_osm
        with pytest.raises(NoMapTiles, match=r"tile policy forbids bulk .*mosaic build region\.osm\.pbf"):
            osm.picture(AROUND, 15)
        assert osm.n_fetched == 0
        osm.n_fetched = 64  # what was fetched before counts
        with pytest.raises(NoMapTiles, match="65 of OpenStreetMap's own tiles"):
            osm.picture(AROUND, 4)
    assert not TileSource("https://tile.openstreetmap.org.evil.example/{z}/{x}/{y}.png").is_osm


def test_a_picture_of_the_world_tile_by_tile_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(NoMapTiles, match="take a smaller box or a zoom below 14"):
        source(server, tmp_path).picture(Box(0.0, 0.0, 40.0, 40.0), 14)
    assert not server.asked


def test_the_antimeridian(server: Server, tmp_path: Path) -> None:
    found = source(server, tmp_path).picture(Box(179.0, -1.0, -179.0, 1.0), 3)
    columns = {int(path.split("/")[2]) for path, _ in server.asked}
    assert columns == {7, 0}
    assert found.pixels[0, 0, 0] == 7 and found.pixels[0, -1, 0] == 0


def test_sources_that_cannot_be() -> None:
    with pytest.raises(InvalidOption, match=r"no tile provider 'Nobody\.Knows'"):
        TileSource("Nobody.Knows")
    with pytest.raises(InvalidOption, match=r"has no \{z\}"):
        TileSource("http://x/{x}/{y}.png")
    with pytest.raises(InvalidOption, match="needs a key"):
        TileSource("Thunderforest.OpenCycleMap")


def test_a_square_around_a_place_is_cut_where_it_lies(server: Server, tmp_path: Path) -> None:
    tiles = source(server, tmp_path)
    lon, lat = to_lonlat(np.array([256.0 * 540, 256.0 * 360]), 10).tolist()  # where four tiles meet
    width_m = 256.0 * float(ground_m_per_px(lat, 10))
    found = tiles.around(lon, lat, ground_m=width_m, px=256)
    assert found.shape == (256, 256, 3) and tiles.n_fetched == 4
    corners = [found[y, x].tolist() for y, x in ((20, 20), (20, 235), (235, 20), (235, 235))]
    assert corners == [[539 % 256, 359 % 256, 10], [540 % 256, 359 % 256, 10], [539 % 256, 360 % 256, 10],
                       [540 % 256, 360 % 256, 10]]  # fmt: skip
    coarser = tiles.around(lon, lat, ground_m=4.0 * width_m, px=256)
    assert coarser[128, 20, 2] == 8  # the zoom that has as many pixels


def test_a_square_over_the_antimeridian_and_at_the_end_of_the_map(server: Server, tmp_path: Path) -> None:
    found = source(server, tmp_path).around(180.0, 0.1, ground_m=2_000_000.0, px=128)
    assert len({tuple(found[60, x].tolist()) for x in (10, 118)}) == 2  # the last column, and the first
    source(server, tmp_path).around(10.0, 85.05, ground_m=300_000.0, px=64)
    with pytest.raises(InvalidCoordinate, match="projection of web maps ends"):
        source(server, tmp_path).around(10.0, 86.0, ground_m=1000.0, px=64)


def test_a_damaged_tile_is_fetched_again_and_a_bad_cache_is_named(server: Server, tmp_path: Path) -> None:
    tiles = source(server, tmp_path / "cache")
    first = tiles.picture(AROUND, 9)
    for path in tiles.folder.rglob("*.png"):
        path.write_bytes(b"" if path.stat().st_size % 2 else path.read_bytes()[:50])
    again = source(server, tmp_path / "cache")
    assert (again.picture(AROUND, 9).pixels == first.pixels).all() and again.n_fetched == tiles.n_fetched
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnwritableFile, match="name another cache"):
        source(server, tmp_path / "file").picture(AROUND, 9)
