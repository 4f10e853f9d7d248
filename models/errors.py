"""What can go wrong, one class for each thing that a caller may want to catch.

Every message says what was given, what is needed and what to do.
"""

__all__ = [
    "CardError",
    "ConversionError",
    "CubeError",
    "DownloadError",
    "JobError",
    "KappaMaskError",
    "MissingExtraError",
    "RadiometryError",
    "SceneError",
    "WeightsError",
]


class KappaMaskError(Exception):
    """Any error that this project raises on purpose."""


class CardError(KappaMaskError, ValueError):
    """A model card is unknown, unreadable or contradicts itself."""


class WeightsError(KappaMaskError, OSError):
    """A network file is missing, is not what its card says, or is not safe to load."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class CubeError(KappaMaskError, ValueError):
    """A cube lacks the dimensions, labels, bands or size that a network needs."""


class RadiometryError(KappaMaskError, ValueError):
    """It is in doubt, or contradicted by the pixels, what a cube's numbers mean."""


class SceneError(KappaMaskError, ValueError):
    """A file or folder cannot be read as a scene, or a mask cannot be written."""


class JobError(KappaMaskError):
    """A remote job could not be planned, submitted, finished or fetched."""


class DownloadError(KappaMaskError):
    """A URL is not allowed, or its file could not be downloaded completely."""


class MissingExtraError(KappaMaskError, ImportError):
    """An optional library is needed that is not installed; the message names the extra."""


class ConversionError(KappaMaskError):
    """A file of weights is not what it was said to be; the message names the file and what was expected."""
