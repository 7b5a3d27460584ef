"""P6: JPEGs in memory to pixels on one thread, beside Pillow and simplejpeg.

    python tests/benchmarks/jpeg_speed.py --out bench

Ours is `open_photo`: it also reads the EXIF, turns the picture upright and checks its size. Files of about
500 px are taken in random order, anew in each turn. Pixels of all are compared first; ours and Pillow's must
be equal.
"""

import io

import numpy as np
from http_load import photos
from numpy.typing import NDArray
from PIL import Image
from row_script import arguments, begin, command, finish, missing, peer_or_none, sentences
from scoreboard_rows import Figure, Row
from turns import doubts_of, take_turns, verdict_of

from placeprint.encoders.photo import open_photo

PILLOW, SIMPLEJPEG = 1.25, 0.97


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=64, help="files of a turn")
    asked = begin(parser)
    contents, rng = photos(asked.n), np.random.default_rng(0)

    def shuffled() -> list[bytes]:
        return [contents[row] for row in rng.permutation(len(contents))]

    def ours(content: bytes) -> NDArray[np.uint8]:
        return np.asarray(open_photo(content)[0])

    def pillow(content: bytes) -> NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    decoders = {"Pillow": pillow}
    simplejpeg = peer_or_none("simplejpeg")
    if simplejpeg is not None:
        decoders["simplejpeg"] = lambda content: simplejpeg.decode_jpeg(content)
    if not all((ours(content) == pillow(content)).all() for content in contents):
        raise SystemExit("ours and Pillow decode to different pixels")
    calls = {
        name: lambda decode=decode: [decode(content) for content in shuffled()]
        for name, decode in decoders.items()
    }
    turns = take_turns(lambda: [ours(content) for content in shuffled()], calls, blocks=asked.blocks)
    found = {name: turns.compare(name) for name in decoders}
    figures, reached = [], []
    for name, target in (("Pillow", PILLOW), ("simplejpeg", SIMPLEJPEG)):
        if name in found:
            figures.append(found[name].figure("files to pixels", name, n=asked.n, unit="photos/s"))
            figures[-1].target = target
            reached.append(found[name].reaches(target))
    if simplejpeg is not None:
        apart = max(
            int(np.abs(ours(one).astype(int) - simplejpeg.decode_jpeg(one)).max()) for one in contents
        )
        figures.append(Figure("largest difference of a byte from simplejpeg", float(apart)))
    row = Row(
        "P6", "JPEG decoded, one thread", f">= {PILLOW:g}x of Pillow, >= {SIMPLEJPEG:g}x of simplejpeg",
        verdict_of(*reached) if simplejpeg is not None else "not measured", command(),
        sentences(
            missing("simplejpeg") if simplejpeg is None else "",
            "ours decodes with Pillow, whose checks and limits it relies on; all three are libjpeg-turbo",
            doubts_of(found),
        ),
        figures,
    )  # fmt: skip
    finish(row, asked.out)


if __name__ == "__main__":
    main()
