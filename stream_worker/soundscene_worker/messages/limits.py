"""What a chunk may be, and how one that is not is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from soundscene.errors import SceneError, SettingsError

if TYPE_CHECKING:
    from soundscene_worker.messages.chunk import ChunkHeader

__all__ = ["LARGEST_CHUNK_BYTES", "ChunkLimits", "RejectedChunk", "RejectionReason"]

LARGEST_CHUNK_BYTES: Final = 8 * 1024**2
"""Most that `ChunkLimits.max_bytes` may be: no record much larger is read, so that a poll takes bounded memory."""


class RejectionReason(StrEnum):
    """Why a chunk is refused: a closed set, because counters are labelled with it."""

    MISSING_HEADER = "missing_header"
    BAD_HEADER = "bad_header"
    BAD_DEVICE = "bad_device"
    UNKNOWN_ENCODING = "unknown_encoding"
    BAD_RATE = "bad_rate"
    BAD_CHANNELS = "bad_channels"
    EMPTY = "empty"
    OVERSIZED = "oversized"
    TRUNCATED = "truncated"
    SAMPLE_COUNT_MISMATCH = "sample_count_mismatch"
    NON_FINITE = "non_finite"
    OUT_OF_RANGE = "out_of_range"
    UNDECODABLE = "undecodable"
    UNREADABLE = "unreadable"


class RejectedChunk(SceneError):  # noqa: N818 - what happened to the chunk, not to the program
    """A record that is no usable audio chunk; trying again cannot help.

    Parameters
    ----------
    reason : RejectionReason
        For counters and dead letters.
    message : str
        What was expected and what was found; never any of the payload.
    header : ChunkHeader or None
        The chunk's header when only its payload is at fault: it tells which samples are lost.
    """

    def __init__(self, reason: RejectionReason, message: str, header: ChunkHeader | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.header = header


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Bounds that are checked before anything is decoded.

    Parameters
    ----------
    max_bytes : int > 0, at most `LARGEST_CHUNK_BYTES`
        Size of the payload as it arrives.
    max_seconds : float > 0
        Duration of a chunk. With `max_rate_hz` and `max_channels` it bounds the memory a decoder may use.
    min_rate_hz, max_rate_hz : int > 0
        Sample rates taken.
    max_channels : int > 0
        Channels taken.
    max_name_length : int > 0
        Characters of a device or session id.

    Raises
    ------
    SettingsError
        A bound is not positive and finite, `max_bytes` is too large, or the rates are the wrong way round.
    """

    max_bytes: int = 4 * 1024 * 1024
    max_seconds: float = 10.0
    min_rate_hz: int = 4_000
    max_rate_hz: int = 384_000
    max_channels: int = 8
    max_name_length: int = 128

    def __post_init__(self) -> None:
        """Check every range."""
        for name in self.__slots__:
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} must be above 0 and finite, got {getattr(self, name)!r}")
        if self.max_bytes > LARGEST_CHUNK_BYTES:
            raise SettingsError(f"max_bytes must be at most {LARGEST_CHUNK_BYTES}, got {self.max_bytes}")
        if self.min_rate_hz > self.max_rate_hz:
            raise SettingsError(f"min_rate_hz ({self.min_rate_hz}) must not exceed max_rate_hz ({self.max_rate_hz})")
