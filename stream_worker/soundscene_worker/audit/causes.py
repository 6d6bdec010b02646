"""Why a window that lies within a session's sound could not be told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from soundscene_worker.audit.intervals import IntervalSet, Span
from soundscene_worker.audit.ledger import Ledger

__all__ = ["CAUSES", "explain"]

CAUSES: Final = ("never_sent", "gap", "rejected", "dead_lettered", "late", "closed")
"""Along the way of the sound: a window counts under the first that applies to it.

`never_sent`: samples are not in the log, and neither are numbers of chunks. `gap`: samples are not in the log although
no chunk is. `rejected`, `dead_lettered`: a chunk could not be used; the second when a dead letter says so. `late`: a
chunk came after the hold-back. `closed`: its session was closed before the window was complete.
"""
_MOST_APART: Final = 1_000
"""Windows of one hole looked at one by one; the others are taken for the hole as a whole."""


def explain(ledger: Ledger) -> dict[str, Counter[str]]:
    """Count windows that could not be told by device and cause."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    query = (
        "SELECT run, device, run.rate, first_index, last_index, hole_first, hole_end, skipped "
        "FROM absence JOIN run ON run.id = run ORDER BY run, first_index"
    )
    for run, device, rate_hz, first, last, hole_first, hole_end, skipped in ledger.database.execute(query):
        told = _told(ledger, run, first, last)
        excuses = list(ledger.excuses(run, hole_first, hole_end))
        for index in range(first, min(last, first + _MOST_APART - 1) + 1):
            if index not in told:
                span = ledger.geometry.source_span(index, rate_hz)
                part = max(span[0], hole_first), min(span[1], hole_end)
                counts[device][_cause(part, excuses, skipped)] += 1
        rest = max(0, last - first + 1 - _MOST_APART)
        if rest:
            counts[device][_cause((hole_first, hole_end), excuses, skipped)] += rest
    return dict(sorted(counts.items()))


def _told(ledger: Ledger, run: int, first_index: int, last_index: int) -> set[int]:
    """Return windows of a hole that became complete after all, in a later opening of their session."""
    step = ledger.geometry.step_samples
    query = "SELECT first_sample FROM window WHERE run = ? AND first_sample BETWEEN ? AND ? LIMIT ?"
    rows = ledger.database.execute(query, (run, first_index * step, last_index * step, _MOST_APART))
    return {first // step for (first,) in rows}


def _cause(hole: Span, excuses: Iterable[tuple[int, int, str]], skipped: int) -> str:
    found = [excuse for excuse in excuses if excuse[0] < hole[1] and excuse[1] > hole[0]]
    excused = IntervalSet()
    for first, end, _ in found:
        excused.add(first, end)
    if excused.holes(*hole):
        return "never_sent" if skipped > sum(cause != "closed" for *_, cause in found) else "gap"
    return min((cause for *_, cause in found), key=CAUSES.index)
