"""Compare the dependencies in a UDF's PEP 723 block with what is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from openeo.udf.run_code import extract_udf_dependencies
from packaging.requirements import InvalidRequirement, Requirement

from kappamask.backend.errors import api_error

__all__ = ["check_dependencies"]

CODE = "UdfDependencyMissing"
"""Code of the error; the openEO API has none for it."""


def check_dependencies(code: str) -> None:
    """Check that each declared distribution is installed in a version that fits.

    The Copernicus back-end installs what a block declares; this back-end installs nothing. Requirements whose
    environment marker does not hold are left out. Raises UdfDependencyMissing (400) with each distribution's name, the
    version that is needed and the one that is installed.
    """
    problems = [problem for requirement in _parse_requirements(code) if (problem := _find_problem(requirement))]
    if problems:
        needed = " ".join(f"'{requirement}'" for requirement, _ in problems)
        raise api_error(
            CODE,
            f"The UDF's script block needs {'; '.join(text for _, text in problems)}. This back-end installs nothing "
            f"for a UDF: stop it, run pip install {needed} in its environment, and start it again.",
        )


def _parse_requirements(code: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in extract_udf_dependencies(code) or []]
    except (InvalidRequirement, ValueError, TypeError) as error:
        raise api_error(CODE, f"The UDF's script block (PEP 723) cannot be read: {error}") from error


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
