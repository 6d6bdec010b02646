"""One partition's part of the log: which windows it yields, and where a restart has to begin.

Pure: no clock, no Kafka, no inference. Two runs over the same records do the same.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Self

from soundscene.windows import Fate
from soundscene_worker.messages.chunk import AudioChunk, ChunkHeader
from soundscene_worker.streams.policy import StreamPolicy
from soundscene_worker.streams.session import Gap, ReadyWindow, SessionKey, SessionTrack

__all__ = ["CommitPoint", "PartitionState", "Taken"]


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
        except (ValueError, KeyError, TypeError):
            pass
        return cls(offset, offset, None)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one record brought about."""

    fate: Fate
    seconds: float = 0.0
    windows: tuple[ReadyWindow, ...] = ()
    gaps: tuple[Gap, ...] = ()
    new_session: bool = False
    closed: tuple[SessionKey, ...] = ()


@dataclass(slots=True)
class PartitionState:
    """Every open session of a partition.

    Parameters
    ----------
    policy : StreamPolicy
        The rules.
    start : CommitPoint
        Where reading begins.
    """

    policy: StreamPolicy
    start: CommitPoint
    position: int = field(init=False)
    _clock_ms: int | None = field(init=False)
    _tracks: OrderedDict[SessionKey, SessionTrack] = field(default_factory=OrderedDict)  # longest quiet first

    def __post_init__(self) -> None:
        """Begin at the commit."""
        self.position = self.start.offset
        self._clock_ms = self.start.clock_ms

    def take(self, offset: int, timestamp_ms: int, chunk: AudioChunk) -> Taken:
        """Take a decoded record, in the order of the log."""
        clock_before_ms = timestamp_ms if self._clock_ms is None else self._clock_ms
        self._tick(timestamp_ms, clock_before_ms, 1000 * len(chunk.samples) // chunk.sample_rate_hz)
        closed = self._close_idle()
        key = SessionKey(chunk.device, chunk.session, chunk.sample_rate_hz)
        is_new = key not in self._tracks
        if is_new:
            closed += self._make_room(chunk.device)
            self._tracks[key] = SessionTrack(key, self.policy)
        track = self._touch(key)
        push, ready = track.take(chunk, offset, clock_before_ms, publish=offset >= self.start.done_below)
        self.position = offset + 1
        seconds = push.new_samples / key.sample_rate_hz
        gaps = tuple(track.gap_causes(push.gaps))
        return Taken(push.fate, seconds, tuple(ready), gaps, is_new, tuple(closed))

    def reject(self, offset: int, header: ChunkHeader | None) -> None:
        """Pass over a record that cannot be used; a readable header tells which samples are lost with it."""
        self.position = offset + 1
        if header is not None:
            track = self._tracks.get(SessionKey(header.device, header.session, header.sample_rate_hz))
            if track is not None:
                track.reject((header.first_sample, header.first_sample + header.sample_count))

    def commit_point(self) -> CommitPoint:
        """Return what may be committed once every window handed out so far has been acknowledged."""
        needs = [need for track in self._tracks.values() if (need := track.oldest_needed()) is not None]
        offset, clock_ms = min(needs, default=(self.position, self._clock_ms))
        return CommitPoint(offset, max(self.position, self.start.done_below), clock_ms)

    def session_keys(self) -> tuple[SessionKey, ...]:
        """Return the open sessions."""
        return tuple(self._tracks)

    def devices(self) -> set[str]:
        """Return the devices that have an open session."""
        return {key.device for key in self._tracks}

    def _tick(self, timestamp_ms: int, clock_ms: int, duration_ms: int) -> None:
        """Move the clock forward, by at most the record's own sound: no single device's clock can age the others."""
        self._clock_ms = max(clock_ms, min(timestamp_ms, clock_ms + duration_ms))

    def _touch(self, key: SessionKey) -> SessionTrack:
        track = self._tracks[key]
        track.last_clock_ms = self._clock_ms or 0
        self._tracks.move_to_end(key)
        return track

    def _close_idle(self) -> list[SessionKey]:
        closed: list[SessionKey] = []
        while self._tracks:
            key, track = next(iter(self._tracks.items()))
            if (self._clock_ms or 0) - track.last_clock_ms <= 1000 * self.policy.idle_seconds:
                break
            del self._tracks[key]
            closed.append(key)
        return closed

    def _make_room(self, device: str) -> list[SessionKey]:
        own = [key for key in self._tracks if key.device == device]
        surplus = own[: max(0, len(own) + 1 - self.policy.sessions_per_device)]
        for key in surplus:
            del self._tracks[key]
        return surplus
