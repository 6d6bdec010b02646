"""Interval sets are sets of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soundscene_worker.audit.intervals import IntervalSet

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)))


@given(SPANS, st.integers(0, 70), st.integers(1, 30))
def test_they_hold_what_was_put_in(spans: list[tuple[int, int]], first: int, count: int) -> None:
    """In any order, overlapping or not: the same numbers as a plain set, in the fewest intervals."""
    heard, numbers = IntervalSet(), set[int]()
    for start, length in spans:
        new = set(range(start, start + length)) - numbers
        assert heard.add(start, start + length) == len(new)
        numbers |= new
    assert {number for start, end in heard for number in range(start, end)} == numbers
    assert heard.end == max(numbers, default=-1) + 1 or heard.end is None
    assert heard.size_within(first, first + count) == len(numbers & set(range(first, first + count)))
    ends = [edge for span in heard for edge in span]
    assert ends == sorted(set(ends))
