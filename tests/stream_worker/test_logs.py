"""One line per event, readable by people or machines, and only events that are listed."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene.errors import SettingsError
from soundscene_worker.logs import EVENTS, EventLog, LogFormat, set_up_logging

SOURCES = Path(__file__).resolve().parents[2] / "stream_worker" / "soundscene_worker"


@pytest.fixture(autouse=True)
def _restore_library_logging() -> Iterator[None]:
    logger = logging.getLogger("kafka")
    handlers, propagate = logger.handlers, logger.propagate
    yield
    logger.handlers, logger.propagate = handlers, propagate


class FullDisk(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")


def logged(format: LogFormat, name: str = "gap", **fields: object) -> str:
    stream = io.StringIO()
    EventLog(stream, format=format, level="debug").event(name, **fields)
    return stream.getvalue()


@given(value=st.one_of(st.text(), st.floats(), st.none(), st.builds(ValueError, st.text())))
@pytest.mark.parametrize("format", ["json", "logfmt", "text"])
def test_whatever_a_field_holds_an_event_is_one_line(format: LogFormat, value: object) -> None:
    """Line breaks and terminal control sequences in foreign text cannot forge a second line."""
    line = logged(format, message=value)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_json_has_time_level_event_and_fields() -> None:
    """A machine reads the event's name, its level, its time in UTC and every field."""
    entry = json.loads(logged("json", device="mic-1", seconds=1.5))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", entry.pop("timestamp"))
    assert entry == {"level": "warning", "event": "gap", "device": "mic-1", "seconds": 1.5}


def test_people_read_a_sentence() -> None:
    """On a terminal the line begins with time and event."""
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d WARNING gap: device=mic-1 seconds=1.5\n", logged("text", device="mic-1", seconds=1.5)
    )


def test_what_matters_less_is_left_out() -> None:
    """The level of an event comes from the list; lower ones are not written."""
    stream = io.StringIO()
    log = EventLog(stream, format="logfmt", level="warning")
    log.event("session_opened")
    log.event("gap")
    assert stream.getvalue().count("\n") == 1


def test_an_unlisted_event_is_refused() -> None:
    """A misspelt event is an error where it is written, not a new kind of line."""
    with pytest.raises(SettingsError, match="gapp"):
        logged("json", "gapp")


def test_the_list_of_events_is_what_the_sources_write() -> None:
    """No event is written that is not listed, and none is listed that nobody writes."""
    written = {
        name
        for source in SOURCES.rglob("*.py")
        for name in re.findall(r'log\.event\(\s*"(\w+)"', source.read_text())
        if name != "gap" or source.name != "logs.py"  # an example in a docstring
    }
    assert written == set(EVENTS)


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """A full disk or a closed stream is survived."""
    stream = io.StringIO()
    log = EventLog(stream, format="json")
    stream.close()
    log.event("gap")
    EventLog(FullDisk(), format="json").event("gap")


def test_warnings_of_the_client_library_are_events() -> None:
    """What kafka-python only logs, such as a refused password, reaches the operator."""
    stream = io.StringIO()
    set_up_logging(EventLog(stream, format="json"))
    logging.getLogger("kafka.net").warning("connection to %s failed", "node 1")
    logging.getLogger("kafka.net").info("not this")
    entry = json.loads(stream.getvalue())
    assert (entry["event"], entry["source"]) == ("client_library", "kafka.net")
    assert entry["message"] == "connection to node 1 failed"


def test_a_library_that_repeats_itself_is_quoted_now_and_then() -> None:
    """An outage does not fill the log: of one kind of message, one in ten seconds, with the number left out."""
    stream = io.StringIO()
    seconds = iter([0.0, 1.0, 2.0, 11.0])
    set_up_logging(EventLog(stream, format="json"), now=lambda: next(seconds))
    for attempt in range(4):
        logging.getLogger("kafka.net").warning("attempt %d failed", attempt)
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(entry["message"], entry.get("withheld")) for entry in entries] == [
        ("attempt 0 failed", None),
        ("attempt 3 failed", 2),
    ]
