"""Connections that are logged in, as the environment says how; tokens and passwords are never shown or kept."""

import os
from urllib.parse import urlsplit

import openeo
import requests

from kappamask.models import JobError
from kappamask.openeo_process.patience import Patience

__all__ = ["connect", "is_local", "reached"]

METHOD, USER, PASSWORD = "OPENEO_AUTH_METHOD", "KAPPAMASK_USER", "KAPPAMASK_PASSWORD"
"""The first is openEO's own: "client_credentials" (with OPENEO_AUTH_CLIENT_ID, …_SECRET, …_PROVIDER_ID); or "basic"."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_local(url: str) -> bool:
    """Whether a back-end runs on this machine, as `kappamask serve` does."""
    return urlsplit(url if "://" in url else f"https://{url}").hostname in LOOPBACK


def reached(url: str) -> openeo.Connection:
    """`connect`, for a user who waits: JobError in plain words where nothing answers at `url`."""
    try:
        return connect(url)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise JobError(f"Nothing answers at {url}: is the address right, and are you connected?") from error


def connect(url: str, patience: Patience | None = None) -> openeo.Connection:
    """A connection to `url` that is logged in, whose requests end after `patience.request_s` and are not repeated.

    Basic where OPENEO_AUTH_METHOD says so or KAPPAMASK_USER is set and the back-end is on this machine; else OpenID
    Connect as openEO's client does it: a stored refresh token, client credentials, or a code to type in a browser.
    Raises JobError for plain HTTP to another machine, and where user or password are missing.
    """
    if url.startswith("http://") and not is_local(url):
        raise JobError(f"{url} is not encrypted, so a token could be read on the way: give an https:// address.")
    timeout = (patience or Patience()).request_s
    connection = openeo.connect(url, retry=False, default_timeout=timeout, auto_validate=False)
    if os.environ.get(METHOD) != "basic" and not (is_local(url) and os.environ.get(USER)):
        return connection.authenticate_oidc()
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if not user or not password:
        raise JobError(f"{url} wants a user and a password: set {USER} and {PASSWORD}.")
    return connection.authenticate_basic(user, password)
