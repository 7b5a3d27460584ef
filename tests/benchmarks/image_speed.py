"""P1: photos embedded on the CPU, beside open_clip as it comes; and what each trick brings.

    python tests/benchmarks/image_speed.py --out bench [--models ViT-B-32]

Weights are random and the same for all. The peer gets ready tensors in float32 and computes eagerly; ours
gets bytes and answers unit vectors, in float32 and in bfloat16 (`?precision=bf16`). Some figures take the
image tower of the first model through one trick each, beside the same tower eager in float32: they say what
is worth having, and are not part of the verdict. Cosines are to open_clip's float32.
"""

import contextlib
import copy
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_clip
import safetensors.torch
import torch
from row_script import arguments, begin, command, finish, missing, peer_or_none, sentences
from scoreboard_rows import Figure, Row
from turns import Comparison, doubts_of, take_turns, verdict_of

from placeprint.encoders.catalog import load_encoder

GFLOP = {"ViT-B-32": 8.82, "ViT-B-16": 35.13, "ViT-L-14": 162.03}
"""Of one photo, image tower (docs/model_profile.csv of open_clip)."""
BF16, FP32, ROOF, LEAST_COSINE = 1.8, 0.95, 0.65, 0.999
SGEMM = (1024, 768, 3072)
_Embed = Callable[[], torch.Tensor]


def tricks_of(
    tower: torch.nn.Module, photos: torch.Tensor, threads: int
) -> Iterator[tuple[str, _Embed | str]]:
    """Each trick as a function that embeds the photos, or why it is left out."""
    layout = photos.to(memory_format=torch.channels_last)
    turned = copy.deepcopy(tower).to(memory_format=torch.channels_last)
    yield "channels_last", lambda: turned(layout)
    compiled = torch.compile(tower)
    yield "torch.compile, fp32", _tried(lambda: compiled(photos))
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        half, rounded = copy.deepcopy(tower).bfloat16(), photos.bfloat16()

        def autocast() -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return tower(photos)

        yield "autocast to bf16", autocast
        yield "weights in bf16", lambda: half(rounded)
        compiled_half = torch.compile(half)
        yield "weights in bf16, torch.compile", _tried(lambda: compiled_half(rounded))
    else:
        yield "bf16", "this processor has no instructions for it"
    yield from _openvino(tower, photos, threads)
    yield "onnxruntime, fp32", _onnxruntime(tower, photos, threads)


def _tried(embed: _Embed) -> _Embed | str:
    """The function, once it has worked."""
    try:
        with torch.inference_mode():
            embed()
    except Exception as error:  # no compiler, or one that fails, in ways of its own
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
    return embed


def _openvino(
    tower: torch.nn.Module, photos: torch.Tensor, threads: int
) -> Iterator[tuple[str, _Embed | str]]:
    openvino = peer_or_none("openvino")
    if openvino is None:
        yield "OpenVINO", missing("openvino")
        return
    try:
        with torch.inference_mode():
            model = openvino.convert_model(torch.jit.trace(tower, photos, check_trace=False))
    except Exception as error:
        yield "OpenVINO", f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
        return
    for precision in ("f32", "bf16"):
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        run = openvino.compile_model(model, "CPU", options)
        yield f"OpenVINO, {precision}", lambda run=run: torch.from_numpy(run(photos.numpy())[0])


def _onnxruntime(tower: torch.nn.Module, photos: torch.Tensor, threads: int) -> _Embed | str:
    runtime = peer_or_none("onnxruntime")
    if runtime is None or peer_or_none("onnxscript") is None:
        return missing("onnxruntime", "onnxscript")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tower.onnx"
        try:
            torch.onnx.export(tower, (photos,), path, input_names=["photos"], dynamo=True)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: torch.from_numpy(session.run(None, {"photos": photos.numpy()})[0])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters print and warn of."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def trick_figures(
    tower: torch.nn.Module, photos: torch.Tensor, blocks: int, threads: int
) -> tuple[list[Figure], str]:
    """A figure for each trick that works here, and what is left out and why."""
    left_out, works = [], {}
    with quiet():
        for name, trick in tricks_of(tower, photos, threads):
            if isinstance(trick, str):
                left_out.append(f"{name} left out: {trick}")
            else:
                works[name] = trick

    def inferring(embed: _Embed) -> Callable[[], torch.Tensor]:
        @torch.inference_mode()
        def call() -> torch.Tensor:
            return torch.nn.functional.normalize(embed().float(), dim=-1)

        return call

    eager = inferring(lambda: tower(photos))
    calls = {name: inferring(embed) for name, embed in works.items()}
    turns = take_turns(eager, calls, blocks=blocks)
    figures = []
    for name, call in calls.items():
        found = turns.compare("ours", ours=name)  # the trick in our place, the eager tower as the peer
        cosine = float((call() * eager()).sum(dim=-1).min())
        figures.append(
            found.figure(f"trick: {name}, cosine {cosine:.5f}", "eager, fp32", n=len(photos), unit="photos/s")
        )
    return figures, "; ".join(left_out)


