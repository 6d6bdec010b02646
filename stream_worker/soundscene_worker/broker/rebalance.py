"""What a group's rebalances leave a member with. Pure; shared by both brokers."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from soundscene_worker.broker.protocol import TopicPartition

__all__ = ["Change", "Membership", "shares"]

Member = TypeVar("Member")

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


def shares(
    wanted: Mapping[Member, Collection[TopicPartition]], owners: Mapping[TopicPartition, Member]
) -> dict[TopicPartition, Member]:
    """Share partitions evenly: everybody keeps what it has, as long as nobody has more than a fair share.

    Parameters
    ----------
    wanted : mapping of member to partitions
        Who may have what.
    owners : mapping of partition to member
        Who has what now; a member that is gone counts for nothing.
    """
    given: dict[TopicPartition, Member] = {}
    everything = sorted(frozenset[TopicPartition]().union(*wanted.values()))
    counts = dict.fromkeys(wanted, 0)
    fair, extra = divmod(len(everything), max(1, len(wanted)))
    for partition in everything:
        owner = owners.get(partition)
        most = fair + (sum(n > fair for n in counts.values()) < extra)
        if owner is not None and owner in counts and counts[owner] < most:
            given[partition] = owner
            counts[owner] += 1
    for partition in everything:
        if partition not in given:
            candidates = [member for member, theirs in wanted.items() if partition in theirs]
            given[partition] = min(candidates, key=lambda member: counts[member])
            counts[given[partition]] += 1
    return given
