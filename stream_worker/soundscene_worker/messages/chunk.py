"""An audio chunk: its header is the record's headers, its payload the record's value, its key the device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError
from soundscene_worker.messages.cloud_events import Headers, pack_headers
from soundscene_worker.messages.encodings import ENCODINGS, AudioFormat, decode_payload, encode_payload
from soundscene_worker.messages.header_fields import HeaderFields, parse_device
from soundscene_worker.messages.limits import ChunkLimits, RejectedChunk, RejectionReason
from soundscene_worker.messages.times import format_time

__all__ = [
    "CHUNK_TYPE",
    "ENCODINGS",
    "AudioChunk",
    "ChunkHeader",
    "ChunkLimits",
    "RejectedChunk",
    "RejectionReason",
    "decode_chunk",
    "encode_chunk",
]

CHUNK_TYPE: Final = "soundscene.audio.chunk.v1"

_DEFAULT_LIMITS: Final = ChunkLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkHeader:
    """What a chunk says of itself.

    Parameters
    ----------
    device, session : str
        Who recorded it, and in which run: a restart begins a new session. ASCII letters, digits and `._:@+/-`,
        a letter or digit first.
    sequence : int >= 0
        Number of the chunk in the session.
    first_sample : int >= 0
        Index of its first sample in the session, counted per channel.
    sample_count : int > 0
        Samples per channel.
    sample_rate_hz, channels : int > 0
        Format.
    encoding : str
        One of `ENCODINGS`.
    capture_time : datetime
        When its first sample was recorded, by the device's clock. UTC.
    calibration_db : float or None
        Sound pressure level in dB SPL that digital full scale stands for.
    """

    device: str
    session: str
    sequence: int
    first_sample: int
    sample_count: int
    sample_rate_hz: int
    channels: int
    encoding: str
    capture_time: datetime
    calibration_db: float | None = None

    @property
    def end_sample(self) -> int:
        """One after its last sample."""
        return self.first_sample + self.sample_count

    @classmethod
    def parse(
        cls, key: bytes | None, headers: Iterable[tuple[str, bytes | None]], limits: ChunkLimits = _DEFAULT_LIMITS
    ) -> Self:
        """Read and check a record's key and headers; the payload is not looked at.

        Raises
        ------
        RejectedChunk
            A header is missing, malformed, repeated or outside the limits.
        """
        fields = HeaderFields.read(headers, CHUNK_TYPE)
        header = cls(
            device=parse_device(key, limits),
            session=fields.name("session", limits),
            sequence=fields.integer("sequence"),
            first_sample=fields.integer("firstsample"),
            sample_count=fields.integer("samplecount"),
            sample_rate_hz=fields.integer("samplerate"),
            channels=fields.integer("channels"),
            encoding=fields.text("encoding"),
            capture_time=fields.time("time"),
            calibration_db=fields.calibration("caldb"),
        )
        header._check(limits)
        return header

    def pack(self) -> Headers:
        """Write the headers of a record; the key is the device."""
        attributes = {
            "type": CHUNK_TYPE,
            "source": f"/soundscene/sensors/{self.device}",
            "id": f"{self.session}/{self.sequence}",
            "time": format_time(self.capture_time),
            "session": self.session,
            "sequence": str(self.sequence),
            "firstsample": str(self.first_sample),
            "samplecount": str(self.sample_count),
            "samplerate": str(self.sample_rate_hz),
            "channels": str(self.channels),
            "encoding": self.encoding,
        }
        if self.calibration_db is not None:
            attributes["caldb"] = repr(float(self.calibration_db))
        return pack_headers(attributes, "audio/flac" if self.encoding == "flac" else "application/octet-stream")

    def _check(self, limits: ChunkLimits) -> None:
        if self.encoding not in ENCODINGS:
            raise RejectedChunk(
                RejectionReason.UNKNOWN_ENCODING,
                f"expected ce_encoding to be one of {', '.join(ENCODINGS)}, got {self.encoding[:40]!r}",
            )
        if not limits.min_rate_hz <= self.sample_rate_hz <= limits.max_rate_hz:
            raise RejectedChunk(
                RejectionReason.BAD_RATE,
                f"expected ce_samplerate from {limits.min_rate_hz} to {limits.max_rate_hz}, got {self.sample_rate_hz}",
            )
        if not 1 <= self.channels <= limits.max_channels:
            raise RejectedChunk(
                RejectionReason.BAD_CHANNELS,
                f"expected ce_channels from 1 to {limits.max_channels}, got {self.channels}",
            )
        if self.sample_count < 1:
            raise RejectedChunk(RejectionReason.EMPTY, "expected ce_samplecount to be at least 1, got 0")
        if self.sample_count > limits.max_seconds * self.sample_rate_hz:
            raise RejectedChunk(
                RejectionReason.OVERSIZED,
                f"expected at most {limits.max_seconds:g} s, got {self.sample_count} samples "
                f"at {self.sample_rate_hz} Hz: send shorter chunks",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioChunk(ChunkHeader):
    """A decoded chunk.

    Parameters
    ----------
    samples : np.ndarray [shape=(sample_count,), float32]
        Mean of the channels, full scale 1.0, finite, read-only when it comes from `decode_chunk`.
    """

    samples: NDArray[np.float32]


def encode_chunk(header: ChunkHeader, samples: NDArray[np.float32]) -> tuple[bytes, bytes, Headers]:
    """Write a record.

    Parameters
    ----------
    header : ChunkHeader
        An `AudioChunk` is one too.
    samples : np.ndarray [shape=(sample_count,) or (sample_count, channels), float32]
        Full scale 1.0. One-dimensional samples are written to every channel.

    Returns
    -------
    tuple of key, value and headers
        As a producer takes them.

    Raises
    ------
    AudioError
        The samples do not fit the header, or the encoding cannot express them.

    Examples
    --------
    >>> from datetime import UTC
    >>> header = ChunkHeader(device="mic-1", session="a", sequence=0, first_sample=0, sample_count=2, channels=1,
    ...     sample_rate_hz=44_100, encoding="pcm_s16le", capture_time=datetime(2026, 5, 1, tzinfo=UTC))
    >>> key, value, headers = encode_chunk(header, np.array([0.5, -0.5], np.float32))
    >>> key, value.hex(), headers[0]
    (b'mic-1', '004000c0', ('ce_specversion', b'1.0'))
    """
    frames = samples[:, np.newaxis] if samples.ndim == 1 else samples
    frames = np.broadcast_to(frames, (len(frames), header.channels)) if frames.shape[1] == 1 else frames
    expected = (header.sample_count, header.channels)
    if frames.shape != expected:
        raise AudioError(f"expected samples of shape {expected} as the header says, got {samples.shape}")
    value = encode_payload(header.encoding, header.sample_rate_hz, np.ascontiguousarray(frames))
    return header.device.encode(), value, header.pack()


def decode_chunk(
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
    limits: ChunkLimits = _DEFAULT_LIMITS,
    fault: str = "",
) -> AudioChunk:
    """Read a record: header first, then the payload within the limits; one that has a fault is none.

    Raises
    ------
    RejectedChunk
        Whatever is wrong with it; nothing else is ever raised. When only the payload is at fault, the error
        carries the header.
    """
    if fault:
        raise RejectedChunk(RejectionReason.UNREADABLE, fault)
    header = ChunkHeader.parse(key, headers, limits)
    try:
        samples = _decode_samples(value or b"", header, limits)
    except RejectedChunk as rejected:
        raise RejectedChunk(rejected.reason, str(rejected), header) from rejected.__cause__
    return AudioChunk(**{name: getattr(header, name) for name in ChunkHeader.__slots__}, samples=samples)


def _decode_samples(value: bytes, header: ChunkHeader, limits: ChunkLimits) -> NDArray[np.float32]:
    if not value:
        raise RejectedChunk(RejectionReason.EMPTY, "expected a payload, got none")
    if len(value) > limits.max_bytes:
        raise RejectedChunk(
            RejectionReason.OVERSIZED, f"expected a payload of at most {limits.max_bytes} bytes, got {len(value)}"
        )
    expected = AudioFormat(header.sample_rate_hz, header.channels, header.sample_count)
    return decode_payload(header.encoding, value, expected)
