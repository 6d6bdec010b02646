"""Sending dead letters, without anybody having to wait for them."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, Protocol

from soundscene_worker.broker.errors import BrokerError, DeliveryFailed, RecordTooLarge
from soundscene_worker.broker.protocol import Producer
from soundscene_worker.logs import EventLog
from soundscene_worker.messages.dead_letter import DeadLetter

__all__ = ["DeadLetterPost"]

_MOST_WAITING: Final = 200
_CLOSE_SECONDS: Final = 5.0


class _Metrics(Protocol):
    def dead_letter(self, outcome: str) -> None:
        """Count a letter; `outcome` is `written` or `failed`."""


class DeadLetterPost:
    """A thread that sends dead letters with a producer of its own.

    A topic that is full, missing or forbidden costs the letters and never a prediction: what cannot be sent is counted.
    The first failure is logged, the next ones are when a letter has got through between them.

    Parameters
    ----------
    producer : Producer
        Used by nobody else; the caller closes it after this.
    topic : str
        Of the dead letters.
    metrics, log
        Where the outcome is told.
    delivery_seconds : float > 0
        How long the broker may take to acknowledge a letter.
    """

    def __init__(
        self, producer: Producer, topic: str, metrics: _Metrics, log: EventLog, delivery_seconds: float
    ) -> None:
        self._producer, self._topic, self._metrics, self._log = producer, topic, metrics, log
        self._delivery_seconds = delivery_seconds
        self._waiting: deque[DeadLetter] = deque()  # the first one is being sent
        self._changed = threading.Condition()  # guards the fields around it
        self._is_failing = self._is_told = self._is_closed = False
        self._thread: threading.Thread | None = None

    def send(self, letter: DeadLetter) -> None:
        """Take a letter; never blocks and never raises."""
        with self._changed:
            is_taken = not self._is_closed and len(self._waiting) < _MOST_WAITING
            if is_taken:
                self._waiting.append(letter)
                self._changed.notify_all()
            if self._thread is None:  # most workers never need it
                self._thread = threading.Thread(target=self._work, name="dead-letters", daemon=True)
                self._thread.start()
        if not is_taken:
            self._metrics.dead_letter("failed")

    def settle(self, timeout_seconds: float) -> None:
        """Wait until no letter is on its way, so that a commit does not leave one behind; not while they fail."""
        with self._changed:
            settled = self._changed.wait_for(lambda: self._is_failing or not self._waiting, timeout_seconds)
            self._is_failing |= not settled  # the next turn need not find out again

    def close(self) -> None:
        """Send what waits, as far as a few seconds allow."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(0.0 if self._is_failing else _CLOSE_SECONDS)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                letter = self._waiting[0]
            failure = self._deliver(letter)
            self._metrics.dead_letter("failed" if failure else "written")
            with self._changed:
                self._is_failing = failure is not None
                is_news, self._is_told = self._is_failing and not self._is_told, self._is_failing
                self._waiting.popleft()
                self._changed.notify_all()
            if is_news:
                self._log.event("dead_letter_failed", topic=self._topic, error=str(failure))

    def _deliver(self, letter: DeadLetter) -> BrokerError | None:
        """Send a letter, without its payload if that is too large: the reason matters more."""
        failure: BrokerError | None = None
        for value in (letter.value, b"") if letter.value else (b"",):
            try:
                self._producer.send(self._topic, letter.key, value, letter.headers)
                self._producer.flush(self._delivery_seconds)
            except (RecordTooLarge, DeliveryFailed) as error:
                failure = error
            except BrokerError as error:
                return error
            else:
                return None
        return failure
