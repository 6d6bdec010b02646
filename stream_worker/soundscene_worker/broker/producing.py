"""Sending with the client library; this file needs no library."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from typing_extensions import override

from soundscene_worker.broker.errors import BrokerError, DeliveryDenied, DeliveryFailed
from soundscene_worker.broker.protocol import Producer
from soundscene_worker.broker.rights import Right, in_words
from soundscene_worker.broker.translation import translate, translated

__all__ = ["KafkaProducer"]

_CLOSE_SECONDS: Final = 5.0
_GIVE_UP_SECONDS: Final = 1.0

_Failure = tuple[str, Exception]
"""The topic, and what the broker or the library said."""


class KafkaProducer(Producer):
    """See `protocol.Producer`.

    The library's idempotent producer may never send again after a failure: when the broker refused a record, and when
    one was given up because the broker was silent. So the next record after a failure gets a new one.

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
        self._failures: list[_Failure] = []  # of the present client; filled on its thread
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
        failures = self._failures
        try:
            with translated(f"sending to topic {topic!r} at {self._servers_text}"):
                future = self._client.send(
                    topic, value=value, key=key, headers=list(headers), timestamp_ms=timestamp_ms, partition=partition
                )
                future.add_errback(lambda error: failures.append((topic, error)))
        except BrokerError as error:
            raise DeliveryDenied(_denied({topic})) if _is_denial(error) else error from error.__cause__

    @override
    def flush(self, timeout_seconds: float) -> None:
        if self._is_spent:  # nothing was sent since
            return
        try:
            with translated("waiting for acknowledgements"):
                self._client.flush(timeout_seconds)
        except BrokerError as late:
            self._failures.append(("", late.__cause__ if isinstance(late.__cause__, Exception) else late))
        if self._failures:
            failures = self._give_up()
            first = failures[0][1]
            if denied := {topic for topic, error in failures if _is_denial(error)}:
                raise DeliveryDenied(_denied(denied)) from first
            reason = translate(first, f"{len(failures)} or more records were not acknowledged")
            raise DeliveryFailed(str(reason)) from first

    @override
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._close_client(_CLOSE_SECONDS)

    def _give_up(self) -> list[_Failure]:
        """Let go of the client; return what failed so far. What closing brings down goes the same way, untold."""
        self._is_spent = True
        failures, self._failures = list(self._failures), []
        self._client._sender.force_close()  # closing alone would wait for what is given up, and leave it running
        self._close_client(_GIVE_UP_SECONDS)
        return failures

    def _close_client(self, timeout_seconds: float) -> None:
        with contextlib.suppress(BrokerError), translated("closing"):
            self._client.close(timeout_seconds)


def _is_denial(error: Exception) -> bool:
    """Tell a missing right, of the library's errors or ours, by the words.

    They hold the name of the library's class, and of a user who may write nowhere nothing else tells.
    """
    return "AuthorizationFailed" in str(error)


def _denied(topics: set[str]) -> str:
    return in_words(Right("WRITE", "TOPIC", topic) for topic in sorted(topics))
