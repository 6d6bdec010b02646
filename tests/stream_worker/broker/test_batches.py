"""Batches read with bounds: the library's own records where it can read them, and a word of what it cannot."""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
import sys
import zlib
from typing import Any

import lz4.frame
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import default_records, memory_records
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.util import calc_crc32c, encode_varint

import soundscene_worker.broker.kafka  # noqa: F401 - guards the library
from soundscene_worker.broker.batches import RECORD_BYTES, GuardedBatch
from soundscene_worker.broker.reading import Unreadable
from soundscene_worker.broker.unpacking import UNPACKED_BYTES, UnpackingError, unpack
from soundscene_worker.messages.limits import LARGEST_CHUNK_BYTES

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CRC_AT, CHECKED_FROM, HEADER_BYTES = 17, 21, 61

Sent = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]

TEXTS = st.text(max_size=10)
BYTES = st.none() | st.binary(max_size=40)
RECORDS = st.lists(
    st.tuples(st.integers(0, 2**41), BYTES, BYTES, st.lists(st.tuples(TEXTS, BYTES), max_size=4)),
    min_size=1,
    max_size=8,
)


def pack(records: list[Sent], codec: int) -> bytes:
    """Make a batch as the library's producer does."""
    builder = default_records.DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 10**9)
    for offset, (timestamp_ms, key, value, headers) in enumerate(records):
        builder.append(offset, timestamp_ms, key, value, headers)
    return bytes(builder.build())


def repack(batch: bytes, packed: bytes, codec: int | None = None) -> bytes:
    """Replace a batch's records and make its length, codec and checksum fit."""
    out = bytearray(batch[:HEADER_BYTES] + packed)
    struct.pack_into(">i", out, 8, len(out) - 12)
    if codec is not None:
        struct.pack_into(">h", out, CHECKED_FROM, codec)
    struct.pack_into(">I", out, CRC_AT, calc_crc32c(memoryview(out)[CHECKED_FROM:]))
    return bytes(out)


def fields(record: Any) -> tuple[object, ...]:
    return (record.offset, record.timestamp, record.timestamp_type, record.key, record.value, list(record.headers))


def varint(value: int) -> bytes:
    out = bytearray()
    encode_varint(value, out.append)
    return bytes(out)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(records=RECORDS)
def test_what_the_library_can_read_is_read_alike(codec: int, records: list[Sent]) -> None:
    """Offsets, times, keys, values and headers are those of the library's own batch, with every codec."""
    batch = pack(records, codec)
    theirs = [fields(record) for record in default_records.DefaultRecordBatch(batch)]
    assert [fields(record) for record in GuardedBatch(batch)] == theirs
    assert len(theirs) == len(records)


def test_the_library_reads_through_the_guard() -> None:
    """Its fetching makes our batches: a version that does it otherwise must not go unnoticed."""
    batch = memory_records.MemoryRecords(pack([(0, b"k", b"v", [])], 1)).next_batch()
    assert isinstance(batch, GuardedBatch)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(records=RECORDS, data=st.data())
def test_damage_is_said_and_never_raised(codec: int, records: list[Sent], data: st.DataObject) -> None:
    """A byte that changed on its way is found by the checksum: one record says so, and nothing false comes out."""
    batch = bytearray(pack(records, codec))
    at = data.draw(st.integers(CRC_AT, len(batch) - 1))
    batch[at] ^= data.draw(st.integers(1, 255))
    (fault,) = GuardedBatch(bytes(batch))
    assert isinstance(fault.value, Unreadable)
    assert fault.offset == 0


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(records=RECORDS, data=st.data())
def test_a_forged_batch_gives_records_in_order_and_never_raises(
    codec: int, records: list[Sent], data: st.DataObject
) -> None:
    """With the checksum made to fit, whatever comes out has rising offsets of this batch, and reading ends."""
    batch = pack(records, codec)
    packed = bytearray(batch[HEADER_BYTES:])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(packed) - 1))
        packed[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(packed)))
    found = list(GuardedBatch(repack(batch, bytes(packed[: cut or None]))))
    offsets = [record.offset for record in found]
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset < len(records) for offset in offsets)


def test_a_bad_record_costs_its_neighbours_nothing() -> None:
    """Its length says where the next one begins: only it becomes a word of what is wrong."""
    batch = pack([(5, b"a", b"1", []), (6, b"b", b"2", [("name", b"x")]), (7, b"c", b"3", [])], 0)
    forged = repack(batch, batch[HEADER_BYTES:].replace(b"name", b"\xff\xff\xff\xff"))
    first, fault, last = GuardedBatch(forged)
    assert (first.value, last.value, last.offset, last.timestamp) == (b"1", b"3", 2, 7)
    assert isinstance(fault.value, Unreadable)
    assert fault.offset == 1


