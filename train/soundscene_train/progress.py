"""How what takes long tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "StageProgress"]

Progress = Callable[[int, int], None]
"""Told units done and units in all."""

StageProgress = Callable[[str, int, int], None]
"""Told the name of a stage or a file, units done and units in all, 0 while these are not known."""
