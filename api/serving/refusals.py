"""What the service refuses, and why; `problems` says how it is told."""

from ...encoders.errors import PlaceprintError


class UnsupportedBody(PlaceprintError):
    """A body that is declared to be no picture."""


class BodyTooLarge(PlaceprintError):
    """A body over the operator's limit."""


class InvalidQuestion(PlaceprintError):
    """A request that asks for nothing, or whose parameters have no meaning."""


class ForeignHost(PlaceprintError):
    """A request under a host name that is not this machine's."""


class Busy(PlaceprintError):
    """More requests than the service holds at a time."""


class NotReady(PlaceprintError):
    """Store or model do not answer."""


class DeadlinePassed(PlaceprintError):
    """A question that would have taken longer than the operator allows."""


class TooManyRequests(PlaceprintError):
    """More requests in a minute than the operator allows one caller.

    `retry_after_s` is when the next one may come.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SlowBody(PlaceprintError):
    """A body that comes in too slowly."""


class KeyRequired(PlaceprintError):
    """A request without a key, or with one that is not known."""


class KeyTooNarrow(PlaceprintError):
    """A key that does not cover what was asked."""


class NotOffered(PlaceprintError):
    """Something that the operator has not switched on."""


class EncoderNotServed(PlaceprintError):
    """Vectors whose encoder the service has not loaded, so that no photo can be compared with them."""


class UnknownClassifier(PlaceprintError):
    """A region classifier that is not served."""


class UnknownPhoto(PlaceprintError):
    """No photo of that id in the gallery, or no picture of it at hand."""


class NotForPhotos(PlaceprintError):
    """A photo or a text that is to be compared with places of a map, which have nothing in common with it."""


class UnknownJob(PlaceprintError):
    """No job of that id."""


class Conflict(PlaceprintError):
    """Something that cannot be done now, or not twice."""


class UrlRefused(PlaceprintError):
    """An address from which no photo is fetched."""


class TooPrecise(PlaceprintError):
    """A question whose answer would tell more of a place than the operator allows."""


class AuditUnavailable(PlaceprintError):
    """The audit log cannot be written."""
