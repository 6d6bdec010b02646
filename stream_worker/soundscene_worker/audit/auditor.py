"""Reading both topics, from their beginnings to their ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from soundscene.errors import SettingsError
from soundscene_worker.audit.expectation import ChunkAudit, Rules
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.publication import Publications
from soundscene_worker.audit.verdict import Verdict, judge
from soundscene_worker.broker.protocol import Cluster

__all__ = ["Auditor"]

_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Auditor:
    """Compares two topics, and looks at nothing else.

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
        Hash of the one bundle to look at.
    """

    cluster: Cluster
    chunks_topic: str
    predictions_topic: str
    geometry: Geometry
    rules: Rules = field(default_factory=Rules)
    model: str | None = None

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
            The predictions are of another window length: the bundle is not theirs.
        BrokerError
            A topic is missing, or the broker is.
        """
        deadline = monotonic() + wait_seconds
        chunks = self._read_chunks()
        published = self._read_predictions()
        while (verdict := judge(chunks, published)).total.missing and monotonic() < deadline:
            sleep(_PAUSE_SECONDS)
            published = self._read_predictions()
        if verdict.total.unexpected:  # perhaps their chunks have arrived meanwhile
            verdict = judge(chunks, published, later=self._read_chunks())
        return verdict

    def _read_chunks(self) -> ChunkAudit:
        chunks = ChunkAudit(self.geometry, self.rules)
        for record in self.cluster.read_to_end(self.chunks_topic):
            chunks.take(record)
        return chunks

    def _read_predictions(self) -> Publications:
        published = Publications(self.model)
        for record in self.cluster.read_to_end(self.predictions_topic):
            published.take(record.value)
        self._check_lengths(published)
        return published

    def _check_lengths(self, published: Publications) -> None:
        lengths = {(p.sample_count, p.sample_rate) for p in published.first.values()}
        mine = (self.geometry.length_samples, self.geometry.sample_rate_hz)
        if lengths and mine not in lengths:
            others = ", ".join(f"{count} samples at {rate_hz} Hz" for count, rate_hz in sorted(lengths))
            raise SettingsError(
                f"the predictions are of windows of {others}, those of the bundle have {mine[0]} at {mine[1]} Hz: "
                "name the worker's bundle with --bundle"
            )
