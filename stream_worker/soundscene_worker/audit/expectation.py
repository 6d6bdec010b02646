"""From the chunks topic to the windows that must have been published, and to those that could not be."""

from __future__ import annotations

import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.intervals import Span
from soundscene_worker.audit.rules import Rules
from soundscene_worker.audit.session import Absence, ExpectedWindow, OpenSession, Run
from soundscene_worker.broker.protocol import Record
from soundscene_worker.messages.chunk import CHUNK_TYPE, ChunkHeader, ChunkLimits, RejectedChunk, decode_chunk
from soundscene_worker.messages.header_fields import HeaderFields, parse_device

__all__ = ["ChunkAudit", "ChunkCounts", "Excuse", "Findings"]

_ENDED_RUNS: Final = 100_000
"""Sessions that are over of which it is known where they ended, in case they go on."""


@dataclass(slots=True)
class ChunkCounts:
    """What was found of a device.

    Parameters
    ----------
    chunks, refused, repeated, late : int
        Records in all; of these undecodable, without a new sample, and too late.
    seconds : float
        New sound.
    """

    chunks: int = 0
    refused: int = 0
    repeated: int = 0
    late: int = 0
    seconds: float = 0.0


class Excuse(NamedTuple):
    """Samples of a run that are in the log and yet could not be used: `late`, `rejected` or `closed`."""

    run: Run
    span: Span
    cause: str
    partition: int
    offset: int


@dataclass(slots=True)
class Findings:
    """What one record brought about.

    Parameters
    ----------
    windows : list of ExpectedWindow
        Now complete: they must be published.
    absences : list of Absence
        Windows that never will be complete.
    excuses : list of Excuse
        Why samples count as missing although they are in the log.
    """

    windows: list[ExpectedWindow] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)


@dataclass(slots=True)
class _Partition:
    """The log's clock and the sessions open in one partition, the one that was quiet for longest first."""

    clock_ms: int | None = None
    sessions: dict[Run, OpenSession] = field(default_factory=dict)

    def of_device(self, device: str) -> list[Run]:
        return [run for run in self.sessions if run.device == device]

    def quietest_first(self) -> list[str]:
        """Return the devices by their last chunks."""
        return list(dict.fromkeys(run.device for run in reversed(self.sessions)))[::-1]


