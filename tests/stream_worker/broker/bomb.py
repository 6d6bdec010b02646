"""Run as a process of its own: read a batch that would become a gigabyte; print that size and the memory it cost."""

from __future__ import annotations

import contextlib
import gzip
import resource
import sys

import lz4.frame
import snappy
import zstandard
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch

from soundscene_worker.broker.batches import GuardedBatch
from soundscene_worker.broker.reading import Unreadable
from tests.stream_worker.broker.test_batches import CODECS, pack, repack

PART_BYTES, PARTS = 2**24, 64


def bomb(name: str) -> bytes:
    """Pack zeros small; what may follow itself is repeated, so that making it costs little."""
    zeros = bytes(PART_BYTES)
    if name == "snappy":
        block = bytes(snappy.compress(zeros))
        blocks = (len(block).to_bytes(4, "big") + block) * PARTS
        return b"\x82SNAPPY\x00" + bytes((0, 0, 0, 1, 0, 0, 0, 1)) + blocks
    packers = {"gzip": gzip.compress, "lz4": lz4.frame.compress, "zstd": zstandard.ZstdCompressor().compress}
    return bytes(PARTS * packers[name](zeros))


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(name: str, reader: str = "guarded") -> None:
    """Read it guarded, or as the library by itself does."""
    batch = repack(pack([(0, b"k", b"v", [])], 0), bomb(name), CODECS[name])
    before = peak_bytes()
    if reader == "library":
        with contextlib.suppress(CorruptRecordError):  # found after it was unpacked: zeros are no records
            list(DefaultRecordBatch(batch))
    else:
        (fault,) = GuardedBatch(batch)
        assert isinstance(fault.value, Unreadable)
    print(PARTS * PART_BYTES, peak_bytes() - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
