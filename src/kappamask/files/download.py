"""Download a file over HTTPS, with resumption and a check of its length."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from kappamask.models.errors import DownloadError

Show = Callable[[int, int], None]
LARGEST: Final = 2**30
"""Bytes; the largest official file has 124 million."""
TRIES, WAIT_S, BLOCK = 5, 60.0, 2**20
BEYOND: Final = 416
"""HTTP: a range beyond the file's end (RFC 9110), which is asked for if a run ended before it renamed a whole file."""


class _Redirects(HTTPRedirectHandler):
    """Follows no redirect from HTTPS to anything else."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError(f"{req.full_url} redirects to {newurl}, which is not HTTPS.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, target: Path, *, insecure: bool = False, show: Show = lambda *_: None) -> None:
    """Put what is at `url` to `target`; a download that was cut off, now or on another day, goes on where it stopped.

    insecure: allow plain HTTP. show: called with the bytes that are there and that there will be.
    Raises DownloadError for a scheme that is not allowed, an answer that is no file, or a connection that keeps
    breaking; what has arrived is kept beside `target` for the next time.
    """
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (insecure and scheme == "http"):
        raise DownloadError(f"{url} is not HTTPS; whoever wants plain HTTP says so (--insecure).")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, opener, failed = target.with_name(f".{target.name}.part"), build_opener(_Redirects), ""
    for _ in range(TRIES):
        try:
            if _continue_download(opener, url, part, show):
                part.replace(target)
                _tag(part).unlink(missing_ok=True)
                return
            failed = "the connection was cut"
        except HTTPError as error:
            if error.code != BEYOND or not part.exists():
                raise DownloadError(f"{url} cannot be had: {error.code} {error.reason}.") from error
            part.unlink()  # nothing proves that it is whole
            _tag(part).unlink(missing_ok=True)
            failed = "it ends before what is there of it"
        except (URLError, OSError) as error:
            failed = str(getattr(error, "reason", error))
    raise DownloadError(f"{url} cannot be had: {failed}, {TRIES} times; try again, it will go on where it stopped.")


def _continue_download(opener: OpenerDirector, url: str, part: Path, show: Show) -> bool:
    """Fetch what is missing of `part`; False if the connection ended before all was there."""
    have = part.stat().st_size if part.exists() and _tag(part).exists() else 0
    request = Request(url, headers={"Accept-Encoding": "identity"})  # noqa: S310  the scheme has been checked
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", json.loads(_tag(part).read_text()))
    with opener.open(request, timeout=WAIT_S) as answer:
        have = have if answer.status == 206 else 0
        total = have + int(answer.headers.get("Content-Length", -1))
        if not total - have > 0 or total > LARGEST:
            raise DownloadError(f"{url} promises {total - have} bytes; needed is a length up to {LARGEST}.")
        _remember(part, answer.headers)
        with part.open("ab" if have else "wb") as file:
            while block := answer.read(BLOCK):
                have += file.write(block)
                show(have, total)
        return have == total


def _remember(part: Path, headers: Any) -> None:
    """What tells that the file has not changed until the next request; without it nothing is resumed."""
    if mark := headers.get("ETag") or headers.get("Last-Modified"):
        _tag(part).write_text(json.dumps(mark))


def _tag(part: Path) -> Path:
    return part.with_suffix(".tag")
