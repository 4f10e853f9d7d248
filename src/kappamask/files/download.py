"""Download files whole, going on where an earlier download ended."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from kappamask.files.urls import redact
from kappamask.models.errors import DownloadError

__all__ = ["Answer", "CutError", "Show", "append_rest", "download", "hash_file", "make_part_path", "remove_part"]

Show = Callable[[int, int], None]
"""Called with the bytes that are there and that there will be; 0 where that is not known."""
LARGEST: Final = 2**30
"""Bytes; the largest official file has 124 million."""
TRIES, WAIT_S, BLOCK = 5, 60.0, 2**20
OK, PARTIAL, BEYOND = 200, 206, 416
"""HTTP: the whole file, a range of it, a range beyond its end (RFC 9110)."""
WEAK: Final = "W/"
"""Begins an ETag that two versions of a file may share, so that it resumes nothing."""


class CutError(DownloadError):
    """What arrived is not the whole file; another request may bring the rest."""


@dataclass(frozen=True)
class Answer:
    """A server's answer to a request for a file, or for a range of it."""

    status: int
    """Of HTTP."""
    headers: Any
    """A mapping whose `get` ignores the case of names."""
    pieces: Iterable[bytes]
    """The content, not read yet."""


Send = Callable[[dict[str, str]], AbstractContextManager[Answer]]
"""Requests the file with these headers."""


def append_rest(
    send: Send, part: Path, *, unmarked: bool = False, largest: int | None = None, show: Show = lambda *_: None
) -> None:
    """Request what is missing of the file `part`, and append it.

    A file that has changed since is fetched from its start, where the server marks it with a strong ETag or a date.
    unmarked: continue a part without a stored mark, because its content cannot have changed. largest: bytes that the
    file may have; it must then say how many it has.
    Raises CutError if less came than was promised, or another range than was asked for, and DownloadError for an answer
    that is no file; what `send` raises, and OSError, pass. What has arrived stays.
    """
    have = part.stat().st_size if part.exists() and (unmarked or _mark_path(part).exists()) else 0
    with send(_range_headers(part, have)) as answer:
        have = _first_byte(answer, part, have)
        total = _total_bytes(answer, have)
        if largest is not None and not have < total <= largest:
            raise DownloadError(f"the answer promises {max(0, total - have)} bytes; needed is a length up to {largest}")
        with part.open("ab" if have else "wb") as file:
            if not have:
                _store_mark(part, answer)
            for piece in answer.pieces:
                have += file.write(piece)
                show(have, total)
    if have < total:
        raise CutError("the connection was cut")


def _range_headers(part: Path, have: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}  # ranges of compressed content mean nothing here
    if have:
        headers["Range"] = f"bytes={have}-"
        if _mark_path(part).exists():
            headers["If-Range"] = json.loads(_mark_path(part).read_text())
    return headers


def _first_byte(answer: Answer, part: Path, have: int) -> int:
    """Return where the answer's content begins in the file."""
    if answer.status == OK:
        return 0
    if answer.status not in (PARTIAL, BEYOND) or not have:
        raise DownloadError(f"the answer is HTTP {answer.status}")
    if answer.status == BEYOND:  # nothing proves that the part is whole
        remove_part(part)
        raise CutError("the server's file is shorter than the part that is here")
    if not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
        remove_part(part)
        raise CutError("the answer is another range than was asked for")
    return have


def _total_bytes(answer: Answer, have: int) -> int:
    """Return the bytes of the whole file; 0 where the answer does not tell."""
    length = answer.headers.get("Content-Length")
    return have + int(length) if length and not answer.headers.get("Content-Encoding") else 0


def _store_mark(part: Path, answer: Answer) -> None:
    tag = str(answer.headers.get("ETag") or "")
    if mark := tag if tag and not tag.startswith(WEAK) else answer.headers.get("Last-Modified"):
        _mark_path(part).write_text(json.dumps(mark))
    else:
        _mark_path(part).unlink(missing_ok=True)


def make_part_path(target: Path, key: str = "") -> Path:
    """Return the path of what is half fetched of `target`; a key keeps downloads apart."""
    return target.with_name(f".{target.name}.{key}.part" if key else f".{target.name}.part")


def remove_part(part: Path) -> None:
    """Remove a partial file and its mark, or the mark of a renamed one."""
    part.unlink(missing_ok=True)
    _mark_path(part).unlink(missing_ok=True)


def _mark_path(part: Path) -> Path:
    return part.with_suffix(".tag")


def hash_file(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def download(url: str, target: Path, *, insecure: bool = False, show: Show = lambda *_: None) -> None:
    """Download `url` to `target`, resuming an interrupted download.

    It is resumed in this process or a later one.
    insecure: allow plain HTTP. show: called with the bytes that are there and that there will be.
    Raises DownloadError for a scheme that is not allowed, an answer that is no file, or a connection that keeps
    breaking; what has arrived is kept next to `target` for the next time.
    """
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (insecure and scheme == "http"):
        raise DownloadError(f"{redact(url)} is not HTTPS; for plain HTTP use --insecure.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, send, failed = make_part_path(target), partial(_open_url, build_opener(_Redirects), url), ""
    for _ in range(TRIES):
        try:
            append_rest(send, part, largest=LARGEST, show=show)
        except CutError as error:
            failed = str(error)
        except DownloadError as error:
            raise DownloadError(f"{redact(url)} cannot be fetched: {error}.") from error
        except (URLError, OSError) as error:
            failed = str(getattr(error, "reason", error))
        else:
            part.replace(target)
            remove_part(part)
            return
    raise DownloadError(
        f"{redact(url)} cannot be fetched after {TRIES} tries: {failed}. Run it again to go on where it stopped."
    )


class _Redirects(HTTPRedirectHandler):
    """Follows no redirect from HTTPS to anything else."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError(f"it redirects to {redact(newurl)}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _open_url(opener: OpenerDirector, url: str, headers: dict[str, str]) -> Iterator[Answer]:
    request = Request(url, headers=headers)  # noqa: S310  the scheme has been checked
    try:
        opened: Any = opener.open(request, timeout=WAIT_S)
    except HTTPError as error:
        if error.code != BEYOND:
            raise DownloadError(f"{error.code} {error.reason}") from error
        opened = error
    with opened as answer:
        yield Answer(answer.status, answer.headers, iter(partial(answer.read, BLOCK), b""))
