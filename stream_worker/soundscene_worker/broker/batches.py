"""Record batches read with bounds, inside kafka-python's own fetching.

The library unpacks a whole batch at once, however large it becomes, and what it cannot read it meets again for ever.
Here a batch has a bound, and what cannot be read becomes a record that says so: everything else goes on.

Layout: Kafka protocol, record batch of magic 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kafka.record import default_records, legacy_records, memory_records
from kafka.record.util import calc_crc32c, decode_varint
from typing_extensions import override

from soundscene_worker.broker.reading import Unreadable
from soundscene_worker.broker.unpacking import UnpackingError, unpack
from soundscene_worker.messages.limits import LARGEST_CHUNK_BYTES

__all__ = ["RECORD_BYTES", "GuardedBatch", "guard_the_library"]

RECORD_BYTES: Final = LARGEST_CHUNK_BYTES + 1024**2
"""Most that a record may take, with its key and headers: what a poll returns outlives the batches it came in."""

_MOST_HEADERS: Final = 1024
_HEADER: Final = default_records.DefaultRecordBatch.HEADER_STRUCT
_CHECKED_FROM: Final = default_records.DefaultRecordBatch.ATTRIBUTES_OFFSET


class GuardedBatch(default_records.DefaultRecordBatch):  # type: ignore[misc]  # the library ships no types
    """A batch of which every record comes out, or one that says why it does not."""

    __slots__ = ("_packed",)

    def __init__(self, buffer: Any) -> None:
        super().__init__(buffer)
        self._packed = bytes(buffer)

    @override
    def validate_crc(self) -> bool:
        """Leave the checksum to the iteration, which can tell of it without raising."""
        return True

    @override
    def __iter__(self) -> Iterator[Any]:
        try:
            if calc_crc32c(memoryview(self._packed)[_CHECKED_FROM:]) != self.crc:
                raise UnpackingError("expected the batch's checksum to fit its bytes")
            records = unpack(self.compression_type, self._packed[_HEADER.size :])
        except UnpackingError as error:
            yield self._fault(self.base_offset, f"{error}: {self.records_count} records are lost")
        else:
            yield from self._read(records)

    def _read(self, records: bytes) -> Iterator[Any]:
        at, offset = 0, self.base_offset
        for number in range(self.records_count):
            if offset > self.last_offset:  # forged: more records than offsets
                return
            try:
                length, first = decode_varint(records, at)
                at = first + length
                if length < 0 or at > len(records):
                    raise ValueError("it ends beyond the batch")
            except (ValueError, IndexError) as error:
                lost = self.records_count - number
                yield self._fault(offset, f"expected an intact record, {error}: {lost} records are lost")
                return
            record = self._read_record(records, first, at, offset)
            offset = record.offset + 1
            yield record

    def _read_record(self, records: bytes, first: int, end: int, offset: int) -> Any:
        try:
            _, at = decode_varint(records, first)
            later_ms, at = decode_varint(records, at)
            step, at = decode_varint(records, at)
            if not offset <= self.base_offset + step <= self.last_offset:
                raise ValueError("its offset is not in order")
            offset = self.base_offset + step
            if end - first > RECORD_BYTES:
                raise ValueError(f"it takes {end - first} bytes, and {RECORD_BYTES} are taken")
            key, at = _field(records, at, end)
            value, at = _field(records, at, end)
            headers = _headers(records, at, end)
        except (ValueError, IndexError) as error:
            return self._fault(offset, f"expected an intact record, {error}")
        timestamp_ms = self.max_timestamp if self.timestamp_type else self.first_timestamp + later_ms
        return default_records.DefaultRecord(
            end - first, offset, timestamp_ms, self.timestamp_type, key, value, headers
        )

    def _fault(self, offset: int, why: str) -> Any:
        return default_records.DefaultRecord(
            0, offset, self.max_timestamp, self.timestamp_type, None, Unreadable(why.encode()), []
        )


class OldBatch(legacy_records.LegacyRecordBatch):  # type: ignore[misc]  # the library ships no types
    """A batch of before Kafka 0.11, which has no headers and can therefore hold no chunk: said, not unpacked."""

    @override
    def validate_crc(self) -> bool:
        """Nothing is taken from it."""
        return True

    @override
    def __iter__(self) -> Iterator[Any]:
        why = b"expected records with headers, found the format of before Kafka 0.11"
        yield default_records.DefaultRecord(0, self.base_offset, -1, 0, None, Unreadable(why), [])


def guard_the_library() -> None:
    """Let every consumer of this process read its batches so."""
    memory_records.DefaultRecordBatch = GuardedBatch
    memory_records.LegacyRecordBatch = OldBatch


def _field(records: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    """Read a length and so many bytes; a negative length is no field at all."""
    length, at = decode_varint(records, at)
    if length < 0:
        return None, at
    if at + length > end:
        raise ValueError("a field ends beyond its record")
    return records[at : at + length], at + length


def _headers(records: bytes, at: int, end: int) -> list[tuple[str, bytes | None]]:
    count, at = decode_varint(records, at)
    if not 0 <= count <= _MOST_HEADERS:
        raise ValueError(f"it has {count} headers, and {_MOST_HEADERS} are taken")
    headers = []
    for _ in range(count):
        name, at = _field(records, at, end)
        value, at = _field(records, at, end)
        if name is None:
            raise ValueError("a header has no name")
        headers.append((name.decode(), value))
    if at != end:
        raise ValueError("it has bytes left over")
    return headers
