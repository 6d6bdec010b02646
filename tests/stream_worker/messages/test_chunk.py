"""A chunk says exactly what was recorded, or it is refused with a reason."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from soundscene.errors import AudioError, SettingsError
from soundscene_worker.messages.chunk import (
    ENCODINGS,
    ChunkHeader,
    ChunkLimits,
    RejectedChunk,
    RejectionReason,
    decode_chunk,
    encode_chunk,
)
from soundscene_worker.messages.schemas import CHUNK_HEADERS, load_schema

HEADER = ChunkHeader(
    device="mic-1",
    session="20260501-a",
    sequence=7,
    first_sample=308_700,
    sample_count=100,
    sample_rate_hz=44_100,
    channels=1,
    encoding="pcm_s16le",
    capture_time=datetime(2026, 5, 1, 12, 0, 0, 250_000, UTC),
    calibration_db=94.5,
)
SAMPLES = np.linspace(-1.0, 1.0, 100, dtype=np.float32)
KEY, VALUE, HEADERS = encode_chunk(HEADER, SAMPLES)
STEPS = {"pcm_s16le": 2.0**-15, "pcm_s24le": 2.0**-23, "pcm_f32le": 0.0, "flac": 2.0**-15}


def changed(**attributes: bytes | None) -> list[tuple[str, bytes]]:
    """The headers with some replaced, or left out where None is given."""
    values = dict(HEADERS) | {f"ce_{name}": value for name, value in attributes.items()}
    return [(name, value) for name, value in values.items() if value is not None]


def reason_of(key: bytes | None = KEY, value: bytes | None = VALUE, headers: Any = HEADERS, **limits: Any) -> str:
    with pytest.raises(RejectedChunk) as caught:
        decode_chunk(key, value, headers, ChunkLimits(**limits))
    assert str(caught.value)
    return caught.value.reason


def names() -> st.SearchStrategy[str]:
    return st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}\Z")


@st.composite
def headers(draw: st.DrawFn) -> ChunkHeader:
    rate = draw(st.sampled_from([4_000, 8_000, 22_050, 44_100, 48_000, 96_000, 384_000]))
    return ChunkHeader(
        device=draw(names()),
        session=draw(names()),
        sequence=draw(st.integers(0, 2**53 - 1)),
        first_sample=draw(st.integers(0, 2**53 - 1)),
        sample_count=draw(st.integers(1, 300)),
        sample_rate_hz=rate,
        channels=draw(st.integers(1, 8)),
        encoding=draw(st.sampled_from(ENCODINGS)),
        capture_time=draw(st.datetimes(timezones=st.just(UTC))),
        calibration_db=draw(st.none() | st.floats(-50, 300)),
    )


@given(headers(), st.integers(0, 2**32 - 1))
def test_a_chunk_comes_back_as_it_was(header: ChunkHeader, seed: int) -> None:
    """Every field and, to the encoding's own step, the mean of the channels survive the way through a record."""
    generator = np.random.default_rng(seed)
    samples = generator.uniform(-1, 0.999, (header.sample_count, header.channels)).astype(np.float32)
    chunk = decode_chunk(*encode_chunk(header, samples))
    assert {name: getattr(chunk, name) for name in ChunkHeader.__slots__} == dataclasses.asdict(header)
    assert chunk.samples.dtype == np.float32
    assert chunk.samples.shape == (header.sample_count,)
    np.testing.assert_allclose(chunk.samples, samples.mean(axis=1), rtol=0, atol=STEPS[header.encoding] / 2 + 1e-6)


@pytest.mark.parametrize(("encoding", "bits"), [("pcm_s16le", 16), ("flac", 16), ("pcm_s24le", 24)])
def test_samples_of_the_encodings_grid_come_back_to_the_bit(encoding: str, bits: int) -> None:
    """Sending on what was received changes nothing, extremes included."""
    scale = 1 << (bits - 1)
    integers = np.random.default_rng(0).integers(-scale, scale, 5_000)
    integers[:2] = -scale, scale - 1
    samples = (integers / scale).astype(np.float32)
    header = dataclasses.replace(HEADER, encoding=encoding, sample_count=len(samples))
    assert np.array_equal(decode_chunk(*encode_chunk(header, samples)).samples, samples)


def test_integers_are_limited_to_full_scale() -> None:
    """What is louder than the encoding can say is clipped, never wrapped round."""
    header = dataclasses.replace(HEADER, sample_count=2)
    chunk = decode_chunk(*encode_chunk(header, np.array([5.0, -5.0], np.float32)))
    np.testing.assert_array_equal(chunk.samples, np.array([1 - 2.0**-15, -1.0], np.float32))


