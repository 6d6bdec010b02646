"""What the log says must exist: every window whose samples were heard in one session, and no other."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundscene.errors import SettingsError
from soundscene.settings import FrontEndSettings
from soundscene_worker.audit.expectation import ChunkAudit, Findings
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.rules import Rules
from soundscene_worker.audit.session import Run
from soundscene_worker.broker.protocol import Record
from soundscene_worker.messages.chunk import AudioChunk, ChunkHeader, RejectedChunk, decode_chunk, encode_chunk
from soundscene_worker.streams.partition import CommitPoint, PartitionState
from soundscene_worker.streams.policy import StreamPolicy

RATE_HZ = 4_000
FRONT_END = FrontEndSettings(
    sample_rate_hz=RATE_HZ,
    window_size_samples=80,
    fft_size_samples=128,
    hop_size_samples=40,
    patch_frames=6,
    step_frames=3,
    delta_width_frames=3,
    band_count=2,
)
SMOOTHING = 2
GEOMETRY = Geometry.of_manifest({"front_end": FRONT_END.to_dict(), "fusion": {"smoothing_windows": SMOOTHING}})
EPOCH = datetime(2026, 5, 1, tzinfo=UTC)


def record(offset: int, header: ChunkHeader, timestamp_ms: int, spoilt: bool = False) -> Record:
    key, value, headers = encode_chunk(header, np.zeros(header.sample_count, np.float32))
    return Record("chunks", 0, offset, timestamp_ms, key, value[spoilt:], tuple(headers))


def header(device: str, session: str, first: int, count: int, rate_hz: int = RATE_HZ) -> ChunkHeader:
    return ChunkHeader(
        device=device, session=session, sequence=0, first_sample=first, sample_count=count, sample_rate_hz=rate_hz,
        channels=1, encoding="pcm_s16le", capture_time=EPOCH + timedelta(seconds=first / rate_hz),
    )  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Chunks of a few devices in nearly any order, with gaps, repetitions, restarts, two rates and odd clocks."""
    records, now_ms = [], 1_000_000
    places = dict.fromkeys(itertools.product("ab", "xyz", (RATE_HZ, 6000)), 0)
    for offset in range(draw(st.integers(1, 60))):
        key = draw(st.sampled_from(sorted(places)))
        count = draw(st.integers(1, 300))
        first = max(0, places[key] + draw(st.sampled_from([0, 0, 0, 0, -100, -400, -1_500, 37, 900])))
        places[key] = max(places[key], first + count)
        now_ms += draw(st.sampled_from([0, 10, 50, 200, 5_000, -300]))
        records.append(record(offset, header(*key[:2], first, count, key[2]), now_ms, draw(st.integers(0, 9)) == 0))
    return records


LIMITS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    hold_back_seconds=st.sampled_from([0.0, 0.05, 0.3]),
    idle_seconds=st.sampled_from([0.05, 0.2, 2.0]),
    sessions_per_device=st.integers(1, 3),
    devices_per_partition=st.integers(1, 3),
    device_bytes=st.sampled_from([5_000, 15_000, 50_000, 2**25]),
)


@settings(max_examples=200, deadline=None)
@given(logs(), LIMITS)
def test_the_auditor_expects_what_the_worker_publishes(records: list[Record], limits: dict[str, Any]) -> None:
    """Two implementations without common code come to the same windows, record by record, for any log and rules."""
    state = PartitionState(StreamPolicy(FRONT_END, SMOOTHING, **limits), CommitPoint(0, 0, None))
    audit = ChunkAudit(GEOMETRY, Rules(**limits))
    expected, published = set[tuple[Run, int]](), set[tuple[Run, int]]()
    for item in records:
        found = audit.take(item)
        expected.update(found.windows)
        chunk = decode(item)
        if chunk is not None:
            ready = state.take(item.offset, item.timestamp_ms, chunk).windows
            published.update((Run(*window.key), window.window.first_sample) for window in ready)
        assert expected == published


def indices(found: Findings) -> Iterator[tuple[Run, int]]:
    for absence in found.absences:
        for index in range(absence.first_index, absence.last_index + 1):
            yield absence.run, index * GEOMETRY.step_samples


@settings(max_examples=200, deadline=None)
@given(logs())
def test_every_window_is_either_expected_or_accounted_for(records: list[Record]) -> None:
    """From a session's first sample to its last no window is passed over in silence, and none is counted as both."""
    audit = ChunkAudit(GEOMETRY, Rules(sessions_per_device=6))
    expected, absent, heard = set[tuple[Run, int]](), list[tuple[Run, int]](), dict[Run, tuple[int, int]]()
    for item in records:
        found = audit.take(item)
        expected.update(found.windows)
        absent += indices(found)
        chunk = decode(item)
        if chunk is not None and not any(excuse.cause == "late" for excuse in found.excuses):
            run = Run(chunk.device, chunk.session, chunk.sample_rate_hz)
            first, end = heard.get(run, (chunk.first_sample, 0))
            heard[run] = min(first, chunk.first_sample), max(end, chunk.end_sample)
    absent += indices(audit.finish())
    spans = {
        (run, index * GEOMETRY.step_samples)
        for run, span in heard.items()
        for index in GEOMETRY.indices_within(*span, run.sample_rate_hz)
    }
    assert len(set(absent)) == len(absent)
    assert expected | set(absent) == spans
    assert not expected & set(absent)


def decode(item: Record) -> AudioChunk | None:
    try:
        return decode_chunk(item.key, item.value, item.headers)
    except RejectedChunk:
        return None


def test_each_fate_of_a_chunk_is_counted() -> None:
    """Refused, repeated and late ones apart, and what was new in seconds."""
    audit = ChunkAudit(GEOMETRY, Rules(hold_back_seconds=0.0))
    for offset, (first, spoilt) in enumerate([(0, False), (0, False), (50_000, False), (49_000, False), (9_000, True)]):
        audit.take(record(offset, header("a", "x", first, 500), 0, spoilt))
    audit.take(dataclasses.replace(record(9, header("a", "x", 0, 10), 0), key=None))
    counts = audit.counts["a"]
    assert (counts.chunks, counts.refused, counts.repeated, counts.late) == (5, 1, 1, 1)
    assert counts.seconds == pytest.approx(0.25)
    assert audit.counts["(unknown)"].refused == 1


@pytest.mark.parametrize("rules", [(-1.0, 1.0, 1), (0.0, 0.0, 1), (0.0, 1.0, 0)])
def test_impossible_rules_are_refused(rules: tuple[float, float, int]) -> None:
    """As the worker refuses them."""
    with pytest.raises(SettingsError):
        Rules(*rules)
