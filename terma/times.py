"""Times as people write them: how long ago, or a date and a time of day."""

from __future__ import annotations

import re

from backends.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_AGO = re.compile(r"(?:[0-9]{1,7}[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


def read_time(text: str, now: float) -> float:
    """Read a time; returns seconds since the epoch.

    Args:
        text: `90s`, `10m`, `1h30m`, `2d`, `1w` before now; `14:00`, the last time that a clock
            showed it; `2026-11-20`, `2026-11-20 14:00`, or any form of ISO 8601. Without a zone
            it is local time.
        now: Seconds since the epoch.

    Raises:
        UsageError: It is none of these.
    """
    from datetime import datetime

    text = text.strip()
    if _AGO.fullmatch(text):
        return now - sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        if clock := _CLOCK.fullmatch(text):
            return _last([int(part or 0) for part in clock.groups()], now)
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{text!r} is no time",
            "write how long ago, as in 90s, 10m, 1h30m or 2d, or when: '2026-11-20 14:00', 14:00",
        ) from error


def _last(clock: list[int], now: float) -> float:
    from datetime import datetime, timedelta

    today = datetime.fromtimestamp(now)
    hour, minute, second = clock
    at = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
    return (at if at.timestamp() <= now else at - timedelta(days=1)).timestamp()


def read_span(
    since: str | None, until: str | None, now: float
) -> tuple[float | None, float | None]:
    """Read both ends of a span of time; `None` is left open.

    Raises:
        UsageError: One of them is no time, or the span ends before it begins.
    """
    begin = None if since is None else read_time(since, now)
    end = None if until is None else read_time(until, now)
    if begin is not None and end is not None and end < begin:
        raise UsageError(f"--until {until} is before --since {since}", "the earlier one is --since")
    return begin, end


def show_time(at: float) -> str:
    """Return a time as local date and time of day, to the second; `?` where no calendar has it."""
    from datetime import datetime

    try:
        return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "?"
