"""Who may do what on the broker that asks, for the tests of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scripts.kafka_security import USERS, SecuredKafka
from scripts.pipeline import Topics
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.rights import Right

SENSOR, WORKER, AUDITOR = USERS


def make_topics(secured: SecuredKafka) -> Topics:
    """Return three new topics on the broker, on which nobody has a right."""
    names = Topics.unique()
    with KafkaCluster(KafkaConnection((secured.address("admin"),))) as cluster:
        cluster.admin().ensure_topics(dict.fromkeys(names.names, 1))
    return names


@contextmanager
def granted(secured: SecuredKafka, user: str, rights: list[Right]) -> Iterator[None]:
    """Let a user do so much meanwhile."""
    secured.grant(user, rights)
    try:
        yield
    finally:
        secured.revoke(user, rights)
