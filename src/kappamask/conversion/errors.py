"""What can go wrong with a file of weights."""

from kappamask.models import KappaMaskError


class ConversionError(KappaMaskError):
    """A file of weights is not what it was said to be; the message names the file and what was expected."""
