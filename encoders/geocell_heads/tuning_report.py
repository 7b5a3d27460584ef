"""Whether tuning an encoder paid: the frozen and the tuned one asked about the same photos.

Both answer for the test part, whole groups that trained nothing and chose nothing. Differences are photo
by photo, their intervals by a bootstrap over groups, whose photos share their luck. The answer compared is
the cell center of the best expected score, the density that of the head's cells.

Letters: n test photos, G groups.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..captioning.figures import means
from ..geocell_head import GeocellHead
from ..prototypes import Prototypes, log_density
from ..sphere import great_circle_km
from .figures import RADII_KM, best_expected, geoscore
from .training import Material

_Floats = NDArray[np.float64]
_N_RESAMPLES = 1000


def photo_scores(material: Material, head: GeocellHead, prototypes: Prototypes) -> dict[str, _Floats]:
    """Scores of each test photo, (n,): shares within radii, error in km, GeoScore, bits, NLL in nats.

    Bits are log2 of the density at the truth over that of the prior, NLL is of the cell that holds it.
    """
    test = material.rows(2)
    asked, truth, cell = material.pairs.images[test], material.pairs.lonlat[test], material.cell[test]
    log_p = head.log_probabilities(asked)
    prior = np.broadcast_to(head.log_prior.numpy(), log_p.shape)
    error_km = great_circle_km(best_expected(log_p, material.cells.center_lonlat), truth)
    gain = log_density(prototypes, None, log_p, truth) - log_density(prototypes, None, prior, truth)
    return {f"within_{radius:g}_km": (error_km <= radius).astype(np.float64) for radius in RADII_KM} | {
        "mean_km": error_km,
        "geoscore": geoscore(error_km),
        "bits": gain / np.log(2.0),
        "nll": -log_p[np.arange(len(cell)), cell],
    }


def compared(
    frozen: Mapping[str, _Floats], tuned: Mapping[str, _Floats], groups: NDArray[np.str_]
) -> dict[str, dict[str, float]]:
    """Both means (and the median error), and what tuned minus frozen is, with its 95 % interval.

    Args:
        frozen: as `photo_scores` has them.
        tuned: of the same photos.
        groups: of these photos, (n,).

    Returns:
        For each score ``frozen``, ``tuned``, ``difference``, ``low``, ``high``.
    """
    group = np.unique(groups, return_inverse=True)[1].reshape(-1)
    gains = {name: asdict(one) for name, one in means(_minus(tuned, frozen), group).items()}
    gains["median_km"] = _median_gain(tuned["mean_km"], frozen["mean_km"], group)
    rows = {}
    for name in (*(f"within_{radius:g}_km" for radius in RADII_KM), *_AFTER_RADII):
        sides = (np.median, "mean_km") if name == "median_km" else (np.mean, name)
        before, after = (float(sides[0](side[sides[1]])) for side in (frozen, tuned))
        gain = gains[name]
        rows[name] = {"frozen": before, "tuned": after, "difference": gain["value"]} | {
            bound: gain[bound] for bound in ("low", "high")
        }
    return rows


def verdict(best_epoch: int, differences: Mapping[str, Mapping[str, float]] | None) -> str:
    """What is to be made of it, a sentence or two."""
    if best_epoch == 0 or differences is None:
        return (
            "Tuning did not pay: on the validation groups no epoch was better than the frozen encoder beyond "
            "chance. The head is of the encoder as it is, and the gallery stays as it is."
        )
    asked = {"bits": "{:+.2f} bits", "geoscore": "{:+.0f} points of GeoScore"}
    told = ", ".join(_told(form, differences[name]) for name, form in asked.items())
    is_better = any(differences[name]["low"] > 0.0 for name in asked)
    is_worse = any(differences[name]["high"] < 0.0 for name in asked)
    if is_better and not is_worse:
        return f"Tuning paid: on the test groups the tuned encoder knows places better, {told}."
    if is_worse and not is_better:
        return (
            f"Tuning did not pay: on the test groups the tuned encoder knows places less well, {told}, "
            "though the validation groups liked it better. Keep the frozen one: train without --tune."
        )
    return (
        f"Tuning pays on the validation groups; on the test groups it may be chance, {told}. More photos of "
        "more places would tell."
    )


_AFTER_RADII: tuple[str, ...] = ("median_km", "mean_km", "geoscore", "bits", "nll")


def _told(form: str, row: Mapping[str, float]) -> str:
    number = form.partition(" ")[0]
    return f"{form.format(row['difference'])} [{number.format(row['low'])}, {number.format(row['high'])}]"


def _minus(tuned: Mapping[str, _Floats], frozen: Mapping[str, _Floats]) -> dict[str, _Floats]:
    return {name: tuned[name] - frozen[name] for name in tuned}


def _median_gain(tuned: _Floats, frozen: _Floats, group: NDArray[np.intp]) -> dict[str, Any]:
    """The difference of medians, and its interval: medians have no sums over groups."""
    members = [np.flatnonzero(group == one) for one in range(int(group.max()) + 1)]
    drawn = np.random.default_rng(0).integers(0, len(members), (_N_RESAMPLES, len(members)))
    rows = (np.concatenate([members[one] for one in some]) for some in drawn)
    gains = [float(np.median(tuned[some]) - np.median(frozen[some])) for some in rows]
    low, high = np.percentile(gains, [2.5, 97.5]).tolist()
    return {"value": float(np.median(tuned) - np.median(frozen)), "low": low, "high": high}
