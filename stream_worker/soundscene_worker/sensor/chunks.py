"""From a source to numbered chunks with honest capture times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from soundscene.errors import SettingsError
from soundscene_worker.messages.chunk import ENCODINGS, ChunkHeader, encode_chunk
from soundscene_worker.messages.cloud_events import Headers
from soundscene_worker.messages.header_fields import CALIBRATION_RANGE_DB
from soundscene_worker.messages.limits import ChunkLimits
from soundscene_worker.sensor.sources import Frames, Source

__all__ = ["ChunkFormat", "Outgoing", "cut", "require_rate"]

_LIMITS: Final = ChunkLimits()
_SHORTEST_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """How sound is cut and written.

    Parameters
    ----------
    chunk_seconds : float
        Length of a chunk, from 0.05 to what a worker takes by default; the last one of a source may be shorter.
    encoding : str
        One of `ENCODINGS`.
    channels : int > 0
        As many as a worker takes. A source with other channels is mixed down to their mean, and written to each.
    calibration_db : float or None
        Sound pressure level in dB SPL that digital full scale stands for.

    Raises
    ------
    SettingsError
        A value is outside its range.
    """

    chunk_seconds: float = 1.0
    encoding: str = "pcm_s16le"
    channels: int = 1
    calibration_db: float | None = None

    def __post_init__(self) -> None:
        """Check every range."""
        longest_seconds, most_channels = _LIMITS.max_seconds, _LIMITS.max_channels
        if not _SHORTEST_SECONDS <= self.chunk_seconds <= longest_seconds:
            expected = f"chunks of {_SHORTEST_SECONDS:g} to {longest_seconds:g} seconds"
            raise SettingsError(f"expected {expected}, got {self.chunk_seconds:g}")
        if self.encoding not in ENCODINGS:
            raise SettingsError(f"expected an encoding out of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if not 1 <= self.channels <= most_channels:
            raise SettingsError(f"expected 1 to {most_channels} channels, got {self.channels}")
        low_db, high_db = CALIBRATION_RANGE_DB
        if self.calibration_db is not None and not low_db <= self.calibration_db <= high_db:
            raise SettingsError(f"expected a calibration of {low_db:g} to {high_db:g} dB, got {self.calibration_db:g}")


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """A chunk on its way to the broker.

    Parameters
    ----------
    header : ChunkHeader
        What it says of itself.
    samples : np.ndarray [shape=(sample_count, channels), float32]
        The sound.
    position_seconds : float >= 0
        Where it begins in the device's sound; restarts do not count.
    due_seconds : float >= 0
        When it is to be sent, at the earliest at its end.
    is_sent : bool
        False for one that was dropped on purpose.
    damage : str or None
        What `record` is to spoil: a name out of `faults.DAMAGES`.
    faults : tuple of str
        What was done to it, for the journal.
    """

    header: ChunkHeader
    samples: Frames
    position_seconds: float
    due_seconds: float
    is_sent: bool = True
    damage: str | None = None
    faults: tuple[str, ...] = ()

    def with_fault(self, name: str, **changes: object) -> Outgoing:
        """Return a copy with changes and the name of the fault noted."""
        return replace(self, faults=(*self.faults, name), **changes)  # type: ignore[arg-type]

    def record(self) -> tuple[bytes, bytes, Headers]:
        """Return key, value and headers."""
        key, value, headers = encode_chunk(self.header, self.samples)
        match self.damage:
            case "truncated":
                value = value[: len(value) // 2]
            case "header lost":
                headers = [header for header in headers if header[0] != "ce_samplerate"]
            case "encoding unknown":
                headers = [(name, b"opus" if name == "ce_encoding" else text) for name, text in headers]
            case "header garbled":
                headers = [(name, b"\xff\xfe" if name == "ce_firstsample" else text) for name, text in headers]
        return key, value, headers


def require_rate(rate_hz: int) -> None:
    """Refuse a sample rate that no worker takes.

    Raises
    ------
    SettingsError
        It is too low or too high.
    """
    low_hz, high_hz = _LIMITS.min_rate_hz, _LIMITS.max_rate_hz
    if not low_hz <= rate_hz <= high_hz:
        raise SettingsError(f"expected a rate of {low_hz} to {high_hz} Hz, got {rate_hz}")


def cut(
    source: Source,
    device: str,
    session: str,
    chunk_format: ChunkFormat,
    *,
    start: datetime,
    offset_seconds: float = 0.0,
    most_seconds: float | None = None,
) -> Iterator[Outgoing]:
    """Cut a source into chunks, numbered from 0 without a gap.

    Parameters
    ----------
    source : Source
        The sound.
    device, session : str
        Whose.
    chunk_format : ChunkFormat
        How to cut.
    start : datetime
        Capture time at `offset_seconds` 0.
    offset_seconds : float >= 0
        By how much this device begins later than `start`.
    most_seconds : float or None
        Where to stop; None: at the end of the source.
    """
    rate_hz = source.sample_rate_hz
    first = 0
    for sequence, samples in enumerate(_chunks(source, chunk_format, most_seconds)):
        position_seconds = first / rate_hz
        header = ChunkHeader(
            device=device,
            session=session,
            sequence=sequence,
            first_sample=first,
            sample_count=len(samples),
            sample_rate_hz=rate_hz,
            channels=chunk_format.channels,
            encoding=chunk_format.encoding,
            capture_time=start + timedelta(seconds=offset_seconds + position_seconds),
            calibration_db=chunk_format.calibration_db,
        )
        first += len(samples)
        yield Outgoing(header, samples, position_seconds, offset_seconds + first / rate_hz)


def _chunks(source: Source, chunk_format: ChunkFormat, most_seconds: float | None) -> Iterator[Frames]:
    """Yield frames of the chunk's length, with the wanted channels; the last ones may be fewer."""
    count = max(1, round(chunk_format.chunk_seconds * source.sample_rate_hz))
    left = None if most_seconds is None else round(most_seconds * source.sample_rate_hz)
    rest = np.zeros((0, chunk_format.channels), np.float32)
    for block in source.blocks():
        rest = np.concatenate([rest, _with_channels(block, chunk_format.channels)])
        while len(rest) >= count and (left is None or left >= count):
            yield rest[:count]
            rest = rest[count:]
            left = None if left is None else left - count
        if left is not None and left <= len(rest):
            rest = rest[:left]
            break
    if len(rest):
        yield rest


def _with_channels(block: Frames, channels: int) -> Frames:
    if block.shape[1] == channels:
        return block
    mean = block.mean(axis=1, keepdims=True, dtype=np.float32)
    return np.repeat(mean, channels, axis=1)
