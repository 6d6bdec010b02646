"""Sending with the client library; this file needs no library."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import override

from soundscene_worker.broker.errors import AccessDenied, BrokerError, BrokerUnreachable, DeliveryDenied, DeliveryFailed
from soundscene_worker.broker.protocol import Producer
from soundscene_worker.broker.rights import Right, in_words
from soundscene_worker.broker.translation import meaning, translate, translated

__all__ = ["KafkaProducer"]


class KafkaProducer(Producer):
    """See `protocol.Producer`.

    The library's idempotent producer never sends again after a failure that waiting does not cure, such as one record
    that the broker refused. So the next record after such a failure gets a new one.

    Parameters
    ----------
    connect : callable
        Makes a producer of the library; raises BrokerUnreachable.
    servers_text : str
        The servers as a message names them.
    """

    def __init__(self, connect: Callable[[], Any], servers_text: str) -> None:
        self._connect = connect
        self._client = connect()
        self._is_spent = False
        self._servers_text = servers_text
        self._lock = threading.Lock()
        self._failures: list[Exception] = []  # this and the next are filled on the library's thread
        self._denied_topics: set[str] = set()
        self._closed = False

    @override
    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
        *,
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        if self._is_spent:
            self._client = self._connect()
            self._is_spent = False
        try:
            with translated(f"sending to topic {topic!r} at {self._servers_text}"):
                future = self._client.send(
                    topic, value=value, key=key, headers=list(headers), timestamp_ms=timestamp_ms, partition=partition
                )
                future.add_errback(functools.partial(self._failed, topic))
        except BrokerError as error:
            raise DeliveryDenied(_denied({topic})) if _is_denial(error) else error from error.__cause__

    @override
    def flush(self, timeout_seconds: float) -> None:
        if self._is_spent:  # nothing was sent since
            return
        late = None
        try:
            with translated("waiting for acknowledgements"):
                self._client.flush(timeout_seconds)
        except BrokerError as error:
            late = error.__cause__
        with self._lock:
            failures, self._failures = self._failures, []
            denied, self._denied_topics = self._denied_topics, set()
        if isinstance(late, Exception):
            failures.append(late)
        if failures:
            if any(meaning(type(failure)) is not BrokerUnreachable for failure in failures):
                self._give_up()
            if denied:
                raise DeliveryDenied(_denied(denied)) from failures[0]
            reason = translate(failures[0], f"{len(failures)} or more records were not acknowledged")
            raise DeliveryFailed(str(reason)) from failures[0]

    @override
    def close(self, timeout_seconds: float = 5.0) -> None:
        if not self._closed:
            self._closed = True
            self._close_client(timeout_seconds)

    def _give_up(self) -> None:
        self._is_spent = True
        self._close_client(0.0)
        with self._lock:  # what closing brought down belongs to the failure that is told now
            self._failures.clear()
            self._denied_topics.clear()

    def _close_client(self, timeout_seconds: float) -> None:
        with contextlib.suppress(BrokerError), translated("closing"):
            self._client.close(timeout_seconds)

    def _failed(self, topic: str, error: Exception) -> None:
        with self._lock:
            self._failures.append(error)
            if _is_denial(error):
                self._denied_topics.add(topic)


def _is_denial(error: Exception) -> bool:
    """Tell a missing right; of a user who may write nowhere the library says so in words only."""
    return meaning(type(error)) is AccessDenied or "AuthorizationFailed" in str(error)


def _denied(topics: set[str]) -> str:
    return in_words(Right("WRITE", "TOPIC", topic) for topic in sorted(topics))