def test_decoded_samples_cannot_be_changed() -> None:
    """Whoever keeps them by reference can rely on them."""
    assert all(
        not decode_chunk(*encode_chunk(dataclasses.replace(HEADER, encoding=encoding), SAMPLES)).samples.flags.writeable
        for encoding in ENCODINGS
    )


def test_the_headers_are_those_of_the_documentation() -> None:
    """The wire form is a contract: names, order and texts."""
    assert KEY == b"mic-1"
    assert HEADERS == [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"soundscene.audio.chunk.v1"),
        ("ce_source", b"/soundscene/sensors/mic-1"),
        ("ce_id", b"20260501-a/7"),
        ("ce_time", b"2026-05-01T12:00:00.250000Z"),
        ("ce_session", b"20260501-a"),
        ("ce_sequence", b"7"),
        ("ce_firstsample", b"308700"),
        ("ce_samplecount", b"100"),
        ("ce_samplerate", b"44100"),
        ("ce_channels", b"1"),
        ("ce_encoding", b"pcm_s16le"),
        ("ce_caldb", b"94.5"),
        ("content-type", b"application/octet-stream"),
    ]


@given(headers())
def test_written_headers_satisfy_the_schema(header: ChunkHeader) -> None:
    """The published schema describes what is sent."""
    validator = Draft202012Validator(load_schema(CHUNK_HEADERS))
    validator.validate({name: value.decode() for name, value in header.pack()})


def test_a_header_is_read_without_its_payload() -> None:
    """Looking at a record costs nothing of its sound."""
    assert ChunkHeader.parse(KEY, HEADERS) == HEADER
    assert HEADER.end_sample == 308_800


def test_headers_of_others_are_left_alone() -> None:
    """Tracing headers, twice or in any bytes, are none of our business."""
    extra = [("traceparent", b"\xff"), ("traceparent", b"00"), *HEADERS]
    assert ChunkHeader.parse(KEY, extra) == HEADER


@pytest.mark.parametrize(
    "name", ["specversion", "type", "source", "id", "time", "session", "sequence", "firstsample", "samplecount",
             "samplerate", "channels", "encoding"],
)  # fmt: skip
def test_each_required_header_is_missed(name: str) -> None:
    """A chunk without it is refused, and the message names it."""
    with pytest.raises(RejectedChunk, match=f"ce_{name}") as caught:
        decode_chunk(KEY, VALUE, changed(**{name: None}))
    assert caught.value.reason == RejectionReason.MISSING_HEADER


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("specversion", b"0.3", "bad_header"),
        ("type", b"soundscene.audio.chunk.v2", "bad_header"),
        ("source", b"", "bad_header"),
        ("time", b"yesterday", "bad_header"),
        ("time", b"9999-01-01T00:00:00Z", "bad_header"),
        ("id", b"", "bad_header"),
        ("session", b"", "bad_header"),
        ("session", b"two words", "bad_header"),
        ("session", b"x" * 129, "bad_header"),
        ("sequence", b"-1", "bad_header"),
        ("sequence", "٣".encode(), "bad_header"),
        ("firstsample", b"1e3", "bad_header"),
        ("firstsample", b"9007199254740992", "bad_header"),
        ("firstsample", b"9" * 100_000, "bad_header"),
        ("samplecount", b"0", "empty"),
        ("samplecount", b"441001", "oversized"),
        ("samplecount", b"101", "truncated"),
        ("samplecount", b"99", "sample_count_mismatch"),
        ("samplerate", b"0", "bad_rate"),
        ("samplerate", b"3999", "bad_rate"),
        ("samplerate", b"384001", "bad_rate"),
        ("samplerate", b"44100.0", "bad_header"),
        ("channels", b"0", "bad_channels"),
        ("channels", b"9", "bad_channels"),
        ("encoding", b"opus", "unknown_encoding"),
        ("encoding", b"PCM_S16LE", "unknown_encoding"),
        ("encoding", b"\xff\xfe", "bad_header"),
        ("encoding", b"flac", "undecodable"),
        ("caldb", b"loud", "bad_header"),
        ("caldb", b"nan", "bad_header"),
        ("caldb", b"301", "bad_header"),
        ("caldb", b"-51", "bad_header"),
    ],
)
def test_a_wrong_header_is_refused_with_its_reason(name: str, value: bytes, reason: str) -> None:
    """Each kind of mistake is counted under its own name."""
    assert reason_of(headers=changed(**{name: value})) == reason


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a b", b"-a", b"x" * 129, b"a\n"])
def test_a_key_that_is_no_device_is_refused(key: bytes | None) -> None:
    """No sound is ever attributed to a made-up device."""
    assert reason_of(key=key) == "bad_device"


