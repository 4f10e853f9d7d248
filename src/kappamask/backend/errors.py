"""Make the openEO errors that processes raise."""

from openeo_driver.errors import OpenEOApiException, ProcessParameterInvalidException

__all__ = ["api_error", "invalid_parameter"]


def invalid_parameter(process: str, parameter: str, reason: str) -> OpenEOApiException:
    """Make openEO's ProcessParameterInvalid (400); `reason` is a sentence without its full stop."""
    return ProcessParameterInvalidException(process=process, parameter=parameter, reason=f"{reason}.")


def api_error(code: str, message: str, status: int = 400) -> OpenEOApiException:
    """Make an openEO error with a code of the API or of a process's specification."""
    return OpenEOApiException(message, code=code, status_code=status)
