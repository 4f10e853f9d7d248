"""Read the bounds of periods in any spelling that openEO allows."""

from datetime import UTC, date, datetime
from typing import Any

from openeo_driver.errors import ProcessParameterInvalidException
from openeo_driver.processes import ProcessArgs

__all__ = ["read_period"]


def read_period(args: ProcessArgs, name: str) -> ProcessArgs:
    """Return the arguments with the period `name` in dates or times of UTC.

    openeo-driver reads no other zone and no fraction of a second, with which JavaScript writes times; here whole
    seconds count. Raises openEO's ProcessParameterInvalid (400) for a bound that is neither.
    """
    period = args.get(name)
    if not isinstance(period, list | tuple):
        return args
    bounds = [_read_bound(bound, name, args.process_id) for bound in period]
    return ProcessArgs({**args, name: bounds}, process_id=args.process_id)


def _read_bound(bound: Any, name: str, process: str) -> str | None:
    if bound is None:
        return None
    try:
        text = str(bound).strip()
        if len(text) <= len("2018-02-02"):
            return date.fromisoformat(text).isoformat()
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise ProcessParameterInvalidException(
            parameter=name, process=process,
            reason=f"{bound!r} is neither a date, such as 2018-02-02, nor a time, such as 2018-02-02T10:50:00Z",
        ) from None  # fmt: skip
