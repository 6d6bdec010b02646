"""Sets of samples as spans."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["Span", "SpanSet"]

Span = tuple[int, int]
"""First sample and the one after the last."""


class SpanSet:
    """A set of samples as sorted, disjoint, non-touching spans."""

    def __init__(self) -> None:
        self._spans: list[Span] = []

    @property
    def first(self) -> int:
        """Lowest sample; the set must not be empty."""
        return self._spans[0][0]

    def add(self, first: int, end: int) -> None:
        """Put in [first, end)."""
        low = bisect_left(self._spans, first, key=_end)
        high = bisect_right(self._spans, end, key=_first)
        touched = self._spans[low:high]
        if touched:
            first, end = min(first, touched[0][0]), max(end, touched[-1][1])
        self._spans[low:high] = [(first, end)]

    def missing(self, first: int, end: int) -> list[Span]:
        """Return the spans of [first, end) that are not in the set."""
        holes = []
        at = first
        for start, stop in self._spans[bisect_right(self._spans, first, key=_end) :]:
            if start >= end:
                break
            if start > at:
                holes.append((at, start))
            at = max(at, stop)
        if at < end:
            holes.append((at, end))
        return holes

    def run_around(self, sample: int) -> Span:
        """Return the span that holds a sample, which must be in the set."""
        return self._spans[bisect_right(self._spans, sample, key=_first) - 1]

    def forget_below(self, floor: int) -> None:
        """Drop the spans that end at or below a sample."""
        low = bisect_right(self._spans, floor, key=_end)
        del self._spans[:low]


def _first(span: Span) -> int:
    return span[0]


def _end(span: Span) -> int:
    return span[1]
