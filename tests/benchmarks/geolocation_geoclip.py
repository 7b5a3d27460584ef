"""GeoCLIP (Vivanco Cepeda et al. 2023, arXiv:2309.16020) from scratch, as a row of `geolocation`.

A small network on the frozen image embedding, and a location encoder of Equal Earth coordinates and
random Fourier features at three scales, meet in one space. Letters: n photos, q entries of the queue,
d numbers of the space.
"""

import numpy as np
import torch
from geolocation_trial import Request, Said
from torch import nn
from torch.nn import functional as F

from placeprint.encoders.location import LocationEncoder

HIDDEN = 256  # of its capsules; 1024 on 4.7 million photos
BATCH, QUEUE = 128, 256  # 512 and 4096
GEOCLIP_STEPS = (20, 30, 45, 60)
_LEARNING_RATE = 3e-4


def geoclip_loss(
    image: torch.Tensor, place: torch.Tensor, scale: torch.Tensor, is_same: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of each image among batch and queue: (n, d), (n + q, d), scale, (n, n + q) -> a number.

    Row i belongs to place i. Mended: other entries at the very same place, `is_same`, do not count as
    wrong answers.
    """
    own = torch.eye(len(image), len(place), dtype=torch.bool)
    logits = scale * F.normalize(image, dim=1) @ F.normalize(place, dim=1).T
    return F.cross_entropy(logits.masked_fill(is_same & ~own, -torch.inf), torch.arange(len(image)))


def geoclip(request: Request) -> list[Said]:
    """GeoCLIP from scratch: the training photo's coordinate most like the image. A setting is a step count.

    Mended: the queue begins with training coordinates, not with points around (0, 0).
    """
    known, rng = request.known, np.random.default_rng(request.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        images = nn.Sequential(nn.Linear(known.embedding.shape[1], 768), nn.ReLU(), nn.Linear(768, 512))
    network = {"branches": 3, "hidden": [HIDDEN] * 3}
    places = LocationEncoder.preset("geoclip", network_options=network, seed=request.seed)
    log_scale = nn.Parameter(torch.tensor(1.0 / 0.07).log())
    solver = torch.optim.Adam([*images.parameters(), *places.parameters(), log_scale], lr=_LEARNING_RATE)
    embedding, asked = torch.from_numpy(known.embedding), torch.from_numpy(request.asked)
    lonlat = torch.from_numpy(np.array(known.lonlat))
    queue = lonlat[rng.choice(len(known), QUEUE)]
    answers = {}
    order = np.empty(0, dtype=np.intp)
    for step in range(1, max(request.settings) + 1):
        if len(order) < BATCH:
            order = rng.permutation(len(known))
        rows, order = order[:BATCH], order[BATCH:]
        candidates = torch.cat([lonlat[rows], queue])
        is_same = (lonlat[rows][:, None] == candidates[None]).all(dim=2)
        solver.zero_grad()
        geoclip_loss(images(embedding[rows]), places(candidates), log_scale.exp(), is_same).backward()  # type: ignore[no-untyped-call]
        solver.step()
        queue = torch.cat([queue, lonlat[rows]])[-QUEUE:]
        if step in request.settings:
            with torch.inference_mode():
                gallery = F.normalize(places(lonlat), dim=1)
                logit = (log_scale.exp() * F.normalize(images(asked), dim=1) @ gallery.T).double().numpy()
            answers[step] = Said(known.lonlat[None], logit, known.lonlat[logit.argmax(axis=1)])
    return [answers[step] for step in request.settings]
