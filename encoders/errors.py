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


class UnsupportedFormat(UnreadableImage):
    """A file in a format that is not taken, or in none at all."""


class TooManyPixels(UnreadableImage):
    """A picture that its header says is larger than what is taken; its pixels were not read."""


class UnknownEncoder(PlaceprintError, KeyError):
    """No encoder of that name in the catalog."""

    def __str__(self) -> str:
        """Show the message as it is: KeyError would put it in quotes."""
        return str(self.args[0])


class InvalidOption(PlaceprintError, ValueError):
    """An option of an encoder that has no meaning, or a name or value it does not know."""


class WeightsUnavailable(PlaceprintError):
    """The encoder's weights are neither on this machine nor to be had from the network."""


class UnwritableFile(PlaceprintError):
    """A file that cannot be written: no folder, no room, no right to it, or it is there already."""


class NoTextTower(PlaceprintError):
    """A text was asked of an encoder that knows pictures only."""


class UnknownWords(PlaceprintError, ValueError):
    """A text in which the demonstration encoder knows no word."""


class FingerprintMismatch(PlaceprintError):
    """The encoder at hand is not the one that made the embeddings in the gallery."""


class UnknownGallery(PlaceprintError, LookupError):
    """No gallery of that name."""


class UnknownVector(PlaceprintError):
    """A gallery has no vectors of the name."""


class InvalidGalleryName(UnknownGallery, ValueError):
    """A word that cannot name a gallery."""


class ReadOnlyGallery(PlaceprintError):
    """Something that would write was asked of a gallery that may not be written."""


class DamagedGallery(PlaceprintError):
    """A gallery whose description cannot be read."""


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


class NotFitted(PlaceprintError):
    """The geolocation of a gallery has not been fitted to its photos yet."""


class DecoderUnavailable(PlaceprintError):
    """The processes that decode photos do not start."""


class InvalidProbe(PlaceprintError, ValueError):
    """Features, labels and folds from which nothing can be measured, or a benchmark that is not there."""


class TooFewPairs(PlaceprintError):
    """Not enough photos of known place, or too few separate places, to train on."""


class AnotherRun(PlaceprintError):
    """The folder holds a run with other settings or other data."""


class DamagedCheckpoint(PlaceprintError):
    """A checkpoint of a run that cannot be read."""


class UnknownColumns(PlaceprintError, ValueError):
    """A table that does not say plainly which of its columns hold the coordinates."""


class MissingLabels(PlaceprintError):
    """The labels of a benchmark's task are not in the folder."""


class InvalidCells(PlaceprintError, ValueError):
    """Geocells that cannot be made of what was given, or a file of them that is damaged or edited."""


class UnknownCountry(PlaceprintError, LookupError):
    """A code that no country has."""


class UnknownProtocol(PlaceprintError, LookupError):
    """No benchmark of that name, or one whose photos nobody can have."""


class WrongPhotoSet(PlaceprintError):
    """Photos that are not those of the benchmark they are given as."""


class NoMapTiles(PlaceprintError):
    """Map tiles that a server does not give, or that its rules do not allow to ask for."""


class UninitializedVocabulary(PlaceprintError):
    """An aggregation of local features whose centers have not been fitted to any photos."""


class NoImagery(PlaceprintError):
    """A picture, or word of pictures, that a provider of imagery does not give."""


class PictureTooLarge(NoImagery):
    """A picture, or another answer of a provider of imagery, of more bytes than were asked for."""


class ImageryRefused(NoImagery):
    """A provider of imagery that lets nobody go on like this: its key, its terms or its quota."""
