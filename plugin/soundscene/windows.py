"""Cutting a stream into windows by sample index: the same windows for any chunking, order or replay.

Window k of a session covers the samples [k * step, k * step + length) and is complete when every one of them has been
seen. Nothing here looks at a clock: what comes out depends on the chunks and their order alone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from soundscene._spans import Span, SpanSet
from soundscene.errors import AudioError, SettingsError
from soundscene.settings import FrontEndSettings

__all__ = ["Fate", "Push", "Span", "Window", "WindowAssembler", "WindowGrid"]

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One window of sound.

    Parameters
    ----------
    index : int >= 0
        Position on the session's grid.
    first_sample, sample_count : int
        Its span in the session, counted at the bundle's rate.
    source_first_sample : int
        Its first sample in the session, counted at the source's rate.
    sample_rate_hz : int
        The source's rate.
    samples : np.ndarray [shape=(n,), float32]
        Mono, full scale 1.0, at the source's rate.
    """

    index: int
    first_sample: int
    sample_count: int
    source_first_sample: int
    sample_rate_hz: int
    samples: Samples


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Where the windows of a source lie, in the source's own samples.

    Raises
    ------
    SettingsError
        The rate is not positive.
    """

    sample_rate_hz: int
    settings: FrontEndSettings

    def __post_init__(self) -> None:
        """Refuse an impossible rate."""
        if self.sample_rate_hz <= 0:
            raise SettingsError(f"sample_rate_hz must be above 0, got {self.sample_rate_hz}")

    @property
    def length_samples(self) -> int:
        """Source samples of a window; at a foreign rate one more, so that resampling never falls short."""
        if self.sample_rate_hz == self.settings.sample_rate_hz:
            return self.settings.window_length_samples
        return math.ceil(self._to_source(self.settings.window_length_samples)) + 1

    def span(self, index: int) -> Span:
        """Source samples of window `index`."""
        first = self._first(index)
        return first, first + self.length_samples

    def first_index_from(self, source_sample: int) -> int:
        """Lowest index of a window that starts at `source_sample` or later."""
        index = max(0, source_sample * self.settings.sample_rate_hz // (self._step * self.sample_rate_hz))
        while self._first(index) < source_sample:
            index += 1
        return index

    def count(self, sample_count: int) -> int:
        """Return how many windows a signal of `sample_count` source samples holds."""
        if sample_count < self.length_samples:
            return 0
        return self.first_index_from(sample_count - self.length_samples + 1)

    def window(self, index: int, samples: Samples) -> Window:
        """Make the window from its samples, which must be exactly `length_samples` long."""
        if samples.shape != (self.length_samples,):
            raise AudioError(f"a window needs {self.length_samples} samples, got an array of shape {samples.shape}")
        return Window(
            index=index,
            first_sample=index * self._step,
            sample_count=self.settings.window_length_samples,
            source_first_sample=self._first(index),
            sample_rate_hz=self.sample_rate_hz,
            samples=samples,
        )

    @property
    def _step(self) -> int:
        return self.settings.step_samples

    def _first(self, index: int) -> int:
        return index * self._step * self.sample_rate_hz // self.settings.sample_rate_hz

    def _to_source(self, samples: int) -> float:
        return samples * self.sample_rate_hz / self.settings.sample_rate_hz


class Fate(StrEnum):
    """What became of a chunk."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Push:
    """What one chunk brought about.

    Parameters
    ----------
    fate : Fate
        A duplicate holds no sample that is new; a late chunk begins further back than the hold-back.
    new_samples : int >= 0
        Samples that had not been seen before.
    windows : tuple of Window
        Windows it completed, by index.
    gaps : tuple of Span
        Spans given up for lost, now that the stream is further than the hold-back.
    """

    fate: Fate
    new_samples: int = 0
    windows: tuple[Window, ...] = ()
    gaps: tuple[Span, ...] = ()


