"""Reading a JSON object field by field, each as what it should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Self

from soundscene_worker.messages.times import parse_time

__all__ = ["JsonFields"]


@dataclass(frozen=True, slots=True)
class JsonFields:
    """Fields of an object; every method raises ValueError when the one asked for is not of the kind it names.

    Parameters
    ----------
    values : dict
        As `json.loads` returns it.
    path : str
        Put before names in messages.
    """

    values: dict[str, Any]
    path: str = ""

    @classmethod
    def read(cls, text: bytes | None) -> Self:
        """Parse an object."""
        try:
            values = json.loads((text or b"").decode())
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(values, dict):
            raise ValueError(f"not a JSON object but {type(values).__name__}")
        return cls(values)

    def text(self, name: str) -> str:
        """Return a string that UTF-8 can write."""
        value: str = self._get(name, "a text", _is_text)
        return value

    def integer(self, name: str) -> int:
        """Return a whole number from 0 to 2^63 - 1, the most that databases and other languages hold."""
        value: int = self._get(
            name, "a whole number below 2^63", lambda value: type(value) is int and 0 <= value < 2**63
        )
        return value

    def number(self, name: str) -> float:
        """Return a finite number."""
        return float(self._get(name, "a number", _is_number))

    def number_or_none(self, name: str) -> float | None:
        """Return a finite number, or None for null."""
        value = self._get(name, "a number or null", lambda value: value is None or _is_number(value))
        return None if value is None else float(value)

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value: bool = self._get(name, "true or false", lambda value: isinstance(value, bool))
        return value

    def time(self, name: str) -> datetime:
        """Return a time in UTC."""
        return parse_time(self.text(name))

    def object(self, name: str) -> JsonFields:
        """Return an object's fields."""
        return JsonFields(self._get(name, "an object", lambda value: isinstance(value, dict)), f"{self.path}{name}.")

    def list_of_texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings that UTF-8 can write."""
        values = self._get(name, "a list", lambda value: isinstance(value, list))
        if not all(map(_is_text, values)):
            raise ValueError(f"{self.path}{name} must hold texts")
        return tuple(values)

    def numbers(self) -> dict[str, float]:
        """Return all fields as numbers."""
        return {name: self.number(name) for name in self._names()}

    def texts(self) -> dict[str, str]:
        """Return all fields as strings."""
        return {name: self.text(name) for name in self._names()}

    def _names(self) -> Iterable[str]:
        if not all(map(_is_text, self.values)):
            raise ValueError(f"{self.path.rstrip('.')} must have names that UTF-8 can write")
        return self.values

    def _get(self, name: str, expected: str, is_right: Callable[[Any], bool]) -> Any:
        if name not in self.values:
            raise ValueError(f"there is no field {self.path}{name}")
        if not is_right(self.values[name]):
            raise ValueError(f"{self.path}{name} must be {expected}")
        return self.values[name]


def _is_text(value: Any) -> bool:
    """Say whether it is a string without halves of characters, which JSON can name but no encoding can write."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and isfinite(value)
