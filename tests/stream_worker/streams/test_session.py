"""What a session says of its windows, and of what it loses: each sample once, by its cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from soundscene_worker.streams.session import SessionKey, SessionTrack
from tests.stream_worker.streams.test_partition import EPOCH, POLICY, RATE_HZ, Sent

HOLD_BACK = POLICY.hold_back_samples(RATE_HZ)

Span = tuple[int, int]


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[Span, bool]]:
    """Spans of a session that goes on, nearly in order, and whether each could be used; some come twice."""
    spans, first = [], 0
    for _ in range(draw(st.integers(1, 25))):
        count = draw(st.integers(5, 60))
        fate = draw(st.integers(0, 5))
        spans += [((first + draw(st.sampled_from([0, 0, 10])), first + count), fate > 1)] * draw(
            st.sampled_from([1, 1, 2])
        )
        first += count + draw(st.sampled_from([0, 0, 15]))
    order = [(n + draw(st.integers(0, 2)), span) for n, span in enumerate(spans)]
    return [span for _, span in sorted(order, key=lambda item: item[0]) if span[0][0] < span[0][1]]


def take(track: SessionTrack, offset: int, first: int, end: int) -> list[tuple[str, float]]:
    push, _ = track.take(Sent("a", "1", first, end - first, 0).chunk(), offset, 0, publish=True)
    return [(gap.cause, gap.seconds) for gap in track.gap_causes(push.gaps)]


@given(arrivals())
def test_each_lost_sample_counts_once_under_its_cause(log: list[tuple[Span, bool]]) -> None:
    """Behind the hold-back, what a refused chunk held is rejected and what no chunk held is missing."""
    track = SessionTrack(SessionKey("a", "1", RATE_HZ), POLICY)
    told, lost = Counter[str](), Counter[str]()
    seen, refused, decided = set[int](), set[int](), set[int]()
    for offset, ((first, end), is_usable) in enumerate(log):
        if not is_usable:
            track.reject((first, end))
            refused.update(range(first, end))
            continue
        for cause, seconds in take(track, offset, first, end):
            assert seconds > 0
            told[cause] += round(seconds * RATE_HZ)
        if not seen or first >= max(seen) + 1 - HOLD_BACK:
            seen.update(range(first, end))
            gone = set(range(min(seen), max(seen) + 1 - HOLD_BACK)) - seen - decided
            lost += Counter("rejected" if sample in refused else "missing" for sample in gone)
            decided |= gone
    assert told == lost


def test_a_refused_chunk_that_is_sent_again_is_lost_once() -> None:
    """A sensor that repeats its bad chunk makes no other sound rejected."""
    track = SessionTrack(SessionKey("a", "1", RATE_HZ), POLICY)
    take(track, 0, 0, 40)
    for _ in range(3):
        track.reject((40, 50))
    lost = {cause: round(seconds * RATE_HZ) for cause, seconds in take(track, 1, 80, 80 + HOLD_BACK)}
    assert lost == {"rejected": 10, "missing": 30}


@given(
    st.sampled_from([480, 1_000, 1_600]),
    st.lists(st.tuples(st.integers(5, 60), st.integers(-50, 50)), min_size=3, max_size=20),
)
def test_a_window_begins_when_the_chunk_that_holds_its_first_sample_says(
    rate_hz: int, chunks: list[tuple[int, int]]
) -> None:
    """Also where the sensor's clock jumps from one chunk to the next; its level is that of the chunk that ended it."""
    track, first = SessionTrack(SessionKey("a", "1", rate_hz), POLICY), 0
    times: dict[int, datetime] = {}
    for offset, (count, jump_ms) in enumerate(chunks):
        captured = EPOCH + timedelta(seconds=first / rate_hz, milliseconds=jump_ms)
        times |= {first + n: captured + timedelta(seconds=n / rate_hz) for n in range(count)}
        chunk = replace(Sent("a", "1", first, count, 0).chunk(), sample_rate_hz=rate_hz, capture_time=captured)
        _, ready = track.take(replace(chunk, calibration_db=float(offset)), offset, 0, publish=True)
        assert all(one.start == times[one.window.source_first_sample] for one in ready)
        assert all(one.calibration_db == offset for one in ready)
        first += count
