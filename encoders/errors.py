"""The errors that users of Placeprint meet. Each message names the thing and the remedy.

Everything derives from `PlaceprintError`, so that a caller (the command line, the service) can
show the message and nothing else; whatever is not derived from it is a bug of ours.
"""


class PlaceprintError(Exception):
    """Something the user can understand and mend; the message says how."""


class InvalidCoordinate(PlaceprintError, ValueError):
    """A longitude, latitude, radius, box or polygon that lies nowhere on Earth."""


class UnreadableImage(PlaceprintError):
    """A file or array that cannot be decoded into a picture."""


class UnknownEncoder(PlaceprintError, KeyError):
    """No encoder of that name in the catalog."""

    def __str__(self) -> str:
        """Show the message as it is: KeyError would put it in quotes."""
        return str(self.args[0])


class WeightsUnavailable(PlaceprintError):
    """The encoder's weights are neither on this machine nor to be had from the network."""


class NoTextTower(PlaceprintError):
    """A text was asked of an encoder that knows pictures only."""


class FingerprintMismatch(PlaceprintError):
    """The encoder at hand is not the one that made the embeddings in the gallery."""


class UnknownGallery(PlaceprintError, LookupError):
    """No gallery of that name."""


class GalleryLocked(PlaceprintError):
    """Another process holds the gallery."""


class DamagedLedger(PlaceprintError):
    """A shard of the ledger cannot be read."""


class UnreadableSource(PlaceprintError):
    """A folder, table or archive of photos that cannot be listed."""


class InvalidFilter(PlaceprintError, ValueError):
    """A condition on photos that has no meaning."""


class NothingToLocateWith(PlaceprintError):
    """The gallery holds no photo with a place."""


class DecoderUnavailable(PlaceprintError):
    """The processes that decode photos do not start."""