class WindowAssembler:
    """Windows of one session from chunks of any size, in nearly any order.

    It never joins audio across a gap, takes the first version of a sample that is sent twice, and holds no more than
    `hold_back_samples` and two windows of sound as long as chunks keep to the hold-back.

    Parameters
    ----------
    grid : WindowGrid
        Where the windows lie.
    hold_back_samples : int >= 0
        A chunk that begins more than this before the furthest sample seen is late.
    """

    def __init__(self, grid: WindowGrid, hold_back_samples: int) -> None:
        if hold_back_samples < 0:
            raise SettingsError(f"hold_back_samples must not be negative, got {hold_back_samples}")
        self.grid = grid
        self._hold_back = hold_back_samples
        self._seen = SpanSet()
        self._pieces: list[tuple[int, Samples]] = []  # disjoint, sorted by their first sample
        self._furthest: int | None = None
        self._settled = 0  # below it, every sample was seen or reported as a gap
        self._lowest_open = 0
        self._complete: set[int] = set()  # above _lowest_open

    @property
    def lowest_open_index(self) -> int:
        """Lowest window that may still become complete."""
        return self._lowest_open

    @property
    def furthest_sample(self) -> int:
        """One after the furthest sample seen; 0 before the first."""
        return self._furthest or 0

    @property
    def buffered_samples(self) -> int:
        """Samples held for open windows."""
        return sum(len(samples) for _, samples in self._pieces)

    def push(self, first_sample: int, samples: Samples) -> Push:
        """Take a chunk.

        Parameters
        ----------
        first_sample : int >= 0
            Index of its first sample in the session, at the source's rate.
        samples : np.ndarray [shape=(n,), float32]
            Mono; kept by reference, so it must not change afterwards.

        Raises
        ------
        AudioError
            `first_sample` is negative, or `samples` is empty or not one-dimensional.
        """
        if first_sample < 0 or samples.ndim != 1 or not len(samples):
            raise AudioError(
                f"expected samples of shape (n > 0,) from index >= 0, got {samples.shape} at {first_sample}"
            )
        end = first_sample + len(samples)
        if self._furthest is None:
            self._settled = first_sample
        elif first_sample < self._furthest - self._hold_back:
            return Push(Fate.LATE)
        novel = self._seen.missing(first_sample, end)
        if not novel:
            return Push(Fate.DUPLICATE)
        self._settled = min(self._settled, first_sample)
        for start, stop in novel:
            part = samples[start - first_sample : stop - first_sample]
            self._insert(start, part if len(part) == len(samples) else part.copy())  # a view would keep all of them
        self._seen.add(first_sample, end)
        self._furthest = max(self._furthest or 0, end)
        windows = tuple(self.grid.window(k, self._extract(k)) for k in self._completed_by(first_sample, end))
        self._complete.update(window.index for window in windows)
        gaps = self._settle(self._furthest - self._hold_back)
        self._advance()
        return Push(Fate.ACCEPTED, sum(stop - start for start, stop in novel), windows, gaps)

    def _insert(self, start: int, samples: Samples) -> None:
        self._pieces.insert(bisect_left(self._pieces, start, key=_first_of), (start, samples))

    def _completed_by(self, first: int, end: int) -> list[int]:
        """Windows that touch [first, end) and lie wholly in what has been seen."""
        run_first, run_end = self._seen.run_around(first)
        index = max(self._lowest_open, self.grid.first_index_from(max(run_first, first - self.grid.length_samples + 1)))
        found = []
        while (span := self.grid.span(index))[1] <= run_end and span[0] < end:
            if index not in self._complete:
                found.append(index)
            index += 1
        return found

    def _extract(self, index: int) -> Samples:
        first, end = self.grid.span(index)
        out = np.empty(end - first, np.float32)
        at = max(0, bisect_right(self._pieces, first, key=_first_of) - 1)
        for start, samples in self._pieces[at:]:
            if start >= end:
                break
            low, high = max(start, first), min(start + len(samples), end)
            if low < high:
                out[low - first : high - first] = samples[low - start : high - start]
        return out

    def _settle(self, horizon: int) -> tuple[Span, ...]:
        """Give up what is still missing below the horizon."""
        if horizon <= self._settled:
            return ()
        gaps = tuple(self._seen.missing(self._settled, horizon))
        self._settled = horizon
        return gaps

    def _advance(self) -> None:
        """Close windows that are complete or can no longer be, and forget what no open window needs."""
        horizon = self.furthest_sample - self._hold_back
        first_seen = self._seen.first
        index = max(self._lowest_open, self.grid.first_index_from(min(first_seen, max(0, horizon))))
        while True:
            if index in self._complete:
                index += 1
            elif hole := self._hole_in(index, horizon):
                index = self.grid.first_index_from(hole[1])  # in one step, however long a header makes the hole
            else:
                break
        self._lowest_open = index
        self._complete = {k for k in self._complete if k > index}
        floor = self.grid.span(index)[0]
        self._seen.forget_below(min(floor, horizon))
        self._pieces = [piece for piece in self._pieces if piece[0] + len(piece[1]) > floor]

    def _hole_in(self, index: int, horizon: int) -> Span | None:
        """Return the first hole that window `index` meets below the horizon, in its full length."""
        first, end = self.grid.span(index)
        holes = self._seen.missing(first, horizon) if first < horizon else []
        return holes[0] if holes and holes[0][0] < end else None


def _first_of(piece: tuple[int, Samples]) -> int:
    return piece[0]
