"""Many names in one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["first_few"]

_SHOWN: Final = 3


def first_few(names: Iterable[object], separator: str = ", ") -> str:
    """Join the first three names, and say how many more there are."""
    found = [str(name) for name in names]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return separator.join([*found[:_SHOWN], *more])
