"""A dead letter tells what happened and where, keeps sound private, and cannot flood."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene.errors import SettingsError
from soundscene_worker.broker.protocol import Record
from soundscene_worker.messages.dead_letter import DeadLetterOffice, DeadLetterPolicy

RECORD = Record(
    topic="audio.chunks",
    partition=3,
    offset=42,
    timestamp_ms=1_777_636_800_250,
    key=b"mic-1",
    value=b"somebody speaking",
    headers=(("ce_session", b"a"), ("x", b"\xff")),
)


def test_origin_and_reason_are_in_the_headers() -> None:
    """Whoever repairs the sensor finds the record again and learns what was expected of it."""
    letter = DeadLetterOffice(DeadLetterPolicy()).write(RECORD, "bad_rate", "expected ce_samplerate ...", 0.0)
    assert letter is not None
    assert letter.key == b"mic-1"
    assert letter.headers == [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"soundscene.dead.letter.v1"),
        ("ce_source", b"/soundscene/worker"),
        ("ce_id", b"audio.chunks/3/42"),
        ("ce_time", b"2026-05-01T12:00:00.250000Z"),
        ("origin_topic", b"audio.chunks"),
        ("origin_partition", b"3"),
        ("origin_offset", b"42"),
        ("origin_timestamp_ms", b"1777636800250"),
        ("reason", b"bad_rate"),
        ("message", b"expected ce_samplerate ..."),
        ("withheld_before", b"0"),
        ("original_ce_session", b"a"),
        ("original_x", b"\xff"),
    ]


def test_sound_is_left_out_unless_asked_for() -> None:
    """People's voices go to the topic only by an operator's decision."""
    quiet = DeadLetterOffice(DeadLetterPolicy()).write(RECORD, "empty", "", 0.0)
    loud = DeadLetterOffice(DeadLetterPolicy(include_payload=True)).write(RECORD, "empty", "", 0.0)
    assert quiet is not None
    assert quiet.value == b""
    assert loud is not None
    assert loud.value == b"somebody speaking"


def test_after_a_burst_letters_are_counted_instead() -> None:
    """The next letter says how many are missing before it."""
    office = DeadLetterOffice(DeadLetterPolicy(burst=2, letters_per_second=0.5))
    written = [office.write(RECORD, "empty", "", now) is not None for now in (0.0, 0.0, 0.0, 1.0, 2.0, 3.0)]
    assert written == [True, True, False, False, True, False]
    letter = office.write(RECORD, "empty", "", 4.0)
    assert letter is not None
    assert ("withheld_before", b"1") in letter.headers


@given(st.lists(st.floats(0, 10), max_size=60), st.integers(1, 5), st.floats(0.1, 5))
def test_there_are_never_more_letters_than_the_policy_allows(
    pauses: list[float], burst: int, letters_per_second: float
) -> None:
    """Over any span the count stays below the burst and the rate, and each letter tells how many were left out."""
    office = DeadLetterOffice(DeadLetterPolicy(burst=burst, letters_per_second=letters_per_second))
    now, withheld, written = 0.0, 0, list[float]()
    for pause in pauses:
        now += pause
        letter = office.write(RECORD, "empty", "", now)
        if letter is None:
            withheld += 1
            continue
        assert dict(letter.headers)["withheld_before"] == str(withheld).encode()
        withheld = 0
        written.append(now)
    for count, since in enumerate(reversed(written), 1):
        assert count <= burst + (written[-1] - since) * letters_per_second + 1e-6


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1])
def test_a_hostile_record_makes_a_small_letter(timestamp_ms: int) -> None:
    """Huge keys and headers, impossible times and broken text are cut down, never raised."""
    hostile = replace(
        RECORD, key=b"k" * 513, headers=(("a", b"b" * 100_000), ("c", b"d")), timestamp_ms=timestamp_ms, value=None
    )
    letter = DeadLetterOffice(DeadLetterPolicy(include_payload=True)).write(hostile, "empty", "\ud800" + "x" * 9_999, 0)
    assert letter is not None
    assert letter.key is None
    assert letter.value == b""
    assert dict(letter.headers)["origin_timestamp_ms"] == str(timestamp_ms).encode()
    assert sum(len(name) + len(value) for name, value in letter.headers) < 10_000


@pytest.mark.parametrize("values", [{"burst": 0}, {"letters_per_second": 0.0}])
def test_a_policy_that_allows_nothing_is_refused(values: dict[str, float]) -> None:
    """Use no topic at all instead."""
    with pytest.raises(SettingsError):
        DeadLetterPolicy(**values)  # type: ignore[arg-type]
