"""Can a run end? Asked before it begins, so that settings that cannot work cost no hours."""

from ..errors import InvalidOption, TooFewPairs
from .encoder import PlaceEncoder
from .relations import Relations
from .settings import PlaceRun
from .trained_parts import TrainedParts


def check_run(run: PlaceRun, encoder: PlaceEncoder, parts: TrainedParts, relations: Relations) -> None:
    """See that settings fit the photos and the encoder.

    Args:
        run: the settings.
        encoder: as it begins.
        parts: what of it can learn.
        relations: of the training photos.

    Raises:
        InvalidOption: more dimensions than these photos can give, or nothing that could learn.
        TooFewPairs: nothing to learn from.
    """
    n_train, width = relations.n_photos, encoder.aggregator.dimension
    most = min(n_train * run.n_looks - 1, width)
    if run.whiten and run.dimension is not None and run.dimension > most:
        raise InvalidOption(
            f"dimension={run.dimension}: {n_train} training photos, {run.n_looks} looks at each, and an "
            f"aggregation of {width} dimensions leave {most} at most"
        )
    if run.epochs == 0:
        return
    if not parts.learned and not len(parts.blocks):
        raise InvalidOption(
            f"the aggregation {run.aggregation} has nothing to learn: take epochs=0, or train blocks of the "
            "backbone with n_blocks"
        )
    if not len(relations.queries):
        near = run.nearness
        raise TooFewPairs(
            f"none of {n_train} training photos has another between {near.positive_from_m:g} and "
            f"{near.positive_to_m:g} m{near.conditions}: nothing says what one place looks like twice. Are "
            "several visits there? Photos of the very same spot count with positive_from_m=0"
        )
