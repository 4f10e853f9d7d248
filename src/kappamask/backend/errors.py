"""Make the openEO errors that processes raise."""

from openeo_driver.errors import OpenEOApiException, ProcessParameterInvalidException

__all__ = ["make_api_error", "make_parameter_error"]


def make_parameter_error(process: str, parameter: str, reason: str) -> OpenEOApiException:
    """Make openEO's ProcessParameterInvalid (400); `reason` is a sentence without its full stop."""
    return ProcessParameterInvalidException(process=process, parameter=parameter, reason=f"{reason}.")


def make_api_error(code: str, message: str, status: int = 400) -> OpenEOApiException:
    """Make an openEO error with a code of the API or of a process's specification."""
    return OpenEOApiException(message, code=code, status_code=status)
