"""From the chunks topic to the windows that must have been published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from soundscene.errors import SettingsError
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.intervals import IntervalSet
from soundscene_worker.broker.protocol import Record
from soundscene_worker.messages.chunk import AudioChunk, ChunkLimits, RejectedChunk, decode_chunk
from soundscene_worker.messages.header_fields import parse_device

__all__ = ["ChunkAudit", "ChunkCounts", "ExpectedWindow", "Rules", "Run"]


class Run(NamedTuple):
    """What may share a window: one device, one session of it, one sample rate."""

    device: str
    session: str
    sample_rate_hz: int


class ExpectedWindow(NamedTuple):
    """A window all of whose samples are in the log; `first_sample` at the bundle's rate."""

    run: Run
    first_sample: int


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a worker waits, as it was configured; the defaults are the worker's.

    Parameters
    ----------
    hold_back_seconds : float >= 0
        A chunk that begins further than this before the end of its session is ignored.
    idle_seconds : float > 0
        A session ends when its partition's clock has moved this far since its last chunk.
    sessions_per_device : int >= 1
        Sessions of a device that are open at a time.
    limits : ChunkLimits
        What a chunk may be.

    Raises
    ------
    SettingsError
        A value is outside its range.
    """

    hold_back_seconds: float = 10.0
    idle_seconds: float = 120.0
    sessions_per_device: int = 4
    limits: ChunkLimits = field(default_factory=ChunkLimits)

    def __post_init__(self) -> None:
        """Check every range."""
        if self.hold_back_seconds < 0 or self.idle_seconds <= 0 or self.sessions_per_device < 1:
            raise SettingsError(
                "expected hold_back_seconds >= 0, idle_seconds > 0 and sessions_per_device >= 1, got "
                f"{self.hold_back_seconds}, {self.idle_seconds} and {self.sessions_per_device}"
            )


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


@dataclass(slots=True)
class _OpenSession:
    heard: IntervalSet = field(default_factory=IntervalSet)
    last_clock_ms: int = 0


@dataclass(slots=True)
class _Partition:
    """The log's clock and the sessions open in one partition, the one that was quiet for longest first."""

    clock_ms: int | None = None
    sessions: dict[Run, _OpenSession] = field(default_factory=dict)


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
    _heard: defaultdict[Run, list[IntervalSet]] = field(default_factory=lambda: defaultdict(list))

    def take(self, record: Record) -> None:
        """Take one record; an undecodable one holds no samples."""
        try:
            chunk = decode_chunk(record.key, record.value, record.headers, self.rules.limits)
        except RejectedChunk:
            counts = self.counts[_device(record.key, self.rules.limits)]
            counts.chunks += 1
            counts.refused += 1
            return
        partition = self._partitions[record.partition]
        self._move_clock(partition, record.timestamp_ms, chunk)
        self._hear(self._session(partition, chunk), chunk)

    def windows(self) -> Iterator[ExpectedWindow]:
        """Yield every window that must have been published, once."""
        for run, sets in self._heard.items():
            seen: set[int] = set()
            for first, end in (span for heard in sets for span in heard):
                seen.update(self.geometry.indices_within(first, end, run.sample_rate_hz))
            for index in sorted(seen):
                yield ExpectedWindow(run, index * self.geometry.step_samples)

    def _move_clock(self, partition: _Partition, timestamp_ms: int, chunk: AudioChunk) -> None:
        """A record may move the clock no further than it lasts; what was quiet for too long is over."""
        if partition.clock_ms is None:
            partition.clock_ms = timestamp_ms
        lasts_ms = 1000 * chunk.sample_count // chunk.sample_rate_hz
        partition.clock_ms += min(max(timestamp_ms - partition.clock_ms, 0), lasts_ms)
        oldest_ms = partition.clock_ms - 1000 * self.rules.idle_seconds
        for run in [run for run, session in partition.sessions.items() if session.last_clock_ms < oldest_ms]:
            del partition.sessions[run]

    def _session(self, partition: _Partition, chunk: AudioChunk) -> _OpenSession:
        run = Run(chunk.device, chunk.session, chunk.sample_rate_hz)
        session = partition.sessions.pop(run, None)
        if session is None:
            session = _OpenSession()
            self._heard[run].append(session.heard)
            others = [other for other in partition.sessions if other.device == chunk.device]
            for other in others[: max(0, len(others) - self.rules.sessions_per_device + 1)]:
                del partition.sessions[other]
        partition.sessions[run] = session  # last: most recently heard
        session.last_clock_ms = partition.clock_ms or 0
        return session

    def _hear(self, session: _OpenSession, chunk: AudioChunk) -> None:
        counts = self.counts[chunk.device]
        counts.chunks += 1
        end = session.heard.end
        if end is not None and chunk.first_sample < end - self._hold_back_samples(chunk.sample_rate_hz):
            counts.late += 1
            return
        new_samples = session.heard.add(chunk.first_sample, chunk.end_sample)
        counts.repeated += not new_samples
        counts.seconds += new_samples / chunk.sample_rate_hz

    def _hold_back_samples(self, rate_hz: int) -> int:
        configured = -(-self.rules.hold_back_seconds * rate_hz // 1)
        return max(int(configured), self.geometry.least_wait_samples(rate_hz))


def _device(key: bytes | None, limits: ChunkLimits) -> str:
    try:
        return parse_device(key, limits)
    except RejectedChunk:
        return "(unknown)"
