"""The rights each program needs on a cluster that asks for them: no more than these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

__all__ = ["Right", "in_words", "of_auditor", "of_replay", "of_sensor", "of_worker"]


class Right(NamedTuple):
    """Leave to do something, as Kafka's access control lists name it.

    READ and WRITE include DESCRIBE. An idempotent producer needs no right of its own since Kafka 2.8.
    """

    operation: Literal["READ", "WRITE"]
    resource: Literal["TOPIC", "GROUP"]
    name: str

    def __str__(self) -> str:
        """Return `READ on topic audio.chunks`."""
        return f"{self.operation} on {self.resource.lower()} {self.name}"


def of_worker(chunks_topic: str, predictions_topic: str, dead_letters_topic: str, group_id: str) -> list[Right]:
    """Return what `soundscene-worker` needs."""
    return [
        Right("READ", "TOPIC", chunks_topic),
        Right("READ", "GROUP", group_id),
        Right("WRITE", "TOPIC", predictions_topic),
        Right("WRITE", "TOPIC", dead_letters_topic),
    ]


def of_sensor(chunks_topic: str) -> list[Right]:
    """Return what `soundscene-sensor` needs for a topic that exists."""
    return [Right("WRITE", "TOPIC", chunks_topic)]


def of_auditor(chunks_topic: str, predictions_topic: str, dead_letters_topic: str) -> list[Right]:
    """Return what `soundscene-audit` needs; it joins no group."""
    return [Right("READ", "TOPIC", topic) for topic in (chunks_topic, predictions_topic, dead_letters_topic)]


def of_replay(chunks_topic: str, predictions_topic: str, dead_letters_topic: str | None) -> list[Right]:
    """Return what `soundscene-worker replay` needs; the dead letters' topic only when it reads them."""
    letters = [] if dead_letters_topic is None else [Right("READ", "TOPIC", dead_letters_topic)]
    return [Right("READ", "TOPIC", chunks_topic), Right("WRITE", "TOPIC", predictions_topic), *letters]


def in_words(missing: Iterable[Right]) -> str:
    """Return what is missing and the way out, for a message."""
    return f"the broker denies this user {', '.join(map(str, missing))}; grant it with kafka-acls.sh --add"
