"""Define the errors of the project, a class for each kind of failure.

Every message says what was given, what is needed and what to do.
"""

from kappamask.models.hints import Door, render_hints

__all__ = [
    "CardError",
    "ConversionError",
    "CubeError",
    "DeviceError",
    "DownloadError",
    "JobError",
    "KappaMaskError",
    "MissingExtraError",
    "RadiometryError",
    "SceneError",
    "WeightsError",
]


class KappaMaskError(Exception):
    """Any error that this project raises on purpose.

    Its message names options as they are typed at the door in use, see `kappamask.models.hints`.
    """

    def __str__(self) -> str:
        return self.message()

    def message(self, door: Door | None = None) -> str:
        """Return the message as `door` shows it; None is the door in use."""
        return render_hints(str(self.args[0]), door) if self.args else ""


class CardError(KappaMaskError, ValueError):
    """A model card is unknown, unreadable or contradicts itself."""


class WeightsError(KappaMaskError, OSError):
    """A network file is missing, is another than its card says, or unsafe."""


class CubeError(KappaMaskError, ValueError):
    """A cube lacks the dimensions, labels, bands or size that a network needs."""


class DeviceError(KappaMaskError, RuntimeError):
    """The device that was asked for is unknown, or cannot run the network here."""


class RadiometryError(KappaMaskError, ValueError):
    """It is in doubt, or contradicted by the pixels, what a cube's numbers mean."""


class SceneError(KappaMaskError, ValueError):
    """A scene cannot be read, or a mask cannot be written."""


class JobError(KappaMaskError):
    """A remote job could not be planned, submitted, finished or fetched."""


class DownloadError(KappaMaskError):
    """A URL is not allowed, or its file could not be downloaded completely."""


class MissingExtraError(KappaMaskError, ImportError):
    """An optional library is needed that is not installed; the message names the extra."""


class ConversionError(KappaMaskError):
    """A file of weights is another than it was said to be.

    The message names the file and what was expected.
    """
