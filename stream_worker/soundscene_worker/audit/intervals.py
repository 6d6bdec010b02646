"""Sets of whole numbers as intervals."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

__all__ = ["IntervalSet", "Span"]

Span = tuple[int, int]
"""First number, and one after the last."""


class IntervalSet:
    """Samples that were heard, as sorted intervals [first, end) that neither overlap nor touch.

    Examples
    --------
    >>> heard = IntervalSet()
    >>> heard.add(0, 10), heard.add(20, 30), heard.add(10, 15), heard.add(25, 28)
    (10, 10, 5, 0)
    >>> list(heard)
    [(0, 15), (20, 30)]
    """

    def __init__(self) -> None:
        self._edges: list[int] = []  # first, end, first, end ...: strictly increasing

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._edges[::2], self._edges[1::2], strict=True))

    @property
    def end(self) -> int | None:
        """One after the highest number, or None when the set is empty."""
        return self._edges[-1] if self._edges else None

    def add(self, first: int, end: int) -> int:
        """Put in the numbers of [first, end); return how many of them are new."""
        before = self.size_within(first, end)
        low, high = bisect_left(self._edges, first), bisect_right(self._edges, end)
        edges = ([first] if low % 2 == 0 else []) + ([end] if high % 2 == 0 else [])
        self._edges[low:high] = edges
        return end - first - before

    def holes(self, first: int, end: int) -> list[Span]:
        """Return the parts of [first, end) that there are not."""
        found, at = [], first
        for low, high in self._from(first):
            if low >= end:
                break
            if at < low:
                found.append((at, low))
            at = max(at, high)
        return [*found, (at, end)] if at < end else found

    def around(self, number: int) -> Span:
        """Return the interval that holds a number; there must be one."""
        return next(self._from(number))

    def next_from(self, number: int) -> int:
        """Return the lowest number in the set that is not below this one; this one when there is none."""
        low, _ = next(self._from(number), (number, number))
        return max(low, number)

    def forget_below(self, number: int) -> None:
        """Take out every number below this one."""
        at = bisect_left(self._edges, number)
        self._edges[:at] = [number] if at % 2 else []
        if self._edges[:2] == [number, number]:
            del self._edges[:2]

    def _from(self, number: int) -> Iterator[Span]:
        """Yield the intervals from the one that holds the number, or the next after it."""
        for at in range(bisect_right(self._edges, number) // 2 * 2, len(self._edges), 2):
            yield self._edges[at], self._edges[at + 1]

    def size_within(self, first: int, end: int) -> int:
        """How many numbers of [first, end) there are."""
        at = bisect_right(self._edges, first) // 2 * 2
        total = 0
        while at < len(self._edges) and self._edges[at] < end:
            total += min(end, self._edges[at + 1]) - max(first, self._edges[at])
            at += 2
        return total
