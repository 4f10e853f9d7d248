"""The Python that UDFs run in: its libraries, and a check of declared dependencies."""

import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import Any

from openeo.udf.run_code import extract_udf_dependencies
from openeo_driver.backend import UdfRuntimes
from packaging.requirements import InvalidRequirement, Requirement

from kappamask.backend.errors import make_api_error

__all__ = ["PythonRuntime", "check_dependencies"]

LIBRARIES = ("numpy", "xarray", "pandas", "scipy", "openeo", "onnxruntime", "rasterio", "pyproj", "shapely", "dask")
"""Libraries that `/udf_runtimes` names where they are installed."""
CODE = "UdfDependencyMissing"
"""Code of the error; the openEO API has none for it."""


class PythonRuntime(UdfRuntimes):  # type: ignore[misc]
    """The one runtime: this very Python."""

    def get_udf_runtimes(self) -> dict[str, Any]:
        """Return what `/udf_runtimes` answers."""
        installed = {d.metadata["Name"].lower(): d.version for d in distributions() if d.metadata["Name"]}
        libraries = {name: {"version": installed[name]} for name in LIBRARIES if name in installed}
        major, minor, micro = map(str, sys.version_info[:3])
        versions = (major, f"{major}.{minor}", f"{major}.{minor}.{micro}")
        return {
            "Python": {
                "title": f"Python {major}.{minor}",
                "description": "The Python that the back-end runs in.",
                "type": "language",
                "default": f"{major}.{minor}",
                "versions": {number: {"libraries": libraries} for number in versions},
            }
        }


def check_dependencies(code: str) -> None:
    """Check that each declared distribution is installed in a version that fits.

    The Copernicus back-end installs what a block declares; this back-end installs nothing. Requirements whose
    environment marker does not hold are left out. Raises UdfDependencyMissing (400) with each distribution's name, the
    version that is needed and the one that is installed.
    """
    problems = [problem for requirement in _parse_requirements(code) if (problem := _find_problem(requirement))]
    if problems:
        needed = " ".join(f"'{requirement}'" for requirement, _ in problems)
        raise make_api_error(
            CODE,
            f"The UDF's script block needs {'; '.join(text for _, text in problems)}. This back-end installs nothing "
            f"for a UDF: stop it, run pip install {needed} in its environment, and start it again.",
        )


def _parse_requirements(code: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in extract_udf_dependencies(code) or []]
    except (InvalidRequirement, ValueError, TypeError) as error:
        raise make_api_error(CODE, f"The UDF's script block (PEP 723) cannot be read: {error}") from error


def _find_problem(requirement: Requirement) -> tuple[Requirement, str] | None:
    """Say what is wrong with a requirement, or None if it is met."""
    if requirement.marker and not requirement.marker.evaluate():
        return None
    wanted = f"{requirement.name} {requirement.specifier}".strip()
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return requirement, f"{wanted}, which is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return None
    return requirement, f"{wanted}, and {installed} is installed"
