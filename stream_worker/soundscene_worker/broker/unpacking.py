"""The four codecs of Kafka's record batches, with a bound: a batch of a few kilobytes may unpack to gigabytes.

Each takes the packed bytes and stops as soon as more than the limit has come out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import lz4.frame
import snappy
import zstandard

__all__ = ["UNPACKED_BYTES", "UnpackingError", "unpack"]

UNPACKED_BYTES: Final = 32 * 1024**2
"""Most that a batch may unpack to: 32 times the largest batch of a broker with default settings."""

_STEP_BYTES: Final = 1024**2
_PIECE_BYTES: Final = 8 * 1024
"""Packed bytes given to a library at once: it copies what a member leaves over, and a member may be of a few bytes."""

_ZSTD_WINDOW_BYTES: Final = 2**27
"""What zstd's strongest level asks for; a frame that asks for more is refused by the library."""

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_GZIP: Final = 31


class UnpackingError(Exception):
    """Packed bytes are damaged or would become too many."""


def unpack(codec: int, packed: bytes, limit_bytes: int = UNPACKED_BYTES) -> bytes:
    """Unpack the records of a batch.

    Parameters
    ----------
    codec : int
        Kafka's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    packed : bytes
        What follows the batch's header.
    limit_bytes : int > 0
        Most that may come out.

    Raises
    ------
    UnpackingError
        Damaged, of an unknown codec, or larger than the limit; no more than the limit and one step were held.
    """
    if codec == 0:
        return packed
    if codec not in _CODECS:
        raise UnpackingError(f"expected codec 0 to 4, found {codec}")
    name, parts_of = _CODECS[codec]
    parts, size_bytes = [], 0
    try:
        for part in parts_of(packed, limit_bytes):
            size_bytes += len(part)
            if size_bytes > limit_bytes:
                raise _too_large(limit_bytes)
            parts.append(part)
    except UnpackingError:
        raise
    except Exception as error:  # each library has errors of its own, and none of them may end the worker
        raise UnpackingError(f"expected intact {name}: {type(error).__name__}: {error}") from error
    return b"".join(parts)


def _too_large(limit_bytes: int) -> UnpackingError:
    return UnpackingError(f"expected a batch of at most {limit_bytes} bytes when unpacked, found more")


def _gzip(packed: bytes, limit_bytes: int) -> Iterator[bytes]:
    at = 0
    while at < len(packed):  # members may follow each other
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = packed[at : at + _PIECE_BYTES]
            part = member.decompress(piece, _STEP_BYTES)
            at += len(piece) - len(member.unused_data if member.eof else member.unconsumed_tail)
            if not part and not piece and not member.eof:
                raise UnpackingError("expected intact gzip, found its end missing")
            yield part


def _lz4(packed: bytes, limit_bytes: int) -> Iterator[bytes]:
    at = 0
    while at < len(packed):  # frames may follow each other
        frame = lz4.frame.LZ4FrameDecompressor()
        while not frame.eof:
            piece = packed[at : at + _PIECE_BYTES] if frame.needs_input else b""
            part = frame.decompress(piece, _STEP_BYTES)
            at += len(piece)
            if not part and not piece and frame.needs_input and not frame.eof:
                raise UnpackingError("expected intact lz4, found its end missing")
            yield part
        at -= len(frame.unused_data or b"")


def _zstd(packed: bytes, limit_bytes: int) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with decompressor.stream_reader(packed, read_across_frames=True) as reader:
        while part := reader.read(_STEP_BYTES):
            yield part


def _snappy(packed: bytes, limit_bytes: int) -> Iterator[bytes]:
    """Plain, or in blocks behind the header that Java's clients write."""
    if not packed.startswith(_XERIAL_MAGIC):
        yield _snappy_block(packed, limit_bytes)
        return
    at = _XERIAL_HEADER_BYTES
    while at < len(packed):
        (size_bytes,) = struct.unpack_from("!i", packed, at)
        block = packed[at + 4 : at + 4 + size_bytes]
        if size_bytes < 0 or len(block) != size_bytes:
            raise UnpackingError("expected intact snappy, found a block cut off")
        yield _snappy_block(block, limit_bytes)
        at += 4 + size_bytes


def _snappy_block(block: bytes, limit_bytes: int) -> bytes:
    """The length comes first, seven bits a byte: it is asked before anything is reserved."""
    length_bytes = 0
    for place, byte in enumerate(block[:5]):
        length_bytes |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    if length_bytes > limit_bytes:
        raise _too_large(limit_bytes)
    return bytes(snappy.decompress(block))


_CODECS: Final[dict[int, tuple[str, Callable[[bytes, int], Iterator[Any]]]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _lz4),
    4: ("zstd", _zstd),
}
