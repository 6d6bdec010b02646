"""FLAC payloads cannot claim more than the header allows: neither memory nor length, neither rate nor channels."""

from __future__ import annotations

import io
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import soundfile

from soundscene.errors import AudioError
from soundscene_worker.messages.chunk import ChunkHeader, RejectedChunk, decode_chunk, encode_chunk


def header(**changes: Any) -> ChunkHeader:
    values: dict[str, Any] = {
        "device": "mic", "session": "s", "sequence": 0, "first_sample": 0, "sample_count": 44_100,
        "sample_rate_hz": 44_100, "channels": 1, "encoding": "flac", "capture_time": datetime(2026, 5, 1, tzinfo=UTC),
    }  # fmt: skip
    return ChunkHeader(**(values | changes))


def flac(frames: int, channels: int = 1, rate_hz: int = 44_100, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((frames, channels), np.float32), rate_hz, format="FLAC", subtype=subtype)
    return buffer.getvalue()


def with_total_samples(payload: bytes, total: int) -> bytes:
    """Forge STREAMINFO: its last 36 bits before the MD5 say how many samples follow (RFC 9639, section 8.2)."""
    forged = bytearray(payload)
    forged[21] = (forged[21] & 0xF0) | (total >> 32)
    forged[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(forged)


def reason_of(payload: bytes, **changes: Any) -> str:
    described = header(**changes)
    with pytest.raises(RejectedChunk) as caught:
        decode_chunk(described.device.encode(), payload, described.pack())
    return caught.value.reason


def test_a_bomb_is_not_decoded() -> None:
    """Ten minutes of silence in few bytes cost no more memory than the second that was announced."""
    bomb = flac(600 * 44_100)
    tracemalloc.start()
    assert reason_of(bomb) == "sample_count_mismatch"
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4_000_000


@pytest.mark.parametrize("total", [2**36 - 1, 2**35, 44_101, 44_099, 1])
def test_a_forged_length_is_refused(total: int) -> None:
    """What STREAMINFO claims is never allocated, and never believed."""
    tracemalloc.start()
    assert reason_of(with_total_samples(flac(44_100), total)) in {"undecodable", "truncated", "sample_count_mismatch"}
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4_000_000


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (flac(44_100, channels=2), "bad_channels"),
        (flac(44_100, rate_hz=48_000), "bad_rate"),
        (flac(44_099), "truncated"),
        (flac(44_101), "sample_count_mismatch"),
        (flac(44_100)[:200], "undecodable"),
        (b"fLaC", "undecodable"),
        (b"RIFF" + bytes(100), "undecodable"),
    ],
)
def test_a_stream_that_is_not_what_the_header_says_is_refused(payload: bytes, reason: str) -> None:
    """The header is the contract; another container is no FLAC either."""
    assert reason_of(payload) == reason


def test_one_wrong_bit_is_noticed() -> None:
    """The checksums of FLAC's frames are looked at: damaged sound is refused, not played."""
    described = header()
    noise = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    _, payload, _ = encode_chunk(described, noise)
    for at in range(5_000, len(payload), 9_973):
        damaged = bytearray(payload)
        damaged[at] ^= 4
        assert reason_of(bytes(damaged)) == "undecodable"


def test_24_bits_are_read() -> None:
    """FLAC of another word length than we write is FLAC all the same."""
    described = header(sample_count=100)
    chunk = decode_chunk(b"mic", flac(100, subtype="PCM_24"), described.pack())
    assert not chunk.samples.any()


def test_a_rate_that_flac_cannot_hold_is_said_to_the_sender() -> None:
    """The message names the way out."""
    with pytest.raises(AudioError, match="choose a pcm encoding"):
        encode_chunk(header(sample_count=10, sample_rate_hz=65_537), np.zeros(10, np.float32))
