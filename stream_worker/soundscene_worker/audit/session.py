"""One open session as the auditor follows it: which windows it completes, and which it never will."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.intervals import IntervalSet, Span
from soundscene_worker.messages.chunk import ChunkHeader

__all__ = ["Absence", "ExpectedWindow", "OpenSession", "Run"]

_SAMPLE_BYTES: Final = 4
_RECORD_BYTES: Final = 4096
"""What the worker counts for a record that it remembers."""


class Run(NamedTuple):
    """What may share a window: one device, one session of it, one sample rate."""

    device: str
    session: str
    sample_rate_hz: int


class ExpectedWindow(NamedTuple):
    """A window all of whose samples are in the log; `first_sample` at the bundle's rate."""

    run: Run
    first_sample: int


class Absence(NamedTuple):
    """Windows `first_index` to `last_index`: each lacks samples of one hole, counted at the device's rate.

    `skipped` is how many chunk numbers are missing between the chunks on both sides of the hole.
    """

    run: Run
    first_index: int
    last_index: int
    hole: Span
    skipped: int


class _Heard(NamedTuple):
    first: int
    end: int
    sequence: int


@dataclass(slots=True)
class OpenSession:
    """Samples of a session since it was opened.

    Parameters
    ----------
    run : Run
        Whose.
    geometry : Geometry
        Where windows lie.
    hold_back_samples : int >= 0
        A chunk that begins further than this before the end is late.
    decided_to : int
        Samples below are an earlier opening's matter; 0 for a session that is new.
    """

    run: Run
    geometry: Geometry
    hold_back_samples: int
    decided_to: int = 0
    last_clock_ms: int = 0
    heard: IntervalSet = field(default_factory=IntervalSet)
    next_index: int = 0
    """Lowest window of which it is not known yet whether it becomes complete."""
    held_bytes: int = 0
    _first_heard: int | None = None
    _before_hole: int | None = None
    _complete: set[int] = field(default_factory=set)
    _records: list[_Heard] = field(default_factory=list)
    _pieces: list[Span] = field(default_factory=list)

    @property
    def end(self) -> int:
        """One after the furthest sample."""
        return self.heard.end or 0

    @property
    def first_owed(self) -> int:
        """Sample from which on missing sound counts."""
        return self.decided_to or self._first_heard or 0

    def is_late(self, chunk: ChunkHeader) -> bool:
        """Tell whether the chunk begins too far back."""
        return self.heard.end is not None and chunk.first_sample < self.end - self.hold_back_samples

    def hear(self, chunk: ChunkHeader) -> tuple[int, list[int], list[Absence]]:
        """Take a chunk that is not late: new samples, windows it completes, windows that never will be."""
        span = chunk.first_sample, chunk.end_sample
        novel = self.heard.holes(*span)
        if not novel:
            return 0, [], []
        self._first_heard = span[0] if self._first_heard is None else min(self._first_heard, span[0])
        self.heard.add(*span)
        self._pieces += novel
        self._records.append(_Heard(*span, chunk.sequence))
        windows = self._completed_by(*span)
        self._complete.update(windows)
        horizon = self.end - self.hold_back_samples
        absences = list(self._advance(horizon))
        self._forget(horizon)
        return sum(end - first for first, end in novel), windows, absences

    def finish(self) -> list[Absence]:
        """Give up, as nothing more will come, every window that ends before the end of the sound."""
        limit = self.geometry.first_index_after(self.end, self.run.sample_rate_hz)
        return list(self._advance(self.end, limit))

    def _completed_by(self, first: int, end: int) -> list[int]:
        around = self.heard.around(first)
        found = self.geometry.indices_within(*around, self.run.sample_rate_hz)
        return [index for index in found if index >= self.next_index and index not in self._complete]

    def _advance(self, horizon: int, limit: int | None = None) -> Iterator[Absence]:
        """Pass over windows that are complete, and over those with a hole below the horizon."""
        rate_hz = self.run.sample_rate_hz
        while limit is None or self.next_index < limit:
            if self.next_index in self._complete:
                self.next_index += 1
                continue
            first, end = self.geometry.source_span(self.next_index, rate_hz)
            holes = self.heard.holes(first, min(end, horizon))
            if not holes:
                break
            hole = holes[0][0], self.heard.next_from(holes[0][0])
            beyond = self.geometry.first_index_from(min(hole[1], horizon), rate_hz)
            beyond = max(self.next_index + 1, beyond if limit is None else min(beyond, limit))
            yield from self._absence(beyond - 1, hole)
            self.next_index = beyond
        self._complete = {index for index in self._complete if index >= self.next_index}

    def _absence(self, last_index: int, hole: Span) -> Iterator[Absence]:
        owed = self.geometry.first_index_from(self.first_owed, self.run.sample_rate_hz)
        first_index = max(self.next_index, owed)
        if first_index <= last_index:
            yield Absence(self.run, first_index, last_index, hole, self._skipped(hole))

    def _skipped(self, hole: Span) -> int:
        before = [heard.sequence for heard in self._records if heard.end == hole[0]]
        if before:
            self._before_hole = max(before)  # a long hole is given up piece by piece
        after = [heard.sequence for heard in self._records if heard.first <= hole[1] < heard.end]
        return 0 if self._before_hole is None or not after else max(0, min(after) - self._before_hole - 1)

    def _forget(self, horizon: int) -> None:
        """Let go of what no undecided window needs; what the worker would still hold is counted."""
        rate_hz = self.run.sample_rate_hz
        floor = self.geometry.source_span(self.next_index, rate_hz)[0]
        averaged = max(0, self.next_index - self.geometry.smoothing_windows + 1)
        keep_from = min(self.geometry.source_span(averaged, rate_hz)[0], horizon)
        self.heard.forget_below(min(floor, horizon))
        self._pieces = [piece for piece in self._pieces if piece[1] > floor]
        self._records = [heard for heard in self._records if heard.end >= keep_from]
        records = sum(heard.end > keep_from for heard in self._records)
        samples = sum(end - first for first, end in self._pieces)
        self.held_bytes = _SAMPLE_BYTES * samples + _RECORD_BYTES * records
