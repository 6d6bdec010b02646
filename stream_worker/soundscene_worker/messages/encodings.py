"""Samples to bytes and back, for the four encodings of a chunk.

Integers are scaled by a power of two (full scale 1.0 is 2**15 or 2**23), so that every sample a chunk can hold is
exactly a float32.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError
from soundscene_worker.messages.limits import RejectedChunk, RejectionReason

__all__ = ["ENCODINGS", "AudioFormat", "decode_payload", "encode_payload"]

Frames = NDArray[np.float32]
"""Samples of shape (frames, channels)."""

_FLAC_MAGIC: Final = b"fLaC"
_FLAC_BLOCK_FRAMES: Final = 16_384
_MAX_MAGNITUDE: Final = 1_000.0  # 60 dB above full scale: no gain explains it, a forgotten scaling does


class AudioFormat(NamedTuple):
    """What a payload claims to be: frames are samples per channel."""

    sample_rate_hz: int
    channels: int
    frames: int


def encode_payload(encoding: str, sample_rate_hz: int, frames: Frames) -> bytes:
    """Write samples; integers are rounded to nearest and limited to full scale. FLAC has 16 bits.

    Parameters
    ----------
    encoding : str
        One of `ENCODINGS`.
    sample_rate_hz : int
        Only FLAC writes it down.
    frames : np.ndarray [shape=(frames, channels), float32]
        Full scale 1.0.

    Raises
    ------
    AudioError
        The encoding is unknown, or FLAC cannot express the rate (above 65,535 Hz it takes multiples of 10).
    """
    if encoding not in _CODECS:
        raise AudioError(f"no encoding {encoding!r}; there are {', '.join(ENCODINGS)}")
    return _CODECS[encoding].encode(frames, sample_rate_hz)


def decode_payload(encoding: str, payload: bytes, expected: AudioFormat) -> NDArray[np.float32]:
    """Read a payload and mix it down to the mean of its channels.

    Decodes no more than one block beyond the frames expected, whatever the payload claims of itself.

    Returns
    -------
    np.ndarray [shape=(frames,), float32]
        Finite samples; read-only.

    Raises
    ------
    RejectedChunk
        The payload is not what the header says.
    """
    frames = _CODECS[encoding].decode(payload, expected)
    peak = float(np.max(np.abs(frames)))
    if not np.isfinite(peak):
        raise RejectedChunk(RejectionReason.NON_FINITE, "expected finite samples, found NaN or infinity")
    if peak > _MAX_MAGNITUDE:
        raise RejectedChunk(
            RejectionReason.OUT_OF_RANGE, f"expected samples around +-1.0, found {peak:.3g}: scale integers first"
        )
    mono = frames[:, 0] if expected.channels == 1 else frames.mean(axis=1, dtype=np.float32)
    mono.flags.writeable = False
    return mono


def _encode_integers(frames: Frames, bits: int) -> NDArray[np.int32]:
    scale = np.float32(1 << (bits - 1))  # a power of two: the product is exact
    integers: NDArray[np.int32] = np.clip(np.rint(frames * scale), -scale, scale - 1).astype(np.int32)
    return integers


def _encode_s16(frames: Frames, _: int) -> bytes:
    return _encode_integers(frames, 16).astype("<i2").tobytes()


def _encode_s24(frames: Frames, _: int) -> bytes:
    return _encode_integers(frames, 24).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def _encode_f32(frames: Frames, _: int) -> bytes:
    return frames.astype("<f4").tobytes()


def _encode_flac(frames: Frames, sample_rate_hz: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    samples = _encode_integers(frames, 16).astype(np.int16)
    try:
        soundfile.write(buffer, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise AudioError(f"FLAC cannot hold {sample_rate_hz} Hz: choose a pcm encoding ({error})") from error
    return buffer.getvalue()


def _decode_s16(payload: bytes, expected: AudioFormat) -> Frames:
    _check_length(payload, expected, 2)
    return (np.frombuffer(payload, "<i2") * np.float32(2.0**-15)).reshape(-1, expected.channels)


def _decode_s24(payload: bytes, expected: AudioFormat) -> Frames:
    _check_length(payload, expected, 3)
    padded = np.zeros((len(payload) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(payload, np.uint8).reshape(-1, 3)
    upper = padded.view("<i4").astype(np.float32)  # exact: the low 8 of the 32 bits are zero
    return (upper * np.float32(2.0**-31)).reshape(-1, expected.channels)


def _decode_f32(payload: bytes, expected: AudioFormat) -> Frames:
    _check_length(payload, expected, 4)
    return np.frombuffer(payload, "<f4").astype(np.float32).reshape(-1, expected.channels)


def _check_length(payload: bytes, expected: AudioFormat, bytes_per_sample: int) -> None:
    """Refuse a raw payload that does not have exactly the samples announced."""
    needed = expected.frames * expected.channels * bytes_per_sample
    if len(payload) == needed:
        return
    reason = RejectionReason.TRUNCATED if len(payload) < needed else RejectionReason.SAMPLE_COUNT_MISMATCH
    raise RejectedChunk(
        reason,
        f"expected {needed} bytes for {expected.frames} samples of {expected.channels} channel(s) "
        f"of {bytes_per_sample} bytes, got {len(payload)}",
    )


def _decode_flac(payload: bytes, expected: AudioFormat) -> Frames:
    """Decode in blocks into a buffer of the expected size: neither a bomb nor a forged length can claim more."""
    import soundfile

    if not payload.startswith(_FLAC_MAGIC):
        raise RejectedChunk(RejectionReason.UNDECODABLE, "expected native FLAC, which begins with 'fLaC'")
    try:
        with soundfile.SoundFile(io.BytesIO(payload)) as file:
            _check_flac_format(AudioFormat(file.samplerate, file.channels, file.frames), expected)
            return _read_blocks(lambda: file.read(_FLAC_BLOCK_FRAMES, dtype="float32", always_2d=True), expected)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError, MemoryError) as error:
        raise RejectedChunk(RejectionReason.UNDECODABLE, f"expected intact FLAC: {error}") from error


def _check_flac_format(found: AudioFormat, expected: AudioFormat) -> None:
    if found.sample_rate_hz != expected.sample_rate_hz:
        raise RejectedChunk(
            RejectionReason.BAD_RATE,
            f"the header says {expected.sample_rate_hz} Hz, the FLAC stream {found.sample_rate_hz} Hz",
        )
    if found.channels != expected.channels:
        raise RejectedChunk(
            RejectionReason.BAD_CHANNELS,
            f"the header says {expected.channels} channel(s), the FLAC stream {found.channels}",
        )


def _read_blocks(read: Callable[[], Frames], expected: AudioFormat) -> Frames:
    frames = np.empty((expected.frames, expected.channels), np.float32)
    at = 0
    while len(block := read()):
        if at + len(block) > expected.frames:
            raise RejectedChunk(
                RejectionReason.SAMPLE_COUNT_MISMATCH,
                f"the header says {expected.frames} samples, the FLAC stream holds more",
            )
        frames[at : at + len(block)] = block
        at += len(block)
    if at < expected.frames:
        raise RejectedChunk(
            RejectionReason.TRUNCATED, f"the header says {expected.frames} samples, the FLAC stream holds {at}"
        )
    return frames


class _Codec(NamedTuple):
    encode: Callable[[Frames, int], bytes]
    decode: Callable[[bytes, AudioFormat], Frames]


_CODECS: Final = {
    "pcm_s16le": _Codec(_encode_s16, _decode_s16),
    "pcm_s24le": _Codec(_encode_s24, _decode_s24),
    "pcm_f32le": _Codec(_encode_f32, _decode_f32),
    "flac": _Codec(_encode_flac, _decode_flac),
}

ENCODINGS: Final = tuple(_CODECS)
"""Names of the encodings, as `ce_encoding` gives them."""
