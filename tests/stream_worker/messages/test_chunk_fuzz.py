"""Whatever stands in a record, the decoder answers with a chunk or with RejectedChunk."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soundscene_worker.messages.chunk import ENCODINGS, ChunkHeader, RejectedChunk, decode_chunk, encode_chunk
from soundscene_worker.messages.times import parse_time

NAMES = ["specversion", "type", "source", "id", "time", "session", "sequence", "firstsample", "samplecount",
         "samplerate", "channels", "encoding", "caldb"]  # fmt: skip
TONE = np.sin(np.arange(2_000) / 5).astype(np.float32)


def record(encoding: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    header = ChunkHeader(
        device="mic",
        session="s",
        sequence=0,
        first_sample=0,
        sample_count=len(TONE),
        sample_rate_hz=44_100,
        channels=1,
        encoding=encoding,
        capture_time=parse_time("2026-05-01T00:00:00Z"),
    )
    return encode_chunk(header, TONE)


RECORDS = {encoding: record(encoding) for encoding in ENCODINGS}


def survives(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> None:
    try:
        chunk = decode_chunk(key, value, headers)
    except RejectedChunk:
        return
    assert chunk.samples.shape == (chunk.sample_count,)
    assert np.isfinite(chunk.samples).all()


@given(
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=500),
    st.lists(st.tuples(st.sampled_from([f"ce_{name}" for name in NAMES]) | st.text(), st.none() | st.binary())),
)
def test_arbitrary_records(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    """Random bytes everywhere."""
    survives(key, value, headers)


@given(
    st.sampled_from(ENCODINGS),
    st.dictionaries(
        st.sampled_from([f"ce_{name}" for name in NAMES]),
        st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode()) | st.text(max_size=30).map(str.encode),
    ),
)
@example("pcm_s16le", {"ce_samplecount": b"2000", "ce_channels": b"8", "ce_samplerate": b"384000"})
def test_records_with_some_headers_spoilt(encoding: str, spoilt: dict[str, bytes]) -> None:
    """A record that is right but for a few headers."""
    key, value, headers = RECORDS[encoding]
    survives(key, value, list((dict(headers) | spoilt).items()))


@given(st.sampled_from(ENCODINGS), st.data())
def test_payloads_with_some_bytes_spoilt(encoding: str, data: st.DataObject) -> None:
    """A payload with bytes changed, cut off, put in or added: FLAC above all."""
    key, value, headers = RECORDS[encoding]
    at = data.draw(st.integers(0, len(value)) | st.integers(0, 60))
    removed = data.draw(st.integers(0, 40))
    put_in = data.draw(st.binary(max_size=40))
    survives(key, value[:at] + put_in + value[at + removed :], headers)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_after_the_flac_magic(tail: bytes) -> None:
    """The FLAC library sees hostile bytes first."""
    key, _, headers = RECORDS["flac"]
    survives(key, b"fLaC" + tail, headers)


def test_the_fuzzer_would_notice() -> None:
    """The helper itself fails on anything that is not RejectedChunk."""
    with pytest.raises(TypeError):
        survives(b"mic", b"x", 5)  # type: ignore[arg-type]
