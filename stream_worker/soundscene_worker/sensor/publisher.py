"""Sending chunks until the broker has them, and writing down what was sent."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TextIO

from soundscene_worker.broker.errors import BrokerUnreachable, DeliveryFailed
from soundscene_worker.broker.protocol import Producer
from soundscene_worker.messages.times import format_time
from soundscene_worker.sensor.chunks import Outgoing

__all__ = ["Publisher"]

_FLUSH_CHUNKS: Final = 256  # 22 MB of one-second chunks at most wait for an acknowledgement
_FLUSH_SECONDS: Final = 1.0
_ACKNOWLEDGE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 1.0


@dataclass(slots=True)
class Publisher:
    """Sends each chunk at least once: what was not acknowledged is sent again, which receivers tell by its numbers.

    Parameters
    ----------
    producer : Producer
        The broker.
    topic : str
        Where to.
    stopping : threading.Event
        Ends waiting for a broker that is away.
    journal : text file or None
        Gets one JSON object per chunk, after the broker has it.
    warn : callable
        Told when the broker is away.
    monotonic : callable
        Seconds of a clock that does not go back.
    counts : Counter of str
        What the broker has: `chunks`, and the faults among all that were due, by name.
    """

    producer: Producer
    topic: str
    stopping: threading.Event
    journal: TextIO | None = None
    warn: Callable[[str], None] = print
    monotonic: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)
    _waiting: list[Outgoing] = field(default_factory=list)
    _sent: int = 0
    _last_flush: float = float("-inf")

    def send(self, chunk: Outgoing) -> None:
        """Send a chunk, or only write down one that was dropped on purpose.

        Raises
        ------
        BrokerError
            Nothing that waiting could cure, such as a missing topic or a chunk that is too large.
        """
        self._waiting.append(chunk)
        try:
            self._send_waiting()
        except BrokerUnreachable as error:
            self._sent = 0
            self._wait(error)
        if len(self._waiting) >= _FLUSH_CHUNKS or self.monotonic() - self._last_flush >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> bool:
        """Return when the broker has everything; False when that was given up because of `stopping`."""
        while True:
            try:
                self._send_waiting()
                self.producer.flush(_ACKNOWLEDGE_SECONDS)
            except (DeliveryFailed, BrokerUnreachable) as error:
                self._sent = 0
                if self.stopping.is_set():
                    return False
                self._wait(error)
            else:
                self._note()
                return True

    def _send_waiting(self) -> None:
        while self._sent < len(self._waiting):
            chunk = self._waiting[self._sent]
            if chunk.is_sent:
                self.producer.send(self.topic, *chunk.record())
            self._sent += 1

    def _wait(self, error: Exception) -> None:
        self.warn(f"{error}; sending {len(self._waiting)} chunks again")
        self.stopping.wait(_RETRY_SECONDS)

    def _note(self) -> None:
        for chunk in self._waiting:
            self.counts["chunks"] += chunk.is_sent
            self.counts.update(chunk.faults)
            if self.journal is not None:
                self.journal.write(json.dumps(_line(chunk)) + "\n")
        if self.journal is not None:
            self.journal.flush()
        self._waiting.clear()
        self._sent = 0
        self._last_flush = self.monotonic()


def _line(chunk: Outgoing) -> dict[str, object]:
    header = chunk.header
    return {
        "device": header.device,
        "session": header.session,
        "sequence": header.sequence,
        "first_sample": header.first_sample,
        "sample_count": header.sample_count,
        "sample_rate_hz": header.sample_rate_hz,
        "capture_time": format_time(header.capture_time),
        "sent": chunk.is_sent,
        "damage": chunk.damage,
        "faults": list(chunk.faults),
    }