class Network:
    """A model with random weights, as open_clip has it and as ours do."""

    def __init__(self, model: str, batch: int) -> None:
        self.model, self.batch = model, batch
        torch.manual_seed(0)
        with quiet():
            self.peer = open_clip.create_model(model).eval()
        name = f"open_clip:{model}"
        has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "weights.safetensors"
            safetensors.torch.save_file(self.peer.state_dict(), weights)
            self.ours = {"fp32": load_encoder(name, weights=weights)}
            if has_bf16:
                self.ours["bf16"] = load_encoder(f"{name}?precision=bf16", weights=weights)
        size = self.ours["fp32"].preprocessing.size
        self.pixels = np.random.default_rng(0).integers(0, 255, (batch, size, size, 3), dtype=np.uint8)
        self.ready = self.ours["fp32"]._standardize(self.pixels).contiguous()

    @torch.inference_mode()
    def eager(self) -> np.ndarray:
        """What open_clip makes of ready tensors."""
        return torch.nn.functional.normalize(self.peer.encode_image(self.ready), dim=-1).numpy()

    def measured(self, blocks: int) -> tuple[list[Figure], list[bool], dict[str, Comparison]]:
        """Figures, which targets are reached, and what they stand on."""
        a, b = torch.randn(SGEMM[0], SGEMM[1]), torch.randn(SGEMM[1], SGEMM[2])
        peers = {"open_clip": self.eager, "sgemm": lambda: a @ b}
        figures, reached, found = [], ["bf16" in self.ours], {}
        for precision, target in (("bf16", BF16), ("fp32", FP32)):
            if (encoder := self.ours.get(precision)) is None:
                continue
            cosine = float((encoder.embed_pixels(self.pixels) * self.eager()).sum(axis=1).min())
            turns = take_turns(
                lambda encoder=encoder: encoder.embed_pixels(self.pixels), peers, blocks=blocks
            )
            one = found[f"{self.model}, {precision}"] = turns.compare("open_clip")
            figures.append(
                one.figure(
                    f"{self.model}, {precision}", "open_clip, eager fp32", n=self.batch, unit="photos/s"
                )
            )
            figures[-1].target = target
            figures.append(Figure(f"smallest cosine, {self.model}, {precision}", cosine))
            reached += [one.reaches(target), cosine >= LEAST_COSINE]
            if precision == "fp32":
                roof = 2.0 * np.prod(SGEMM) / float(np.median(turns.clock_s["sgemm"])) / 1e9
                share = GFLOP[self.model] * self.batch / one.ours_s / roof
                named = f"share of sgemm, {roof:.0f} GFLOP/s, {self.model}, fp32"
                figures.append(Figure(named, 100.0 * share, "%"))
                reached.append(share >= ROOF)
        return figures, reached, found


def main() -> None:
    parser = arguments(__doc__, blocks=10)
    parser.set_defaults(threads=2)
    parser.add_argument("--models", nargs="+", default=list(GFLOP), choices=list(GFLOP))
    parser.add_argument("--batch", type=int, default=8, help="of the smallest model; others get less")
    parser.add_argument("--trick-batch", type=int, default=8)
    parser.add_argument("--trick-blocks", type=int, default=4)
    parser.add_argument("--no-tricks", action="store_true")
    asked = begin(parser)
    figures: list[Figure] = []
    reached: list[bool] = []
    found: dict[str, Comparison] = {}
    left_out = ""
    for number, model in enumerate(asked.models):
        work = GFLOP[model] / min(GFLOP.values())
        network = Network(model, max(1, round(asked.batch / work**0.5)))
        more, reaches, compared = network.measured(max(6, round(asked.blocks / work**0.5)))
        figures += more
        reached += reaches
        found |= compared
        if number == 0 and not asked.no_tricks:
            more, left_out = trick_figures(
                network.peer.visual, network.ready[: asked.trick_batch], asked.trick_blocks, asked.threads
            )
            figures += more
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    finish(
        Row(
            "P1", f"Photos embedded, CPU, {asked.threads} threads, batches of up to {asked.batch}",
            f">= {BF16:g}x with bf16 at a cosine >= {LEAST_COSINE:g}, >= {FP32:g}x in fp32 and "
            f">= {100 * ROOF:g} % of sgemm",
            verdict_of(*reached), command(),
            sentences("" if has_bf16 else "no instructions for bf16 here", left_out, doubts_of(found)),
            figures,
        ),
        asked.out,
    )  # fmt: skip


if __name__ == "__main__":
    main()
