"""A gallery goes over to another model, while it is being asked."""

import time
from typing import TYPE_CHECKING

from ...indexer.gallery import Gallery
from ...indexer.switching import exchange, fill, keys_behind, mark_ready
from .models import BackgroundEncoder
from .refusals import Conflict
from .served_gallery import ServedGallery

if TYPE_CHECKING:
    from .service import Service

MAX_ROUNDS = 5
"""So often is filled up what was written meanwhile."""

UNUSED_WITHIN_S = 60.0
"""So long is waited for questions under way before a gallery is let go."""


def change_over(
    service: "Service", served: ServedGallery, following: ServedGallery, *, may_miss: set[str]
) -> None:
    """Serve a gallery by another model from now on; called in the thread of a job.

    New questions go to the new one at once, those under way end on the old one, and no question
    fails. While the folders are exchanged, some hundred milliseconds, questions wait.

    Args:
        service: that serves it.
        served: by the old model.
        following: its twin by the new one, filled.
        may_miss: ids of photos that the new model could not look at.

    Raises:
        Conflict: photos keep coming in that the new model cannot look at.
    """
    for _ in range(MAX_ROUNDS):
        if service.write_from_job(_hand_over, service, served, following, may_miss).result():
            break
        encoder = BackgroundEncoder(following.model, service.worker)
        fill(served.gallery, following.gallery, encoder, leave_out_missing=True)
    else:
        raise Conflict(
            f"photos came into gallery {served.name!r} meanwhile that the new model cannot look at; "
            "their files are not at hand. Switch again, and leave out what is missing"
        )
    end = time.monotonic() + UNUSED_WITHIN_S
    while served.n_users and time.monotonic() < end:
        time.sleep(0.02)
    served.following = None
    with service.paused():
        served.close()
        following.gallery.close()
        old = exchange(served.name, service.settings)
        following.move_to(Gallery.open(served.name, settings=service.settings))
    Gallery(old, service.settings).discard()


def _hand_over(
    service: "Service", served: ServedGallery, following: ServedGallery, may_miss: set[str]
) -> bool:
    """Serve the twin, unless something was written that it does not have; in the thread that writes."""
    entries = served.gallery.state.entries
    behind = keys_behind(served.gallery, following.gallery)
    if any(entries[key].id not in may_miss for key in behind):
        return False
    mark_ready(following.gallery)  # from here on a kill leads forward: what is written goes to the twin
    service.galleries[served.name] = following
    return True
