"""P2, P5 and P11, which ask for a GPU: why they are not measured.

python tests/benchmarks/gpu_rows.py --out bench
"""

import torch
from row_script import arguments, begin, command, finish, sentences
from row_titles import TITLES
from scoreboard_rows import Row

TARGETS = {
    "P2": ">= 1.05x of open_clip with AMP, >= 0.98x compiled, half of the device's peak",
    "P5": ">= 3x of clip-retrieval, >= 0.85 of the slower of decoding and encoding",
    "P11": ">= 0.9x of faiss-gpu Flat, >= 70 % of the device's bandwidth",
}
WHY = {
    "P2": "image encoders compute on a GPU (`--device cuda`), of which nothing was measured",
    "P5": "image encoders compute on a GPU (`--device cuda`), of which nothing was measured",
    "P11": "galleries are searched on the CPU; there is no search on a GPU",
}


def main() -> None:
    asked = begin(arguments(__doc__))
    device = "" if torch.cuda.is_available() else "no CUDA device here"
    for row, target in TARGETS.items():
        finish(
            Row(row, TITLES[row], target, "not measured", command(), sentences(WHY[row], device)), asked.out
        )


if __name__ == "__main__":
    main()
