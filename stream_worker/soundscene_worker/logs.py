"""One structured line per event, from a closed list of events."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TextIO, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from soundscene.errors import SettingsError

__all__ = ["EVENTS", "EventLog", "LogFormat", "LogLevel", "set_up_logging"]

LogFormat = Literal["auto", "json", "logfmt", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

_QUIET_SECONDS: Final = 10.0

EVENTS: Final[Mapping[str, LogLevel]] = {
    "worker_starting": "info",  # settings, with secrets hidden
    "bundle_loaded": "info",  # what the worker knows
    "bundle_changed": "info",  # while it ran
    "bundle_refused": "error",  # the old one goes on
    "http_listening": "info",
    "access_missing": "warning",  # the broker denies rights; the worker waits for them
    "worker_started": "info",
    "worker_stopping": "info",
    "worker_stopped": "info",
    "worker_failed": "error",
    "partition_assigned": "info",
    "partition_revoked": "info",
    "session_opened": "info",
    "session_closed": "info",
    "gap": "warning",
    "chunk_rejected": "warning",
    "dead_letter_failed": "warning",  # the first one after a success
    "commit_refused": "warning",
    "delivery_failed": "error",
    "broker_unreachable": "warning",
    "client_library": "warning",  # what kafka-python says
}
"""Every event and how much it matters."""


class EventLog:
    r"""Writes events. A log that cannot be written, on a full disk for example, stops nothing.

    Examples
    --------
    >>> import io
    >>> lines = io.StringIO()
    >>> log = EventLog(lines, format="logfmt", clock=None)
    >>> log.event("gap", device="mic-1", cause="missing", seconds=1.5)
    >>> lines.getvalue()
    'level=warning event=gap device=mic-1 cause=missing seconds=1.5\n'

    Parameters
    ----------
    stream : writable text file
        Standard error by default: standard output is for results.
    format : str
        `text` for people, `json` or `logfmt` for machines; `auto` is `text` on a terminal and `json` elsewhere.
    level : str
        Events that matter less are left out.
    clock : str or None
        `utc` writes the time of each event.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        format: LogFormat = "auto",
        level: LogLevel = "info",
        clock: Literal["utc"] | None = "utc",
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._lowest = _rank(level)
        times: list[Processor] = [structlog.processors.TimeStamper(fmt="iso", utc=True)] if clock else []
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[*times, structlog.processors.format_exc_info, _head_first, _renderer(format, stream)],
            wrapper_class=structlog.BoundLogger,
        )

    def event(self, name: str, /, **fields: object) -> None:
        """Write one line.

        Raises
        ------
        SettingsError
            The event is not in the list.
        """
        if name not in EVENTS:
            raise SettingsError(f"no event {name!r}: add it to EVENTS in {__name__}")
        level = EVENTS[name]
        if _rank(level) >= self._lowest:
            with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
                self._logger.msg(name, level=level, **fields)


class _LibraryHandler(logging.Handler):
    """Turns what a library logs into events; what it repeats during an outage, only now and then."""

    def __init__(self, log: EventLog, now: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._now = now
        self._written: dict[tuple[str, str], float] = {}  # by kind of message; a library has a limited number of them
        self._withheld: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, unless one of its kind was written just before."""
        kind = (record.name, str(record.msg))
        now = self._now()
        if now - self._written.get(kind, float("-inf")) < _QUIET_SECONDS:
            self._withheld[kind] += 1
            return
        self._written[kind] = now
        withheld = self._withheld.pop(kind, 0)
        repeated = {"withheld": withheld} if withheld else {}
        self._log.event("client_library", source=record.name, message=record.getMessage(), **repeated)


def set_up_logging(log: EventLog, now: Callable[[], float] = time.monotonic) -> None:
    """Let the Kafka client's warnings appear as events: it reports the causes of most failures there only."""
    logger = logging.getLogger("kafka")
    logger.handlers = [_LibraryHandler(log, now)]
    logger.propagate = False


def _rank(level: LogLevel) -> int:
    return get_args(LogLevel).index(level)


def _renderer(format: LogFormat, stream: TextIO) -> Processor:
    if format == "auto":
        format = "text" if stream.isatty() else "json"
    if format == "json":
        return structlog.processors.JSONRenderer(default=str)
    if format == "logfmt":
        return _as_logfmt
    return _as_text


def _head_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put what every line has before what only this one has."""
    head = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return head | dict(event)


def _as_text(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return a line for people: time, event, fields; the level only when it matters."""
    fields: dict[str, Any] = dict(event)
    at = str(fields.pop("timestamp", ""))[11:19]
    level, name = fields.pop("level"), fields.pop("event")
    mark = "" if level in {"debug", "info"} else f"{level.upper()} "
    details = " ".join(f"{key}={_short(value)}" for key, value in fields.items())
    return f"{at} {mark}{name.replace('_', ' ')}{': ' if details else ''}{details}".lstrip()


def _as_logfmt(logger: WrappedLogger, method: str, event: EventDict) -> str:
    printable = {key: _printable(value) for key, value in event.items()}
    return structlog.processors.LogfmtRenderer()(logger, method, printable)


def _printable(value: object) -> object:
    """Return the value, or its text with escapes in place of what would break the line or steer a terminal."""
    text = str(value)
    return value if text.isprintable() else text.encode("unicode_escape").decode()


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)
