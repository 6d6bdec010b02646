"""What the log says must exist: every window whose samples were heard in one session, and no other."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundscene.errors import SettingsError
from soundscene.settings import FrontEndSettings
from soundscene_worker.audit.expectation import ChunkAudit, Rules
from soundscene_worker.audit.geometry import Geometry
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


@settings(max_examples=100, deadline=None)
@given(logs(), st.sampled_from([0.0, 0.05, 0.3]), st.sampled_from([0.05, 0.2, 2.0]), st.integers(1, 3))
def test_the_auditor_expects_what_the_worker_publishes(
    records: list[Record], hold_back_seconds: float, idle_seconds: float, sessions_per_device: int
) -> None:
    """Two implementations that share no code come to the same windows for every log and all rules."""
    policy = StreamPolicy(FRONT_END, SMOOTHING, hold_back_seconds, idle_seconds, sessions_per_device)
    state = PartitionState(policy, CommitPoint(0, 0, None))
    published: set[tuple[tuple[str, str, int], int]] = set()
    audit = ChunkAudit(GEOMETRY, Rules(hold_back_seconds, idle_seconds, sessions_per_device))
    for item in records:
        audit.take(item)
        chunk = decode(item)
        if chunk is not None:
            ready = state.take(item.offset, item.timestamp_ms, chunk).windows
            published.update((window.key, window.window.first_sample) for window in ready)
    assert {(tuple(run), first) for run, first in audit.windows()} == published


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
