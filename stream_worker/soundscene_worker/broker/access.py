"""Asking the broker what this user may do; this file needs no library."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from soundscene_worker.broker.errors import AccessDenied, BrokerUnreachable
from soundscene_worker.broker.rights import Right
from soundscene_worker.broker.translation import translated

__all__ = ["missing_rights"]

_TOPIC_AUTHORIZATION_FAILED: Final = 29
_PAUSE_SECONDS: Final = 0.2


def missing_rights(client: Any, rights: Iterable[Right], patience_seconds: float) -> list[Right]:
    """Return those of `rights` that the broker denies; a topic that does not exist denies nothing.

    Parameters
    ----------
    client : kafka.KafkaAdminClient
        Asked.
    rights : iterable of Right
        What is needed.
    patience_seconds : float > 0
        How long a group may have no coordinator: the first group of a new cluster waits for one.
    """
    rights = list(rights)
    granted = _topic_operations(client, {right.name for right in rights if right.resource == "TOPIC"})
    for group in {right.name for right in rights if right.resource == "GROUP"}:
        granted["GROUP", group] = _group_operations(client, group, time.monotonic() + patience_seconds)
    return [right for right in rights if not _is_granted(right, granted[right.resource, right.name])]


def _is_granted(right: Right, operations: list[str] | None) -> bool:
    """Tell whether a right is there; None: the broker did not say, and will when it comes to it."""
    return operations is None or right.operation in operations


def _topic_operations(client: Any, topics: set[str]) -> dict[tuple[str, str], list[str] | None]:
    with translated("asking for the rights on topics"):
        found = client.describe_topics(sorted(topics))
    return {
        ("TOPIC", topic["name"]): []
        if topic["error_code"] == _TOPIC_AUTHORIZATION_FAILED
        else topic.get("authorized_operations") or None
        for topic in found
    }


def _group_operations(client: Any, group: str, deadline: float) -> list[str] | None:
    while True:
        try:
            with translated(f"asking for the rights on group {group!r}"):
                return client.describe_groups([group])[group].get("authorized_operations") or None
        except AccessDenied:
            return []
        except BrokerUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