def test_a_repeated_header_is_refused() -> None:
    """Which of two values holds would be a guess."""
    assert reason_of(headers=[*HEADERS, ("ce_session", b"20260501-a")]) == "bad_header"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "empty"), (b"", "empty"), (VALUE[:-1], "truncated"), (VALUE + b"\0", "sample_count_mismatch"),
     (b"\0" * 300, "oversized")],
)  # fmt: skip
def test_a_wrong_payload_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    """The payload must be exactly as long as the header says, and no longer than the limit."""
    assert reason_of(value=value, max_bytes=250) == reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(np.nan, "non_finite"), (np.inf, "non_finite"), (-np.inf, "non_finite"), (1_001.0, "out_of_range"),
     (-1_001.0, "out_of_range")],
)  # fmt: skip
def test_floats_must_be_sound(bad: float, reason: str) -> None:
    """One impossible sample spoils a window: the chunk is refused before it can."""
    header = dataclasses.replace(HEADER, encoding="pcm_f32le")
    samples = SAMPLES.copy()
    samples[50] = bad
    assert reason_of(*encode_chunk(header, samples)) == reason


@pytest.mark.parametrize("loud", [999.0, -999.0])
def test_floats_beyond_full_scale_are_taken_as_they_are(loud: float) -> None:
    """A converter with headroom may send them; only what no gain explains is refused."""
    header = dataclasses.replace(HEADER, encoding="pcm_f32le", sample_count=1)
    assert decode_chunk(*encode_chunk(header, np.array([loud], np.float32))).samples == [loud]


def test_what_just_reaches_a_limit_is_taken() -> None:
    """Limits are the most that may be, not the least that may not."""
    header = dataclasses.replace(HEADER, sample_count=44_100, channels=2)
    limits = ChunkLimits(
        max_bytes=4 * 44_100, max_seconds=1.0, min_rate_hz=44_100, max_rate_hz=44_100, max_channels=2,
        max_name_length=len(HEADER.session),
    )  # fmt: skip
    key, value, packed = encode_chunk(header, np.zeros(44_100, np.float32))
    assert len(decode_chunk(key, value, packed, limits).samples) == 44_100


def test_a_record_that_could_not_be_read_is_no_chunk() -> None:
    """However sound it looks: what the reader of the log says of it counts."""
    with pytest.raises(RejectedChunk, match="checksum") as caught:
        decode_chunk(KEY, VALUE, HEADERS, fault="checksum")
    assert caught.value.reason == RejectionReason.UNREADABLE


def test_a_refused_payload_still_tells_which_samples_are_lost() -> None:
    """The error carries the header when only the payload is at fault, and none otherwise."""
    with pytest.raises(RejectedChunk) as caught:
        decode_chunk(KEY, b"", HEADERS)
    assert caught.value.header == HEADER
    with pytest.raises(RejectedChunk) as caught:
        decode_chunk(None, VALUE, HEADERS)
    assert caught.value.header is None


def test_samples_must_fit_the_header() -> None:
    """A sender cannot write a chunk that every receiver would refuse."""
    with pytest.raises(AudioError, match="shape"):
        encode_chunk(HEADER, SAMPLES[:-1])
    with pytest.raises(AudioError, match="no encoding"):
        encode_chunk(dataclasses.replace(HEADER, encoding="mp3"), SAMPLES)


def test_mono_samples_fill_every_channel() -> None:
    """A mono source can be sent as stereo, and its mean is itself."""
    header = dataclasses.replace(HEADER, channels=2)
    key, value, packed = encode_chunk(header, SAMPLES)
    assert len(value) == 400
    np.testing.assert_array_equal(decode_chunk(key, value, packed).samples, decode_chunk(KEY, VALUE, HEADERS).samples)


@pytest.mark.parametrize(
    "values",
    [{"max_bytes": 0}, {"max_bytes": 2**23 + 1}, {"max_seconds": -1.0}, {"min_rate_hz": 9, "max_rate_hz": 8}],
)
def test_impossible_limits_are_refused(values: dict[str, Any]) -> None:
    """No limits exist that nothing could satisfy, nor any for a chunk that the reader of the log never hands over."""
    with pytest.raises(SettingsError):
        ChunkLimits(**values)
