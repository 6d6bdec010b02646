"""When predictions arrived, by the broker's own clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

from soundscene_worker.broker.errors import BrokerError
from soundscene_worker.broker.protocol import Cluster
from soundscene_worker.messages.cloud_events import unpack_headers


class Predictions:
    """What is in the predictions topic, read bit by bit.

    Parameters
    ----------
    connect : callable
        Opens the cluster.
    topic : str
        Its time stamps must be those of the broker (`message.timestamp.type=LogAppendTime`).
    """

    def __init__(self, connect: Callable[[], AbstractContextManager[Cluster]], topic: str) -> None:
        self._connect = connect
        self._topic = topic
        self._read: Counter[int] = Counter()  # offset to go on at, by partition
        self._ids: set[str] = set()
        self.repeated = 0

    @property
    def windows(self) -> int:
        """How many different windows were seen."""
        return len(self._ids)

    @property
    def partitions(self) -> set[int]:
        """Where any were seen. A device has the same partition here as in the chunks."""
        return set(self._read)

    def read_on(self, since: float = 0.0) -> dict[int, float]:
        """Return, by partition, when the first of a new window arrived, later than `since` (both s since 1970).

        New is what no call before has read.
        """
        first: dict[int, float] = {}
        try:
            with self._connect() as cluster:
                ends = cluster.spans(self._topic)
                spans = {p: range(max(self._read[p.partition], span.start), span.stop) for p, span in ends.items()}
                for record in cluster.read({p: span for p, span in spans.items() if span}):
                    self._read[record.partition] = record.offset + 1
                    window = unpack_headers(record.headers)["id"]
                    if window in self._ids:
                        self.repeated += 1
                        continue
                    self._ids.add(window)
                    if record.timestamp_ms / 1000 >= since:
                        first.setdefault(record.partition, record.timestamp_ms / 1000)
        except BrokerError:  # away; what was read before it went counts
            pass
        return first