@dataclass(slots=True)
class ChunkAudit:
    """Takes records of the chunks topic, each partition in its order.

    Parameters
    ----------
    geometry : Geometry
        Where windows lie.
    rules : Rules
        When a chunk is late and a session over.
    """

    geometry: Geometry
    rules: Rules = field(default_factory=Rules)
    counts: defaultdict[str, ChunkCounts] = field(default_factory=lambda: defaultdict(ChunkCounts))
    _partitions: defaultdict[int, _Partition] = field(default_factory=lambda: defaultdict(_Partition))
    _ended: OrderedDict[tuple[int, Run], int] = field(default_factory=OrderedDict)  # samples below are decided

    def take(self, record: Record) -> Findings:
        """Take one record; an undecodable one holds no samples."""
        found = Findings()
        try:
            chunk = decode_chunk(record.key, record.value, record.headers, self.rules.limits, record.fault)
        except RejectedChunk:
            self._refuse(record, found)
            return found
        partition = self._partitions[record.partition]
        self._move_clock(partition, record.timestamp_ms, chunk)
        self._close(record, self._idle(partition), found)
        if (
            sum(partition.sessions[run].held_bytes for run in partition.of_device(chunk.device))
            > self.rules.device_bytes
        ):
            self._close(record, partition.of_device(chunk.device), found)
        self._hear(self._session(record, chunk, found), record, chunk, found)
        return found

    def finish(self) -> Findings:
        """Give up what is still open: the log ends here."""
        sessions = (session for partition in self._partitions.values() for session in partition.sessions.values())
        return Findings(absences=[absence for session in sessions for absence in session.finish()])

    def _refuse(self, record: Record, found: Findings) -> None:
        counts = self.counts[_device(record.key, self.rules.limits)]
        counts.chunks += 1
        counts.refused += 1
        claim = _claimed(record, self.rules.limits)
        if claim is not None:
            found.excuses.append(Excuse(*claim, "rejected", record.partition, record.offset))

    def _move_clock(self, partition: _Partition, timestamp_ms: int, chunk: ChunkHeader) -> None:
        """A record may move the clock no further than it lasts."""
        if partition.clock_ms is None:
            partition.clock_ms = timestamp_ms
        lasts_ms = 1000 * chunk.sample_count // chunk.sample_rate_hz
        partition.clock_ms += min(max(timestamp_ms - partition.clock_ms, 0), lasts_ms)

    def _idle(self, partition: _Partition) -> list[Run]:
        oldest_ms = (partition.clock_ms or 0) - 1000 * self.rules.idle_seconds
        quiet = itertools.takewhile(lambda entry: entry[1].last_clock_ms < oldest_ms, partition.sessions.items())
        return [run for run, _ in quiet]

    def _close(self, record: Record, runs: Iterable[Run], found: Findings) -> None:
        sessions = self._partitions[record.partition].sessions
        for run in runs:
            session = sessions.pop(run)
            found.absences += session.finish()
            tail = self.geometry.source_span(session.next_index, run.sample_rate_hz)[0]
            parts = ((max(first, tail), end) for first, end in session.heard if end > tail)
            found.excuses += [Excuse(run, part, "closed", record.partition, record.offset) for part in parts]
            self._ended[record.partition, run] = max(tail, session.first_owed)
            self._ended.move_to_end((record.partition, run))
        while len(self._ended) > _ENDED_RUNS:
            self._ended.popitem(last=False)

    def _session(self, record: Record, chunk: ChunkHeader, found: Findings) -> OpenSession:
        partition = self._partitions[record.partition]
        run = Run(chunk.device, chunk.session, chunk.sample_rate_hz)
        if run not in partition.sessions:
            self._make_room(record, chunk.device, found)
            decided_to = self._ended.pop((record.partition, run), 0)
            session = OpenSession(run, self.geometry, self._hold_back_samples(run.sample_rate_hz), decided_to)
        else:
            session = partition.sessions.pop(run)
        partition.sessions[run] = session  # last: most recently heard
        session.last_clock_ms = partition.clock_ms or 0
        return session

    def _make_room(self, record: Record, device: str, found: Findings) -> None:
        partition = self._partitions[record.partition]
        own = partition.of_device(device)
        self._close(record, own[: max(0, len(own) - self.rules.sessions_per_device + 1)], found)
        devices = partition.quietest_first()
        if device not in devices and len(devices) >= self.rules.devices_per_partition:
            self._close(record, partition.of_device(devices[0]), found)

    def _hear(self, session: OpenSession, record: Record, chunk: ChunkHeader, found: Findings) -> None:
        counts = self.counts[chunk.device]
        counts.chunks += 1
        if session.is_late(chunk):
            counts.late += 1
            span = (chunk.first_sample, chunk.end_sample)
            found.excuses.append(Excuse(session.run, span, "late", record.partition, record.offset))
            return
        new_samples, windows, absences = session.hear(chunk)
        found.windows += [ExpectedWindow(session.run, index * self.geometry.step_samples) for index in windows]
        found.absences += absences
        counts.repeated += not new_samples
        counts.seconds += new_samples / chunk.sample_rate_hz

    def _hold_back_samples(self, rate_hz: int) -> int:
        configured = -(-self.rules.hold_back_seconds * rate_hz // 1)
        return max(int(configured), self.geometry.least_wait_samples(rate_hz))


def _claimed(record: Record, limits: ChunkLimits) -> tuple[Run, Span] | None:
    """Return the samples that a refused record says it holds, as far as it says that."""
    try:
        fields = HeaderFields.read(record.headers, CHUNK_TYPE)
        run = Run(parse_device(record.key, limits), fields.name("session", limits), fields.integer("samplerate"))
        first, count = fields.integer("firstsample"), fields.integer("samplecount")
    except RejectedChunk:
        return None
    return (run, (first, first + count)) if 0 < count <= limits.max_seconds * run.sample_rate_hz else None


def _device(key: bytes | None, limits: ChunkLimits) -> str:
    try:
        return parse_device(key, limits)
    except RejectedChunk:
        return "(unknown)"
