"""One partition's part of the log: which windows it yields, and where a restart has to begin.

Pure: no clock, no Kafka, no inference. Two runs over the same records do the same.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, Self, TypeVar

from soundscene.windows import Fate
from soundscene_worker.messages.chunk import AudioChunk, ChunkHeader
from soundscene_worker.streams.policy import StreamPolicy
from soundscene_worker.streams.session import Gap, ReadyWindow, SessionKey, SessionTrack

__all__ = ["Closed", "CommitPoint", "End", "PartitionState", "Taken", "limit_memory"]

_Partition = TypeVar("_Partition")


@dataclass(frozen=True, slots=True)
class CommitPoint:
    """Where to begin again, and what is already done.

    Parameters
    ----------
    offset : int
        Lowest offset that an open window still needs: reading begins here.
    done_below : int
        Every window completed by a record below this offset has been published.
    clock_ms : int or None
        The partition's clock before the record at `offset`.
    """

    offset: int
    done_below: int
    clock_ms: int | None

    @property
    def metadata(self) -> str:
        """The text stored beside the committed offset."""
        return json.dumps({"v": 1, "done": self.done_below, "clock": self.clock_ms}, separators=(",", ":"))

    @classmethod
    def parse(cls, offset: int, metadata: str) -> Self:
        """Read a commit back; one that somebody else made says only where to begin."""
        try:
            values = json.loads(metadata)
            if values["v"] == 1 and int(values["done"]) >= offset:
                clock = values["clock"]
                return cls(offset, int(values["done"]), None if clock is None else int(clock))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            pass
        return cls(offset, offset, None)


_WRITTEN_RECORDS: Final = 101


class End(StrEnum):
    """Why a session was closed."""

    IDLE = "idle"
    REPLACED = "replaced"  # by newer sessions of the same device
    CROWDED = "crowded"  # by more devices than a partition may have
    OVERSIZED = "oversized"  # it held too much memory
    HANDED_OVER = "handed_over"  # with its partition


class Closed(NamedTuple):
    """A session that is over."""

    key: SessionKey
    end: End


@dataclass(frozen=True, slots=True)
class Taken:
    """What one record brought about."""

    fate: Fate
    seconds: float = 0.0
    windows: tuple[ReadyWindow, ...] = ()
    gaps: tuple[Gap, ...] = ()
    new_session: bool = False
    closed: tuple[Closed, ...] = ()  # before the record was taken


@dataclass(slots=True)
class PartitionState:
    """Every open session of a partition.

    Parameters
    ----------
    policy : StreamPolicy
        The rules.
    start : CommitPoint
        Where reading begins.

    Attributes
    ----------
    position : int
        Offset of the next record.
    """

    policy: StreamPolicy
    start: CommitPoint
    position: int = field(init=False)
    _clock_ms: int | None = field(init=False)
    _tracks: OrderedDict[SessionKey, SessionTrack] = field(default_factory=OrderedDict)  # longest quiet first
    _devices: OrderedDict[str, OrderedDict[SessionKey, None]] = field(
        default_factory=OrderedDict
    )  # likewise, and theirs
    _written_ms: deque[int] = field(default_factory=lambda: deque(maxlen=_WRITTEN_RECORDS))
    _clock_lags_ms: deque[int] = field(default_factory=lambda: deque(maxlen=_WRITTEN_RECORDS))

    def __post_init__(self) -> None:
        """Begin at the commit."""
        self.position = self.start.offset
        self._clock_ms = self.start.clock_ms

    def take(self, offset: int, timestamp_ms: int, chunk: AudioChunk) -> Taken:
        """Take a decoded record, in the order of the log."""
        clock_before_ms = timestamp_ms if self._clock_ms is None else self._clock_ms
        self._tick(timestamp_ms, clock_before_ms, 1000 * len(chunk.samples) // chunk.sample_rate_hz)
        closed = [*self._close_idle(), *self._limit_bytes(chunk.device)]
        key = SessionKey.of(chunk)
        is_new = key not in self._tracks
        if is_new:
            closed += self._make_room(chunk.device)
            self._tracks[key] = SessionTrack(key, self.policy)
        track = self._touch(key)
        push, ready = track.take(chunk, offset, clock_before_ms, publish=offset >= self.start.done_below)
        self.position = offset + 1
        self._written_ms.append(timestamp_ms)
        seconds = push.new_samples / key.sample_rate_hz
        gaps = tuple(track.gap_causes(push.gaps))
        return Taken(push.fate, seconds, tuple(ready), gaps, is_new, tuple(closed))

    def reject(self, offset: int, header: ChunkHeader | None) -> None:
        """Pass over a record that cannot be used; a readable header tells which samples are lost with it."""
        self.position = offset + 1
        if header is not None:
            track = self._tracks.get(SessionKey.of(header))
            if track is not None:
                track.reject((header.first_sample, header.end_sample))

    def commit_point(self) -> CommitPoint:
        """Return what may be committed once every window handed out so far has been acknowledged."""
        needs = [need for track in self._tracks.values() if (need := track.oldest_needed()) is not None]
        offset, clock_ms = min(needs, default=(self.position, self._clock_ms))
        return CommitPoint(offset, max(self.position, self.start.done_below), clock_ms)

    @property
    def written_ms(self) -> float | None:
        """When the last records were written: the median of their time stamps, so that one wrong clock says nothing."""
        return statistics.median(self._written_ms) if self._written_ms else None

    @property
    def clock_lag_seconds(self) -> float | None:
        """How far the clock was behind the last records as each came, below 0 ahead of them: again the median."""
        return statistics.median(self._clock_lags_ms) / 1000 if self._clock_lags_ms else None

    @property
    def held_bytes(self) -> int:
        """Memory that open windows hold."""
        return sum(track.held_bytes for track in self._tracks.values())

    def close_all(self) -> tuple[Closed, ...]:
        """Close every session, because the partition goes to another worker."""
        return self._close(tuple(self._tracks), End.HANDED_OVER)

    def close_largest(self) -> tuple[Closed, ...]:
        """Close the sessions of the device that holds most."""
        if not self._devices:
            return ()
        largest = max(self._devices, key=self._device_bytes)
        return self._close(self._sessions_of(largest), End.OVERSIZED)

    def devices(self) -> frozenset[str]:
        """Return the devices that have an open session."""
        return frozenset(self._devices)

    def _tick(self, timestamp_ms: int, clock_ms: int, duration_ms: int) -> None:
        """Move the clock forward, by at most the record's own sound: no single device's clock can age the others."""
        self._clock_ms = max(clock_ms, min(timestamp_ms, clock_ms + duration_ms))
        self._clock_lags_ms.append(timestamp_ms - self._clock_ms)

    def _touch(self, key: SessionKey) -> SessionTrack:
        track = self._tracks[key]
        track.last_clock_ms = self._clock_ms or 0
        self._tracks.move_to_end(key)
        sessions = self._devices.setdefault(key.device, OrderedDict())
        sessions[key] = None
        sessions.move_to_end(key)
        self._devices.move_to_end(key.device)
        return track

    def _close_idle(self) -> tuple[Closed, ...]:
        limit_ms = (self._clock_ms or 0) - 1000 * self.policy.idle_seconds
        idle = itertools.takewhile(lambda key: self._tracks[key].last_clock_ms < limit_ms, self._tracks)
        return self._close(idle, End.IDLE)

    def _make_room(self, device: str) -> tuple[Closed, ...]:
        """Close what was quiet for longest, counted from the end of the log: a restart finds the same."""
        own = self._sessions_of(device)
        closed = self._close(own[: max(0, len(own) + 1 - self.policy.sessions_per_device)], End.REPLACED)
        if device not in self._devices and len(self._devices) >= self.policy.devices_per_partition:
            closed += self._close(self._sessions_of(next(iter(self._devices))), End.CROWDED)
        return closed

    def _limit_bytes(self, device: str) -> tuple[Closed, ...]:
        if self._device_bytes(device) <= self.policy.device_bytes:
            return ()
        return self._close(self._sessions_of(device), End.OVERSIZED)

    def _device_bytes(self, device: str) -> int:
        return sum(self._tracks[key].held_bytes for key in self._sessions_of(device))

    def _sessions_of(self, device: str) -> list[SessionKey]:
        return list(self._devices.get(device, ()))

    def _close(self, keys: Iterable[SessionKey], end: End) -> tuple[Closed, ...]:
        closed = tuple(Closed(key, end) for key in keys)
        for key, _ in closed:
            del self._tracks[key]
            sessions = self._devices[key.device]
            del sessions[key]
            if not sessions:
                del self._devices[key.device]
        return closed


def limit_memory(
    states: Mapping[_Partition, PartitionState], limit_bytes: int
) -> Iterator[tuple[_Partition, tuple[Closed, ...]]]:
    """Close sessions of who holds most until all together hold no more; yield what was closed, and where."""
    while sum(state.held_bytes for state in states.values()) > limit_bytes:
        fullest, state = max(states.items(), key=lambda item: item[1].held_bytes)
        yield fullest, state.close_largest()
