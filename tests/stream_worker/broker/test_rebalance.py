"""Whatever the group decided between two polls, the member is told the net of it, in an order it can follow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soundscene_worker.broker.protocol import TopicPartition
from soundscene_worker.broker.rebalance import Membership

PARTITIONS = [TopicPartition("chunks", index) for index in range(4)]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, frozenset[TopicPartition]] | None]:
    """Events as a group may send them, with polls (None) anywhere between."""
    owned: set[TopicPartition] = set()
    history: list[tuple[str, frozenset[TopicPartition]] | None] = []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["assigned", "revoked", "lost", "poll"]))
        pool = [p for p in PARTITIONS if (p in owned) != (kind == "assigned")]
        if kind == "poll" or not pool:
            history.append(None)
            continue
        chosen = frozenset(draw(st.sets(st.sampled_from(pool), min_size=1)))
        owned = owned | chosen if kind == "assigned" else owned - chosen
        history.append((kind, chosen))
    return history


@given(histories())
def test_what_is_told_leads_to_what_is_owned(history: list[tuple[str, frozenset[TopicPartition]] | None]) -> None:
    """Taking away what was revoked or lost and adding what was assigned gives the group's view; only what was had is
    taken, only what is not had is given, and whatever was interrupted is given anew."""
    membership, truth, told = Membership(), set[TopicPartition](), frozenset[TopicPartition]()
    interrupted: set[TopicPartition] = set()
    for step in [*history, None]:
        if step is not None:
            kind, partitions = step
            membership.note(kind, partitions)  # type: ignore[arg-type]
            if kind == "assigned":
                truth |= partitions
            else:
                truth -= partitions
                interrupted |= partitions
            assert set(membership.disputed(PARTITIONS)) >= set(PARTITIONS) - told
            continue
        change = membership.tell()
        gone = change.revoked | change.lost
        assert gone <= told
        assert not change.assigned & (told - gone)
        assert truth & told & interrupted <= change.assigned
        told = (told - gone) | change.assigned
        assert told == truth == membership.owned
        assert membership.disputed(truth) == []
        interrupted.clear()


def test_news_disputes_a_partition_before_it_is_told() -> None:
    """Between the group's decision and the next poll nothing may be committed for what changes hands."""
    membership = Membership()
    membership.note("assigned", PARTITIONS[:2])
    membership.tell()
    membership.note("revoked", PARTITIONS[:1])
    assert membership.disputed(PARTITIONS[:3]) == [PARTITIONS[0], PARTITIONS[2]]
