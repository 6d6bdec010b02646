"""Times survive the way through a message, and nothing else passes for one."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene_worker.messages.times import TimeFormatError, format_time, parse_milliseconds, parse_time


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_as_it_was(time: datetime) -> None:
    """Microseconds are kept over all the years of the calendar."""
    assert parse_time(format_time(time)) == time


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_texts_sort_as_times_do(first: datetime, second: datetime) -> None:
    """Whoever sorts messages by text sorts them by time."""
    assert (format_time(first) < format_time(second)) == (first < second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T12:00:00Z", datetime(2026, 5, 1, 12, tzinfo=UTC)),
        ("2026-05-01t12:00:00.5z", datetime(2026, 5, 1, 12, 0, 0, 500_000, UTC)),
        ("2026-05-01T12:00:00.123456789Z", datetime(2026, 5, 1, 12, 0, 0, 123_456, UTC)),
        ("2026-05-01T12:00:00-07:30", datetime(2026, 5, 1, 19, 30, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_every_form_of_the_standard_is_read(text: str, expected: datetime) -> None:
    """Nanoseconds, offsets, lower case and leap seconds are RFC 3339 too."""
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00.0009Z", 0),
        ("2026-05-01T12:00:00.003999Z", 1_777_636_800_003),
        ("1969-12-31T23:59:59Z", -1000),
    ],
)
def test_milliseconds_are_cut_off_as_those_of_records(text: str, milliseconds: int) -> None:
    """What a record written within this millisecond has as its time stamp."""
    assert parse_milliseconds(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-05-01", "2026-05-01T12:00:00", "2026-13-01T12:00:00Z", "2026-05-01T25:00:00Z", "1777636800",
     "2026-05-01T12:00:00+01:75", "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:60Z", "２０２６-05-01T12:00:00Z"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """A text that is no time of the calendar raises the one error."""
    with pytest.raises(TimeFormatError):
        parse_time(text)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    """Arbitrary text is read or refused, never anything else."""
    with contextlib.suppress(TimeFormatError):
        parse_time(text)


def test_a_time_without_a_zone_is_not_written() -> None:
    """Local time would mean another moment to every reader."""
    with pytest.raises(TimeFormatError, match="zone"):
        format_time(datetime(2026, 5, 1))


def test_other_zones_are_written_in_utc() -> None:
    """The text always ends in Z."""
    time = datetime(2026, 5, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(time) == "2026-04-30T23:00:00.000000Z"
