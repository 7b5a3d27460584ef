"""P13 and P14: the features and embeddings of places, beside SatCLIP's way and GeoCLIP's package.

    python tests/benchmarks/location_speed.py --out bench [--geoclip-path SITE-PACKAGES]

P13: spherical harmonics, and a SIREN on them, beside the double loop over degree and order that the
reference makes with torch. It is written here from the formulas (`location.harmonics_one_by_one`), because
the reference itself cannot be shipped; weights are the same, drawn at random. P14: GeoCLIP's own package with
random weights beside the same weights read by ours, in float32, and in bfloat16 (`encoder.bfloat16()`). The
package is found where it is installed, or in a folder of packages of another environment. Ours goes through
the function that users call, the peers get blocks of the size that suits them best; outputs are compared
before anything is timed.
"""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from location import PublishedSatClip, _geoclip, harmonics_one_by_one
from numpy.typing import NDArray
from row_script import arguments, begin, command, finish, missing, sentences
from scoreboard_rows import Figure, Row
from turns import Comparison, doubts_of, take_turns, verdict_of

from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.encoders.third_party_locations import load_geoclip, load_satclip, satclip_factors

DEGREES = (10, 40)
BLOCKS = (1024, 4096)
FEATURES, END_TO_END, MOST_APART = 10.0, 3.0, 1e-4
FLOAT32, BFLOAT16 = 1.0, 1.8


def in_blocks(module: Any, points: NDArray[np.float64], *, block: int = BLOCKS[0]) -> torch.Tensor:
    """A module's answer, some rows at a time, so that they stay in the processor's cache."""
    with torch.inference_mode():
        whole = torch.from_numpy(points)
        return torch.cat([module(whole[start : start + block]) for start in range(0, len(whole), block)])


def best_block(module: Any, points: NDArray[np.float64]) -> int:
    """How many rows at a time suit a module best."""
    seconds = {}
    for block in BLOCKS * 2:
        began = time.perf_counter()
        in_blocks(module, points, block=block)
        seconds[block] = min(time.perf_counter() - began, seconds.get(block, np.inf))
    return min(seconds, key=lambda block: seconds[block])


def as_safetensors(module: torch.nn.Module, prefix: str, folder: Path) -> Path:
    """The weights of a module as a file that ours reads."""
    path = folder / "weights.safetensors"
    tensors = {f"{prefix}{name}": value.contiguous() for name, value in module.state_dict().items()}
    safetensors.torch.save_file(tensors, path, {"harmonics_calculation": "closed-form"})
    return path


@dataclass(frozen=True)
class Pair:
    """Ours and the peer that answers the same, but for what ours is multiplied by."""

    name: str
    ours: LocationEncoder
    theirs: Callable[[torch.Tensor], torch.Tensor]
    peer: str
    target: float
    factors: NDArray[np.float64] | float = 1.0

    def apart(self, points: NDArray[np.float64]) -> float:
        """The largest difference of the two."""
        theirs = in_blocks(self.theirs, points).numpy()
        return float(np.abs(self.ours.encode(points) * self.factors - theirs).max())

    def compared(self, points: NDArray[np.float64], block: int, blocks: int) -> Comparison:
        turns = take_turns(
            lambda: self.ours.encode(points),
            {"loop": lambda: in_blocks(self.theirs, points, block=block)},
            blocks=blocks,
        )
        return turns.compare("loop")


def pairs_of(degrees: int) -> Iterator[Pair]:
    """Features alone, then a network on them."""

    def loop(rows: torch.Tensor) -> torch.Tensor:
        return harmonics_one_by_one(rows, degrees)

    ours = LocationEncoder("sh", "none", positional_options={"degrees": degrees})
    factors = satclip_factors(degrees, "closed-form").numpy()
    yield Pair(f"features, L = {degrees}", ours, loop, "double loop over l, m", FEATURES, factors)
    torch.manual_seed(0)
    published = PublishedSatClip(degrees)
    with tempfile.TemporaryDirectory() as folder:
        encoder = load_satclip(as_safetensors(published, "nnet.", Path(folder))).float()
    yield Pair(f"embeddings, L = {degrees}", encoder, published, "SatCLIP's way, float64", END_TO_END)