def test_a_record_of_a_million_headers_is_not_read() -> None:
    """Three bytes of a header would become a hundred in memory: the number is asked first."""
    body = b"\x00" + varint(0) + varint(0) + varint(-1) + varint(-1) + varint(10**6) + b"\x00\x01" * 10**6
    batch = repack(pack([(0, b"k", b"v", [])], 0), gzip.compress(varint(len(body)) + body), codec=1)
    (fault,) = GuardedBatch(batch)
    assert b"1000000 headers" in fault.value


def test_a_record_too_large_for_any_chunk_is_said_and_not_kept() -> None:
    """A poll takes many records out of many batches: the largest chunk is read, what is beyond is named by its size."""
    sound = bytes(LARGEST_CHUNK_BYTES)
    records: list[Sent] = [(1, b"a", sound, []), (2, b"b", bytes(RECORD_BYTES), []), (3, b"c", b"3", [])]
    first, fault, last = GuardedBatch(pack(records, CODECS["zstd"]))
    assert (first.value == sound, last.value, last.offset) == (True, b"3", 2)
    assert f"{RECORD_BYTES} are taken".encode() in fault.value
    assert (fault.key, fault.offset, type(fault.value)) == (None, 1, Unreadable)


def test_the_format_of_old_brokers_is_said_and_not_unpacked() -> None:
    """It has no headers, so it can hold no chunk."""
    builder = LegacyRecordBatchBuilder(1, 0, 10**6)
    builder.append(0, 5, b"k", b"v")
    batch = memory_records.MemoryRecords(bytes(builder.build())).next_batch()
    (fault,) = batch
    assert batch.validate_crc()
    assert isinstance(fault.value, Unreadable)


PACKERS: dict[str, Any] = {
    "gzip": gzip.compress,
    "snappy": snappy.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("name", PACKERS)
def test_the_limit_is_exact(name: str) -> None:
    """A batch of just the limit is read, one byte more is refused, and one cut off is called damaged."""
    codec, sound = CODECS[name], bytes(100_000)
    assert unpack(codec, PACKERS[name](sound), 100_000) == sound
    with pytest.raises(UnpackingError, match="at most 99999 bytes"):
        unpack(codec, PACKERS[name](sound), 99_999)
    if name != "zstd":  # whose reader ends where its bytes end; the records in it are then found to be cut off
        with pytest.raises(UnpackingError, match="intact"):
            unpack(codec, PACKERS[name](bytes(range(256)) * 400)[:-5])


def test_java_s_snappy_and_frames_in_a_row_are_read() -> None:
    """Blocks behind Java's header, and several gzip members, lz4 or zstd frames, are one batch."""
    from kafka.codec import snappy_encode

    sound = bytes(range(256)) * 500
    assert unpack(CODECS["snappy"], snappy_encode(sound)) == sound
    for name in ("gzip", "lz4", "zstd"):
        assert unpack(CODECS[name], PACKERS[name](sound) + PACKERS[name](sound)) == 2 * sound


class Watched:
    """One of the libraries' decompressors, and how many bytes it was given each time."""

    def __init__(self, decompressor: Any, given_bytes: list[int]) -> None:
        self._decompressor = decompressor
        self._given_bytes = given_bytes

    def decompress(self, data: bytes, most_bytes: int) -> bytes:
        self._given_bytes.append(len(data))
        return bytes(self._decompressor.decompress(data, most_bytes))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decompressor, name)


@pytest.mark.parametrize("name", ["gzip", "lz4"])
def test_members_without_number_cost_their_own_bytes_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No member takes more than a small piece of what follows it into its hands, so the time grows with the bytes."""
    given: list[int] = []
    inflater, frame = zlib.decompressobj, lz4.frame.LZ4FrameDecompressor
    monkeypatch.setattr(zlib, "decompressobj", lambda bits: Watched(inflater(bits), given))
    monkeypatch.setattr(lz4.frame, "LZ4FrameDecompressor", lambda: Watched(frame(), given))
    packed = 2_000 * PACKERS[name](b"") + PACKERS[name](b"sound")
    assert unpack(CODECS[name], packed) == b"sound"
    assert 2_000 < len(given) < 10_000
    assert max(given) <= 8 * 1024 < len(packed)


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
@given(sizes=st.lists(st.integers(0, 30_000), max_size=5), seed=st.integers(0, 2**32))
def test_members_that_end_anywhere_are_read_whole(name: str, sizes: list[int], seed: int) -> None:
    """Wherever a member ends within the pieces it is read in, nothing is lost and nothing comes twice."""
    noise = random.Random(seed)
    members = [noise.randbytes(size) for size in sizes]
    packed = b"".join(PACKERS[name](member) for member in members)
    assert unpack(CODECS[name], packed) == b"".join(members)


@pytest.mark.parametrize("name", PACKERS)
def test_a_bomb_costs_bounded_memory(name: str) -> None:
    """A gigabyte packed small is refused; the process grows by less than six times the limit."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stream_worker.broker.bomb", name], capture_output=True, text=True, check=True
    )
    unpacked_bytes, grown_bytes = map(int, done.stdout.split())
    assert unpacked_bytes >= 2**30
    assert grown_bytes < 6 * UNPACKED_BYTES
