"""One session of one device: its windows, and the records they still need."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self

from soundscene.windows import Fate, Push, Span, Window, WindowAssembler
from soundscene_worker.messages.chunk import AudioChunk, ChunkHeader
from soundscene_worker.streams.policy import StreamPolicy

__all__ = ["Gap", "ReadyWindow", "SessionKey", "SessionTrack"]


_SAMPLE_BYTES: Final = 4
_RECORD_BYTES: Final = 4096
"""What a remembered record counts beside its samples: more than the 500 bytes it takes, since it also costs time."""

_REJECTED_SPANS: Final = 256
"""Refused chunks remembered, to tell why sound is missing."""


class SessionKey(NamedTuple):
    """What may share a window: one device, one run of it, one sample rate."""

    device: str
    session: str
    sample_rate_hz: int

    @classmethod
    def of(cls, header: ChunkHeader) -> Self:
        """Return whose sound a chunk is."""
        return cls(header.device, header.session, header.sample_rate_hz)


class Gap(NamedTuple):
    """Sound given up for lost; `cause` is `missing` or `rejected`."""

    cause: str
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class ReadyWindow:
    """A complete window and what its prediction needs to know of the stream.

    Parameters
    ----------
    key : SessionKey
        Whose sound it is.
    window : Window
        The sound.
    start : datetime
        Capture time of its first sample.
    predecessors : tuple of int
        Indices of earlier windows that its smoothed verdict averages, by the time it became complete.
    oldest_useful : int
        Lowest index that a later window of the session may still average.
    calibration_db : float or None
        dB SPL at digital full scale.
    publish : bool
        False when an earlier run has published it, and it is here for its successors only.
    """

    key: SessionKey
    window: Window
    start: datetime
    predecessors: tuple[int, ...]
    oldest_useful: int
    calibration_db: float | None
    publish: bool


@dataclass(frozen=True, slots=True)
class _Heard:
    first: int
    end: int
    offset: int
    clock_before_ms: int
    capture_time: datetime


@dataclass(slots=True)
class SessionTrack:
    """State of a session: sound of open windows, and the records a restart would have to read again."""

    key: SessionKey
    policy: StreamPolicy
    last_clock_ms: int = 0
    assembler: WindowAssembler = field(init=False)
    _heard: list[_Heard] = field(default_factory=list)
    _rejected: deque[Span] = field(default_factory=lambda: deque(maxlen=_REJECTED_SPANS))
    _recent: set[int] = field(default_factory=set)
    held_bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Start with nothing heard."""
        rate_hz = self.key.sample_rate_hz
        self.assembler = WindowAssembler(self.policy.grid(rate_hz), self.policy.hold_back_samples(rate_hz))

    def take(
        self, chunk: AudioChunk, offset: int, clock_before_ms: int, publish: bool
    ) -> tuple[Push, list[ReadyWindow]]:
        """Add a chunk; return its fate and the windows it completed."""
        push = self.assembler.push(chunk.first_sample, chunk.samples)
        if push.fate is not Fate.ACCEPTED:
            return push, []
        self._heard.append(_Heard(chunk.first_sample, chunk.end_sample, offset, clock_before_ms, chunk.capture_time))
        oldest_useful = min([self._keep_index(), *(self._first_averaged(window.index) for window in push.windows)])
        ready = [self._ready(window, oldest_useful, chunk.calibration_db, publish) for window in push.windows]
        self._forget()
        return push, ready

    def reject(self, span: Span) -> None:
        """Remember that these samples arrived but could not be used."""
        self._rejected.append(span)

    def gap_causes(self, gaps: tuple[Span, ...]) -> list[Gap]:
        """Split lost spans by cause."""
        causes = []
        for first, end in gaps:
            refused, at = 0, first
            for f, e in sorted(self._rejected):  # each sample once, however often it was refused
                refused += max(0, min(end, e) - max(at, f))
                at = max(at, e)
            parts = (("rejected", refused), ("missing", end - first - refused))
            causes += [Gap(cause, n / self.key.sample_rate_hz) for cause, n in parts if n]
        if gaps:
            later = [span for span in self._rejected if span[1] > gaps[-1][1]]
            self._rejected = deque(later, _REJECTED_SPANS)
        return causes

    def oldest_needed(self) -> tuple[int, int] | None:
        """Offset of the oldest record an open window or its predecessors need, and the clock before it."""
        if not self._heard:
            return None
        oldest = min(self._heard, key=lambda heard: heard.offset)
        return oldest.offset, oldest.clock_before_ms

    def _ready(self, window: Window, oldest_useful: int, calibration_db: float | None, publish: bool) -> ReadyWindow:
        span = range(self._first_averaged(window.index), window.index)
        predecessors = tuple(index for index in span if index in self._recent)
        self._recent.add(window.index)
        return ReadyWindow(
            key=self.key,
            window=window,
            start=self._start_time(window),
            predecessors=predecessors,
            oldest_useful=oldest_useful,
            calibration_db=calibration_db,
            publish=publish,
        )

    def _first_averaged(self, index: int) -> int:
        return max(0, index - self.policy.smoothing_windows + 1)

    def _keep_index(self) -> int:
        return self._first_averaged(self.assembler.lowest_open_index)

    def _start_time(self, window: Window) -> datetime:
        at = window.source_first_sample
        heard = next(heard for heard in self._heard if heard.first <= at < heard.end)
        return heard.capture_time + timedelta(seconds=(at - heard.first) / self.key.sample_rate_hz)

    def _forget(self) -> None:
        """Let go of what no open window needs, nor the smoothing before it, nor the recognition of duplicates."""
        keep_index = self._keep_index()
        horizon = self.assembler.furthest_sample - self.policy.hold_back_samples(self.key.sample_rate_hz)
        keep_from = min(self.assembler.grid.span(keep_index)[0], horizon)
        self._heard = [heard for heard in self._heard if heard.end > keep_from]
        self._recent = {index for index in self._recent if index >= keep_index}
        self.held_bytes = _SAMPLE_BYTES * self.assembler.buffered_samples + _RECORD_BYTES * len(self._heard)