def harmonics_row(n: int, blocks: int) -> Row:
    """P13."""
    points, figures, reached = uniform_on_sphere(n, np.random.default_rng(0)), [], []
    found: dict[str, Comparison] = {}
    for degrees in DEGREES:
        block = 0
        for pair in pairs_of(degrees):
            block = block or best_block(pair.theirs, points)  # of the loop
            found[pair.name] = one = pair.compared(points, block, blocks)
            figures.append(one.figure(pair.name, pair.peer, n=n / 1e3, unit="k places/s"))
            figures[-1].target = pair.target
            apart = pair.apart(points[:256])
            figures.append(Figure(f"largest difference of {pair.name}", apart))
            reached += [one.reaches(pair.target), apart <= MOST_APART]
    return Row(
        "P13", "Spherical harmonics and SatCLIP's network",
        f">= {FEATURES:g}x features, >= {END_TO_END:g}x end to end, difference <= {MOST_APART:g}",
        verdict_of(*reached), command(),
        sentences(
            "the peer is the reference's double loop, written anew from the formulas, in float64 as it is "
            "released; ours answers in float32; the GPU's target is not measured",
            doubts_of(found),
        ),
        figures,
    )  # fmt: skip


def geoclip_row(n: int, blocks: int, folder: str | None) -> Row:
    """P14."""
    target = f">= {FLOAT32:g}x in float32, >= {BFLOAT16:g}x in bfloat16"
    row = Row("P14", "GeoCLIP's location encoder", target, "not measured", command())
    torch.manual_seed(0)
    package = _geoclip(folder)
    if package is None:
        row.why = missing("geoclip") + "; give the packages of an environment that has it: --geoclip-path"
        return row
    points = uniform_on_sphere(n, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as files:
        encoder = load_geoclip(as_safetensors(package, "", Path(files)))
    lat_lon = torch.from_numpy(points).flip(1).float()

    def theirs() -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([package(lat_lon[start : start + 1024]) for start in range(0, n, 1024)])

    halved = copy.deepcopy(encoder).bfloat16()

    def in_bfloat16() -> NDArray[np.float32]:
        return halved.encode(points)

    expected = torch.nn.functional.normalize(theirs(), dim=-1).numpy()
    cosines = {}
    for name, answer in (("float32", encoder.encode(points)), ("bfloat16", in_bfloat16())):
        unit = answer / np.linalg.norm(answer, axis=1, keepdims=True)
        cosines[name] = float((unit * expected).sum(axis=1).min())
    turns = take_turns(
        lambda: encoder.encode(points), {"geoclip": theirs, "bfloat16": in_bfloat16}, blocks=blocks
    )
    half = take_turns(in_bfloat16, {"geoclip": theirs}, blocks=blocks)
    found = {"float32": turns.compare("geoclip"), "bfloat16": half.compare("geoclip")}
    for (name, one), least in zip(found.items(), (FLOAT32, BFLOAT16), strict=True):
        row.figures.append(
            one.figure(f"embeddings, {name}", "geoclip, float32", n=n / 1e3, unit="k places/s")
        )
        row.figures[-1].target = least
        row.figures.append(Figure(f"smallest cosine to geoclip's, {name}", cosines[name]))
    row.verdict = verdict_of(found["float32"].reaches(FLOAT32), found["bfloat16"].reaches(BFLOAT16))
    row.why = sentences(
        "weights are random; phases are float32 in the package and float64 in ours",
        doubts_of(found),
    )
    return row


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=4096, help="places of a turn")
    parser.add_argument("--geoclip-path", help="a site-packages folder that holds geoclip")
    asked = begin(parser)
    finish(harmonics_row(asked.n, asked.blocks), asked.out)
    finish(geoclip_row(asked.n, asked.blocks, asked.geoclip_path), asked.out)


if __name__ == "__main__":
    main()
