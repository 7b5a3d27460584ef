"""The demonstration encoder: a small network of our own, for trying everything with no download.

It was trained on drawn scenes alone (`train_demonstration`), so on photographs its answers mean
next to nothing. An image tower and a text tower end in one space, where the dot product is the
cosine similarity. Normalization is by groups within one picture, so that an embedding never
depends on what else is in the batch.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .errors import UnknownWords, WeightsUnavailable

INPUT_SIZE = 96
"""Height and width of the input, pixels; photos: shortest side resized (bicubic), center crop."""

EMBEDDING_DIM = 64
WEIGHTS = Path(__file__).with_suffix(".safetensors")
_UNSAID = frozenset("a an and at by in of on the under with no".split())


def words_of(text: str) -> list[str]:
    """Split a text into lowercase words, plurals made singular, without articles and the like."""
    return [_singular(word) for word in re.findall(r"[a-z]+", text.lower()) if word not in _UNSAID]


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word if len(word) < 4 or word.endswith(("ss", "us")) or not word.endswith("s") else word[:-1]


class DemonstrationNet(nn.Module):
    """Pictures and bags of words to unit vectors of one space.

    Args:
        vocabulary: the words the text tower knows, singular and lowercase, without repetition.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self._index = {word: row for row, word in enumerate(self.vocabulary)}
        self.image_tower = nn.Sequential(
            nn.Conv2d(3, 32, 6, stride=4, padding=1),  # (B, 32, 24, 24)
            nn.ReLU(),
            _halve(32, 64),  # (B, 64, 12, 12)
            _Residual(64),
            _halve(64, 128),  # (B, 128, 6, 6)
            _Residual(128),
            nn.AvgPool2d(2),  # 3 × 3 places are kept apart: the side of the road matters
            nn.Flatten(),
            nn.Linear(128 * 9, EMBEDDING_DIM),
        )
        self.word_embeddings = nn.Embedding(len(self.vocabulary), 64)
        self.text_tower = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, EMBEDDING_DIM))
        self.logit_scale = nn.Parameter(torch.tensor(2.5))  # natural logarithm of 1 / temperature

    def embed_images(self, pixels: Tensor) -> Tensor:
        """Embed pictures: (B, 3, H, W) float32 in [0, 1], H = W = `INPUT_SIZE` -> (B, D), unit length."""
        return F.normalize(self.image_tower(2 * pixels - 1), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts, the order of their words and words outside the vocabulary left out: -> (B, D), unit.

        Raises:
            UnknownWords: if a text has no known word.
        """
        bags = torch.zeros(len(texts), len(self.vocabulary), device=self.word_embeddings.weight.device)
        for row, text in enumerate(texts):
            bags[row, self._rows(text)] = 1.0
        return self.embed_bags(bags)

    def embed_bags(self, bags: Tensor) -> Tensor:
        """Embed texts given as which words they hold: (B, V) of 0 and 1 -> (B, D), unit length."""
        mean = bags @ self.word_embeddings.weight / bags.sum(1, keepdim=True).clamp(min=1)  # (B, 64)
        return F.normalize(self.text_tower(mean), dim=-1)

    def _rows(self, text: str) -> list[int]:
        rows = [self._index[word] for word in words_of(text) if word in self._index]
        if not rows:
            some = ", ".join(word for word in EXAMPLES if word in self._index)
            raise UnknownWords(
                f"the demonstration encoder knows no word of {text!r}. It knows {len(self.vocabulary)} words,"
                f" such as {some}; for free text index with an open_clip encoder"
            )
        return rows


EXAMPLES = (
    "snow palm desert conifer skyscraper house church mosque temple brick red night rain sign car".split()
)
"""Words that an error message offers."""


class _Residual(nn.Module):
    """Two convolutions that add to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(8, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return F.relu(features + self.body(features))


def _halve(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(8, channels_out), nn.ReLU())


def load(path: Path | None = None) -> DemonstrationNet:
    """Read the shipped network, or another that `train_demonstration` wrote.

    Raises:
        WeightsUnavailable: no such file, or not one of this network.
    """
    path = WEIGHTS if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            net = DemonstrationNet(json.loads(file.metadata()["vocabulary"]))
            # Stored as half precision to stay small; computed in single.
            net.load_state_dict({key: file.get_tensor(key).float() for key in file.keys()})
    except FileNotFoundError:
        raise WeightsUnavailable(f"{path}: no such file") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise WeightsUnavailable(
            f"{path}: not weights of the demonstration encoder ({error}). They are written by"
            " python -m placeprint.encoders.train_demonstration --out FILE"
        ) from None
    return net.eval()
