"""The dependency archive brought to a back-end that keeps files for its users."""

from pathlib import Path

import openeo

from kappamask.models import JobError, MissingExtraError

__all__ = ["upload"]

PLAIN = (RuntimeError, ValueError)
"""What openEO's helper raises where a store gives no credentials, or its name tells no region."""
OTHERWISE = "put the archive where the back-end can read it, and give its URL with --archive"


def upload(connection: openeo.Connection, archive: Path) -> str:
    """Upload `archive` to the back-end's store of artifacts (openEO's client, extra `artifacts`); a signed URL of it.

    Raises JobError if the back-end offers no such store or refuses the file, MissingExtraError without boto3.
    """
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from openeo.extra.artifacts import build_artifact_helper
        from openeo.extra.artifacts.exceptions import ArtifactsException
    except ImportError as error:
        raise MissingExtraError(f"Uploading needs {error.name}: pip install 'openeo[artifacts]'.") from error
    try:
        helper = build_artifact_helper(connection)
        return str(helper.get_presigned_url(helper.upload_file(archive)))
    except (ArtifactsException, Boto3Error, BotoCoreError, ClientError, *PLAIN) as error:
        raise JobError(
            f"{connection.root_url} does not take {archive.name} ({type(error).__name__}: {error}): {OTHERWISE}."
        ) from error
