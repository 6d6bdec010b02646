"""What a group's rebalances leave a member with. Pure; shared by both brokers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from soundscene_worker.broker.protocol import TopicPartition

__all__ = ["Change", "Membership"]

Kind = Literal["assigned", "revoked", "lost"]


class Change(NamedTuple):
    """What changed hands between two polls; see `protocol.Polled`."""

    assigned: frozenset[TopicPartition] = frozenset()
    revoked: frozenset[TopicPartition] = frozenset()
    lost: frozenset[TopicPartition] = frozenset()


@dataclass(slots=True)
class Membership:
    """Which partitions the caller knows to be its own, and what it has not been told yet.

    `note` may be called from another thread, everything else from the caller's.
    """

    owned: frozenset[TopicPartition] = frozenset()
    _untold: deque[tuple[Kind, frozenset[TopicPartition]]] = field(default_factory=deque)

    def note(self, kind: Kind, partitions: Iterable[TopicPartition]) -> None:
        """Write down an event, in the order of the events."""
        self._untold.append((kind, frozenset(partitions)))

    def disputed(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Return those that are not ours, or about which there is news the caller has not been told."""
        untold = frozenset[TopicPartition]().union(*(news for _, news in tuple(self._untold)))
        return [partition for partition in partitions if partition not in self.owned or partition in untold]

    def tell(self) -> Change:
        """Take over every event so far and return their net effect on the caller."""
        before, owned = self.owned, set(self.owned)
        fresh: set[TopicPartition] = set()
        gone: dict[Kind, set[TopicPartition]] = {"revoked": set(), "lost": set()}
        while self._untold:
            kind, partitions = self._untold.popleft()
            if kind == "assigned":
                fresh |= partitions
                owned |= partitions
            else:
                gone[kind] |= partitions & before
                fresh -= partitions
                owned -= partitions
        self.owned = frozenset(owned)
        return Change(frozenset(fresh), frozenset(gone["revoked"]), frozenset(gone["lost"]))
