"""Reading both topics, and the dead letters, into a ledger; the whole of them or what lies between two times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from soundscene.errors import SettingsError
from soundscene_worker.audit.expectation import ChunkAudit
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.ledger import Ledger
from soundscene_worker.audit.rules import Rules
from soundscene_worker.audit.verdict import Verdict, judge
from soundscene_worker.broker.errors import TopicMissing
from soundscene_worker.broker.protocol import Cluster, Record, TopicPartition
from soundscene_worker.messages.prediction import InvalidPrediction, decode_prediction

__all__ = ["Auditor", "Reading"]

_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Auditor:
    """Compares two topics; the dead letters only tell why.

    Parameters
    ----------
    cluster : Cluster
        The brokers.
    chunks_topic, predictions_topic : str
        What to read.
    geometry : Geometry
        Where windows lie.
    rules : Rules
        When a chunk is late and a session over.
    model : str or None
        Hash, or `NAME@VERSION`, of the one bundle to look at.
    dead_letters_topic : str or None
        Where the worker says what it refused; it may be missing.
    since_ms, until_ms : int or None
        Windows completed by chunks written between these times, in milliseconds since 1970.
    """

    cluster: Cluster
    chunks_topic: str
    predictions_topic: str
    geometry: Geometry
    rules: Rules = field(default_factory=Rules)
    model: str | None = None
    dead_letters_topic: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def audit(
        self,
        wait_seconds: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Verdict:
        """Read the chunks once, and the predictions until none is missing or the time is up.

        Raises
        ------
        SettingsError
            The predictions are of another window length: the bundle is not theirs. Or no such model has published.
        BrokerError
            A topic is missing, or the broker is.
        """
        deadline = monotonic() + wait_seconds
        with Reading(self) as reading:
            reading.read_chunks()
            reading.read_predictions()
            while reading.verdict().total.missing and monotonic() < deadline:
                sleep(_PAUSE_SECONDS)
                reading.read_predictions()
            reading.read_letters()
            reading.read_later_chunks()  # perhaps of predictions made meanwhile
            reading.finish()
            return reading.verdict()


class Reading:
    """Goes on where it stopped, as often as it is asked."""

    def __init__(self, auditor: Auditor) -> None:
        self.auditor = auditor
        self.ledger = Ledger(auditor.geometry)
        self.chunks = ChunkAudit(auditor.geometry, auditor.rules)
        self.foreign = 0
        self._at: dict[TopicPartition, int] = {}

    def close(self) -> None:
        """Throw the ledger away."""
        self.ledger.close()

    def __enter__(self) -> Reading:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def read_chunks(self, seen_seconds: float = 0.0) -> None:
        """Read on to the end, or to `until_ms`."""
        a = self.auditor
        judged_from = {}
        since_ms = a.since_ms
        if since_ms is not None:
            judged_from = {p: span.start for p, span in a.cluster.spans(a.chunks_topic, since_ms, a.until_ms).items()}
            since_ms -= round(1000 * a.rules.preroll_seconds)
        for record in self._read(a.chunks_topic, since_ms, a.until_ms):
            is_judged = record.offset >= judged_from.get(record.topic_partition, 0)
            self.ledger.find(self.chunks.take(record), seen_seconds, is_judged)

    def read_later_chunks(self) -> None:
        """Read what was written since: it explains predictions, and need not have been answered yet."""
        if self.auditor.until_ms is None:
            for record in self._read(self.auditor.chunks_topic, None, None):
                self.ledger.find(self.chunks.take(record), is_judged=False)

    def read_predictions(self) -> None:
        """Read on to the end: a prediction may come long after its sound."""
        for record in self._read(self.auditor.predictions_topic, self.auditor.since_ms, None):
            try:
                self.ledger.publish(decode_prediction(record.value))
            except InvalidPrediction:
                self.foreign += 1
        lengths = self.ledger.lengths()
        mine = (self.auditor.geometry.length_samples, self.auditor.geometry.sample_rate_hz)
        if lengths and mine not in lengths:
            others = ", ".join(f"{count} samples at {rate_hz} Hz" for count, rate_hz in sorted(lengths))
            raise SettingsError(
                f"the predictions are of windows of {others}, those of the bundle have {mine[0]} at {mine[1]} Hz: "
                "name the worker's bundle with --bundle"
            )

    def read_letters(self) -> None:
        """Read on to the end, if there is such a topic."""
        topic = self.auditor.dead_letters_topic
        if topic is None:
            return
        with suppress(TopicMissing):
            for record in self._read(topic, self.auditor.since_ms, None):
                headers = dict(record.headers)
                if headers.get("origin_topic") == self.auditor.chunks_topic.encode():
                    with suppress(ValueError, KeyError, OverflowError):
                        self.ledger.refuse(int(headers["origin_partition"]), int(headers["origin_offset"]))

    def finish(self) -> None:
        """Give up what is still open: nothing more will be read."""
        self.ledger.find(self.chunks.finish())

    def verdict(self, seen_until: float = math.inf) -> Verdict:
        """Judge what has been read; windows read later than that are not missing yet."""
        a = self.auditor
        is_whole = a.since_ms is None and a.until_ms is None
        return judge(
            self.ledger,
            self.chunks.counts,
            foreign=self.foreign,
            model=self._model(),
            is_whole=is_whole,
            seen_until=seen_until,
        )

    def _model(self) -> str | None:
        wanted = self.auditor.model
        named = [m.hash for m in self.ledger.models() if wanted in (m.hash, f"{m.name}@{m.version}")]
        if wanted is None or len(named) == 1:
            return named[0] if named else None
        if len(named) > 1:
            raise SettingsError(f"{wanted} has published with several hashes, name one of them: {', '.join(named)}")
        return wanted

    def _read(self, topic: str, since_ms: int | None, until_ms: int | None) -> Iterator[Record]:
        spans = self.auditor.cluster.spans(topic, since_ms, until_ms)
        unread = {p: range(self._at.get(p, span.start), span.stop) for p, span in spans.items()}
        for record in self.auditor.cluster.read(unread):
            yield record
            self._at[record.topic_partition] = record.offset + 1
        self._at.update((p, max(span.start, span.stop)) for p, span in unread.items())
