"""How much of a device's recent sound arrived."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Coverage"]


@dataclass(slots=True)
class Coverage:
    """Share of the last `horizon_seconds` of a device's sound that arrived.

    Counted in the device's own samples: a device that is switched off loses nothing, its time stamp tells.
    """

    horizon_seconds: float = 60.0
    _parts: deque[tuple[float, float]] = field(default_factory=deque)
    _heard_seconds: float = 0.0
    _lost_seconds: float = 0.0

    def add(self, heard_seconds: float, lost_seconds: float) -> None:
        """Count what a chunk brought and what was given up with it."""
        self._parts.append((heard_seconds, lost_seconds))
        self._heard_seconds += heard_seconds
        self._lost_seconds += lost_seconds
        while self._total - sum(self._parts[0]) >= self.horizon_seconds:
            heard, lost = self._parts.popleft()
            self._heard_seconds -= heard
            self._lost_seconds -= lost

    @property
    def ratio(self) -> float:
        """0 to 1; 1 before anything was heard."""
        return max(0.0, min(1.0, self._heard_seconds / self._total)) if self._total > 0 else 1.0

    @property
    def _total(self) -> float:
        return self._heard_seconds + self._lost_seconds
