"""RFC 3339 times of messages: microseconds and UTC inside, any offset and precision accepted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from soundscene.errors import SceneError

__all__ = ["TimeFormatError", "format_time", "parse_milliseconds", "parse_time"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_RFC_3339 = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt](?P<minute>\d\d:\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,18}))?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>\d\d))",
    re.ASCII,
)


class TimeFormatError(SceneError, ValueError):
    """A text is not an RFC 3339 time."""


def format_time(time: datetime) -> str:
    """Write a time in UTC with six decimals, so that texts of times sort as the times do.

    Raises
    ------
    TimeFormatError
        The time has no zone.

    Examples
    --------
    >>> format_time(datetime(2026, 5, 1, 12, 0, 0, 250_000, UTC))
    '2026-05-01T12:00:00.250000Z'
    """
    if time.tzinfo is None:
        raise TimeFormatError(f"expected a time with a zone, got {time!r}: give it one, such as datetime.UTC")
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read a time; digits beyond the microsecond are cut off, and a leap second counts as the second after it.

    Raises
    ------
    TimeFormatError
        The text is no RFC 3339 time, or it lies outside the years 1 to 9999.

    Examples
    --------
    >>> parse_time("2026-05-01T14:00:00.123456789+02:00")
    datetime.datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=datetime.timezone.utc)
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise TimeFormatError(f"expected an RFC 3339 time such as 2026-05-01T12:00:00.25Z, got {text[:40]!r}")
    try:
        return _to_utc(match)
    except (ValueError, OverflowError) as error:
        raise TimeFormatError(f"{text[:40]!r} is no time of the calendar: {error}") from None


def parse_milliseconds(text: str) -> int:
    """Read a time as milliseconds since 1970, cut off as the time stamps of records are.

    Raises
    ------
    TimeFormatError
        As `parse_time`.

    Examples
    --------
    >>> parse_milliseconds("1970-01-01T00:00:01.2349Z")
    1234
    """
    return (parse_time(text) - _EPOCH) // timedelta(milliseconds=1)


def _to_utc(match: re.Match[str]) -> datetime:
    is_leap = match["second"] == "60"
    second = "59" if is_leap else match["second"]
    microsecond = int((match["fraction"] or "").ljust(6, "0")[:6])
    zone = UTC
    if match["sign"]:
        if int(match["minutes"]) > 59:
            raise ValueError("an offset has at most 59 minutes")
        offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
        zone = timezone(-offset if match["sign"] == "-" else offset)
    local = datetime.strptime(f"{match['date']} {match['minute']}:{second}", "%Y-%m-%d %H:%M:%S")
    local = local.replace(microsecond=microsecond, tzinfo=zone) + timedelta(seconds=is_leap)
    return local.astimezone(UTC)
