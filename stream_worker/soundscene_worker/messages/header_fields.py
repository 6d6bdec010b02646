"""Reading a chunk's headers one by one, each as what it should be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from math import isfinite
from typing import Final, Self

from soundscene_worker.messages.cloud_events import SPEC_VERSION, unpack_headers
from soundscene_worker.messages.limits import ChunkLimits, RejectedChunk, RejectionReason
from soundscene_worker.messages.times import TimeFormatError, parse_time

__all__ = ["CALIBRATION_RANGE_DB", "HeaderFields", "is_name", "parse_device"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]*", re.ASCII)
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,16}", re.ASCII)
_MAX_INTEGER: Final = 2**53 - 1  # what JSON carries exactly; at 384 kHz it lasts for 700 years
CALIBRATION_RANGE_DB: Final = (-50.0, 300.0)
"""dB SPL that digital full scale may stand for."""


def parse_device(key: bytes | None, limits: ChunkLimits) -> str:
    """Return the device a record's key names.

    Raises
    ------
    RejectedChunk
        There is no key, or it is no device id.
    """
    device = (key or b"").decode(errors="replace")
    if not device:
        raise RejectedChunk(RejectionReason.BAD_DEVICE, "expected the record's key to be the device id, found no key")
    if not is_name(device, limits):
        raise RejectedChunk(
            RejectionReason.BAD_DEVICE, _name_message("a device id as the record's key", device, limits)
        )
    return device


def is_name(text: str, limits: ChunkLimits) -> bool:
    """Tell whether a text may name a device or a session."""
    return len(text) <= limits.max_name_length and _NAME.fullmatch(text) is not None


def _name_message(what: str, found: str, limits: ChunkLimits) -> str:
    return (
        f"expected {what} of at most {limits.max_name_length} ASCII letters, digits and ._:@+/-, "
        f"a letter or digit first; got {found[:40]!r}"
    )


@dataclass(frozen=True, slots=True)
class HeaderFields:
    """CloudEvents attributes by name; every method raises RejectedChunk when the one asked for is not as it should be.

    Parameters
    ----------
    attributes : dict of str to str
        Names are without `ce_`.
    """

    attributes: dict[str, str]

    @classmethod
    def read(cls, headers: Iterable[tuple[str, bytes | None]], event_type: str) -> Self:
        """Take a record's headers, which must be those of an event of this type."""
        try:
            fields = cls(unpack_headers(headers))
        except ValueError as error:
            raise RejectedChunk(RejectionReason.BAD_HEADER, str(error)) from None
        for name, expected in (("specversion", SPEC_VERSION), ("type", event_type)):
            if fields.text(name) != expected:
                raise fields.bad(name, f"'{expected}'")
        for name in ("source", "id"):
            if not fields.text(name):
                raise fields.bad(name, "a text")
        return fields

    def text(self, name: str) -> str:
        """Return an attribute that must be there."""
        if name not in self.attributes:
            raise RejectedChunk(RejectionReason.MISSING_HEADER, f"expected a header ce_{name}, found none")
        return self.attributes[name]

    def name(self, name: str, limits: ChunkLimits) -> str:
        """Return an id."""
        if not is_name(text := self.text(name), limits):
            raise RejectedChunk(RejectionReason.BAD_HEADER, _name_message(f"ce_{name}", text, limits))
        return text

    def integer(self, name: str) -> int:
        """Return a whole number from 0 to 2**53 - 1."""
        text = self.text(name)
        if not _WHOLE_NUMBER.fullmatch(text) or int(text) > _MAX_INTEGER:
            raise self.bad(name, f"a whole number from 0 to {_MAX_INTEGER}")
        return int(text)

    def time(self, name: str) -> datetime:
        """Return a time in UTC, early enough for the sound after it to have a time as well."""
        try:
            found = parse_time(self.text(name))
        except TimeFormatError as error:
            raise RejectedChunk(RejectionReason.BAD_HEADER, f"ce_{name}: {error}") from None
        if found.year == MAXYEAR:
            raise self.bad(name, f"a time before the year {MAXYEAR}")
        return found

    def calibration(self, name: str) -> float | None:
        """Return an optional level in dB."""
        if name not in self.attributes:
            return None
        low, high = CALIBRATION_RANGE_DB
        try:
            value = float(self.attributes[name])
        except ValueError:
            value = float("nan")
        if not (isfinite(value) and low <= value <= high):
            raise self.bad(name, f"dB SPL at full scale, a number from {low:g} to {high:g}")
        return value

    def bad(self, name: str, expected: str) -> RejectedChunk:
        """Return the error that says what was expected."""
        found = self.attributes[name][:40]
        return RejectedChunk(RejectionReason.BAD_HEADER, f"expected ce_{name} to be {expected}, got {found!r}")
