"""P22: what importing takes, and the time until an encoder is ready, beside torch and open_clip.

    python tests/benchmarks/start.py --out bench

Every turn is a process of its own. Importing: `import placeprint` beside `import torch, open_clip`. Ready:
the same ViT-B-32 with the same weights from one file, made by `load_encoder` (which also takes a fingerprint
of them) and by open_clip, until a first photo is embedded.
"""

import contextlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import open_clip
import safetensors.torch
import torch
from row_script import arguments, begin, command, finish, sentences
from scoreboard_rows import Row
from turns import doubts_of, take_turns, verdict_of

IMPORT, READY = 10.0, 1.0 / 1.2
OURS = """
import numpy as np
from placeprint.encoders.catalog import load_encoder
encoder = load_encoder("open_clip:ViT-B-32", weights={path!r})
encoder.embed_pixels(np.zeros((1, 224, 224, 3), np.uint8))
"""
THEIRS = """
import open_clip, torch
model = open_clip.create_model("ViT-B-32", pretrained={path!r}).eval()
with torch.inference_mode():
    model.encode_image(torch.zeros(1, 3, 224, 224))
"""


def process(source: str) -> Callable[[], None]:
    """Run a program in a process of its own, and wait for its end."""

    def call() -> None:
        subprocess.run(
            [sys.executable, "-c", source], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    return call


def main() -> None:
    parser = arguments(__doc__, blocks=4)
    parser.add_argument("--ready-blocks", type=int, default=2)
    parser.set_defaults(threads=2)
    asked = begin(parser)
    turns = take_turns(
        process("import placeprint"), {"import": process("import torch, open_clip")}, blocks=asked.blocks
    )
    found = {"import": turns.compare("import")}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "weights.safetensors")
        torch.manual_seed(0)
        with contextlib.redirect_stderr(io.StringIO()):
            safetensors.torch.save_file(open_clip.create_model("ViT-B-32").state_dict(), path)
        turns = take_turns(
            process(OURS.format(path=path)), {"ready": process(THEIRS.format(path=path))},
            blocks=asked.ready_blocks,
        )  # fmt: skip
        found["ready"] = turns.compare("ready")
    figures = [
        found["import"].time_figure("import", "torch, open_clip"),
        found["ready"].time_figure("until a photo is embedded", "open_clip", unit="s"),
    ]
    figures[0].target, figures[1].target = IMPORT, READY
    row = Row(
        "P22", "Import, and until ready", "import in <= 0.1 of the time, ready in <= 1.2 of the time",
        verdict_of(found["import"].reaches(IMPORT), found["ready"].reaches(READY)), command(),
        sentences("`import placeprint` loads no torch; whoever embeds does", doubts_of(found)), figures,
    )  # fmt: skip
    finish(row, asked.out)


if __name__ == "__main__":
    main()
