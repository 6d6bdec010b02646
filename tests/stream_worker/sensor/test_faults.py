"""Sensors misbehave exactly as ordered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from soundscene.errors import SettingsError
from soundscene_worker.messages.chunk import ChunkHeader, RejectedChunk, decode_chunk
from soundscene_worker.sensor.chunks import Outgoing
from soundscene_worker.sensor.faults import DAMAGES, FAULT_KINDS, Fault, misbehave

RATE_HZ = 8_000
START = datetime(2026, 5, 1, tzinfo=UTC)


def stream(count: int) -> list[Outgoing]:
    """So many chunks of a second, of a quiet tone."""
    tone = (0.1 * np.sin(np.arange(RATE_HZ) / 7)).astype(np.float32)[:, np.newaxis]
    return [
        Outgoing(
            ChunkHeader(
                device="mic",
                session="s",
                sequence=number,
                first_sample=number * RATE_HZ,
                sample_count=RATE_HZ,
                sample_rate_hz=RATE_HZ,
                channels=1,
                encoding="pcm_s16le",
                capture_time=START + timedelta(seconds=number),
            ),
            tone,
            float(number),
            number + 1.0,
        )
        for number in range(count)
    ]


def struck(rule: str, count: int = 10, seed: int = 0) -> list[Outgoing]:
    return list(misbehave(stream(count), [Fault.parse(rule)], np.random.default_rng(seed)))


def sequence(chunks: Sequence[Outgoing]) -> list[int]:
    return [chunk.header.sequence for chunk in chunks]


def test_without_faults_nothing_happens() -> None:
    """The same chunks, in the same order."""
    chunks = stream(5)
    assert list(misbehave(chunks, [], np.random.default_rng(0))) == chunks


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_can_be_ordered_and_repeated(kind: str) -> None:
    """By chance or by time; the same seed gives the same faults, and no chunk is lost but by `drop`."""
    for rule in (f"{kind}:0.5", f"{kind}@3", f"{kind}@3+4"):
        first, again = struck(rule), struck(rule)
        assert [(c.header, c.faults, c.damage) for c in first] == [(c.header, c.faults, c.damage) for c in again]
        assert any(kind in chunk.faults for chunk in first)
        assert len({chunk.header.capture_time for chunk in first}) == 10
    assert not any(chunk.faults for chunk in struck(f"{kind}:0"))


def test_chances_are_about_right() -> None:
    """A probability is one."""
    hits = sum(not chunk.is_sent for chunk in struck("drop:0.2", count=2_000))
    assert 340 < hits < 460


def test_times_are_those_of_the_sound() -> None:
    """A moment strikes the chunk that holds it, a duration every chunk it touches."""
    assert [n for n, chunk in enumerate(struck("drop@3")) if not chunk.is_sent] == [3]
    assert [n for n, chunk in enumerate(struck("drop@3.5")) if not chunk.is_sent] == [3]
    assert [n for n, chunk in enumerate(struck("drop@2.5+2")) if not chunk.is_sent] == [2, 3, 4]


def test_a_duplicate_follows_its_original() -> None:
    """With the same numbers."""
    assert sequence(struck("duplicate@3", 6)) == [0, 1, 2, 3, 3, 4, 5]


def test_reordered_chunks_are_overtaken() -> None:
    """By as many as ordered; at the end of the sound they come last; nothing is due before what went before it."""
    assert sequence(struck("reorder@3", 7)) == [0, 1, 2, 4, 3, 5, 6]
    late = struck("reorder@1=3", 7)
    assert sequence(late) == [0, 2, 3, 4, 1, 5, 6]
    assert [chunk.due_seconds for chunk in late] == sorted(chunk.due_seconds for chunk in late)
    assert sequence(struck("reorder@6=3", 7)) == [0, 1, 2, 3, 4, 5, 6]
    assert sequence(struck("reorder@1+2=2", 7)) == [0, 3, 4, 1, 2, 5, 6]


def test_a_restart_begins_a_session_at_0() -> None:
    """Another name, numbers from 0; capture times go on."""
    chunks = struck("restart@3", 6)
    assert [chunk.header.session for chunk in chunks] == ["s", "s", "s", "s.1", "s.1", "s.1"]
    assert sequence(chunks) == [0, 1, 2, 0, 1, 2]
    assert [chunk.header.first_sample for chunk in chunks[3:]] == [0, RATE_HZ, 2 * RATE_HZ]
    assert chunks[4].header.capture_time == START + timedelta(seconds=4)


def test_the_rate_changes_and_comes_back() -> None:
    """Samples, counts and indices fit the other rate, at the same place in time."""
    chunks = struck("rate@2+2=16000", 6)
    assert [chunk.header.sample_rate_hz for chunk in chunks] == [8_000, 8_000, 16_000, 16_000, 8_000, 8_000]
    assert [chunk.header.first_sample for chunk in chunks] == [0, 8_000, 32_000, 48_000, 32_000, 40_000]
    assert all(chunk.header.sample_count == len(chunk.samples) == 16_000 for chunk in chunks[2:4])
    assert [bool(chunk.faults) for chunk in chunks] == [False, False, True, False, True, False]
    forever = [chunk.header.sample_rate_hz for chunk in struck("rate@2", 6)]
    assert forever == [8_000] * 2 + [48_000] * 4


def test_clipping_and_silence_change_the_sound_alone() -> None:
    """Full scale at most, or nothing at all."""
    clipped, silent = struck("clip@3")[3], struck("silence@3")[3]
    assert np.mean(np.abs(clipped.samples) == 1.0) > 0.5
    assert not silent.samples.any()
    assert clipped.header == silent.header == stream(4)[3].header


def test_each_damage_is_refused_by_the_decoder() -> None:
    """A corrupt chunk never passes for a good one, and all damages occur."""
    chunks = struck("corrupt:1", 40)
    assert {chunk.damage for chunk in chunks} == set(DAMAGES)
    for chunk in chunks:
        with pytest.raises(RejectedChunk):
            decode_chunk(*chunk.record())


def test_faults_add_up() -> None:
    """Several rules at once, each with its own chances."""
    rules = [Fault.parse("restart@2"), Fault.parse("drop@4"), Fault.parse("duplicate@5")]
    chunks = list(misbehave(stream(7), rules, np.random.default_rng(0)))
    assert sequence(chunks) == [0, 1, 0, 1, 2, 3, 3, 4]
    assert [chunk.is_sent for chunk in chunks] == [True] * 4 + [False] + [True] * 3


@pytest.mark.parametrize(
    "rule",
    ["", "drop", "drop:", "drop:2", "drop:0.1.2", "explode:0.1", "drop@-1", "drop:0.1@3", "rate@3=100",
     "reorder@3=0", "Drop:0.1"],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(rule: str) -> None:
    """Before anything is sent, with the way out."""
    with pytest.raises(SettingsError):
        Fault.parse(rule)


@pytest.mark.parametrize("values", [{}, {"probability": 0.1, "at_seconds": 3.0}])
def test_a_fault_needs_one_occasion(values: dict[str, Any]) -> None:
    """Chance or time, not both, not neither."""
    with pytest.raises(SettingsError, match="either"):
        Fault("drop", **values)
