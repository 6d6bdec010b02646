"""Dead letters: what was refused, where it came from and why, without what people said near the microphone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from soundscene.errors import SettingsError
from soundscene_worker.messages.cloud_events import SPEC_VERSION, Headers
from soundscene_worker.messages.times import format_time

__all__ = ["DEAD_LETTER_TYPE", "DeadLetter", "DeadLetterOffice", "DeadLetterPolicy", "RefusedRecord"]

DEAD_LETTER_TYPE: Final = "soundscene.dead.letter.v1"
_MAX_KEY_BYTES: Final = 512
_MAX_HEADER_BYTES: Final = 8_192
_MAX_MESSAGE_CHARACTERS: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999  # of the year 9999: a time stamp is whatever the producer wrote


class RefusedRecord(Protocol):
    """What a dead letter needs to know of a record."""

    @property
    def topic(self) -> str:
        """Where it lies."""

    @property
    def partition(self) -> int:
        """Where it lies."""

    @property
    def offset(self) -> int:
        """Where it lies."""

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since 1970."""

    @property
    def key(self) -> bytes | None:
        """Usually the device."""

    @property
    def value(self) -> bytes | None:
        """The payload."""

    @property
    def headers(self) -> Iterable[tuple[str, bytes]]:
        """All headers, in order."""


@dataclass(frozen=True, slots=True)
class DeadLetterPolicy:
    """How many dead letters are written, and what is in them.

    Parameters
    ----------
    include_payload : bool
        Keep the refused payload: recorded sound, readable by whoever can read the topic.
    burst : int > 0
        Letters that may follow each other at once.
    letters_per_second : float > 0
        Letters in the long run. The others are only counted: a sensor gone wrong cannot fill the topic.

    Raises
    ------
    SettingsError
        A limit is not positive.
    """

    include_payload: bool = False
    burst: int = 100
    letters_per_second: float = 1.0

    def __post_init__(self) -> None:
        """Check every range."""
        if self.burst < 1 or not self.letters_per_second > 0:
            raise SettingsError(
                "burst must be at least 1 and letters_per_second above 0, got "
                f"{self.burst} and {self.letters_per_second:g}"
            )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record for the dead-letter topic, as a producer takes it."""

    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(slots=True)
class DeadLetterOffice:
    """Writes dead letters as far as the policy allows.

    The clock is whatever the caller passes in: it must only never go back.

    Parameters
    ----------
    policy : DeadLetterPolicy
        The rules.
    """

    policy: DeadLetterPolicy
    _tokens: float = field(init=False)
    _filled_seconds: float | None = field(init=False, default=None)
    _withheld: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Begin with the whole burst."""
        self._tokens = float(self.policy.burst)

    def write(self, record: RefusedRecord, reason: str, message: str, now_seconds: float) -> DeadLetter | None:
        """Return the letter about a refused record, or None when there were too many of late.

        Parameters
        ----------
        record : RefusedRecord
            Such as `broker.protocol.Record`.
        reason, message : str
            The `RejectionReason` and what was expected.
        now_seconds : float
            Of any clock that does not go back.
        """
        if not self._take_token(now_seconds):
            self._withheld += 1
            return None
        headers = [*_context(record, reason, message, self._withheld), *_original(record.headers)]
        self._withheld = 0
        key = record.key if len(record.key or b"") <= _MAX_KEY_BYTES else None
        return DeadLetter(key, (record.value or b"") if self.policy.include_payload else b"", headers)

    def _take_token(self, now_seconds: float) -> bool:
        elapsed = max(0.0, now_seconds - (now_seconds if self._filled_seconds is None else self._filled_seconds))
        self._filled_seconds = now_seconds
        self._tokens = min(self.policy.burst, self._tokens + elapsed * self.policy.letters_per_second)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def _context(record: RefusedRecord, reason: str, message: str, withheld: int) -> Headers:
    context = {
        "ce_specversion": SPEC_VERSION,
        "ce_type": DEAD_LETTER_TYPE,
        "ce_source": "/soundscene/worker",
        "ce_id": f"{record.topic}/{record.partition}/{record.offset}",
        "ce_time": format_time(_EPOCH + timedelta(milliseconds=min(max(0, record.timestamp_ms), _LAST_MS))),
        "origin_topic": record.topic,
        "origin_partition": str(record.partition),
        "origin_offset": str(record.offset),
        "origin_timestamp_ms": str(record.timestamp_ms),
        "reason": str(reason),
        "message": message[:_MAX_MESSAGE_CHARACTERS],
        "withheld_before": str(withheld),
    }
    return [(name, text.encode(errors="replace")) for name, text in context.items()]


def _original(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """Keep the record's own headers under names with `original_` before, as far as there is room."""
    kept: Headers = []
    room = _MAX_HEADER_BYTES
    for name, value in headers:
        room -= len(name) + len(value)
        if room >= 0:
            kept.append((f"original_{name}", value))
    return kept
