"""What the auditor must be told of the worker: its rules."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from soundscene.errors import SettingsError
from soundscene_worker import defaults
from soundscene_worker.messages.limits import ChunkLimits

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a worker waits and what it holds, as it was configured; the defaults are the worker's.

    Parameters
    ----------
    hold_back_seconds : float >= 0
        A chunk that begins further than this before the end of its session is ignored.
    idle_seconds : float > 0
        A session ends when its partition's clock has moved this far since its last chunk.
    sessions_per_device : int >= 1
        Sessions of a device that are open at a time.
    limits : ChunkLimits
        What a chunk may be.
    devices_per_partition : int >= 1
        Devices of a partition with open sessions.
    device_bytes : int >= 1
        Most memory of a device; beyond it its sessions are closed.

    Raises
    ------
    SettingsError
        A value is outside its range.
    """

    hold_back_seconds: float = defaults.HOLD_BACK_SECONDS
    idle_seconds: float = defaults.IDLE_SECONDS
    sessions_per_device: int = defaults.SESSIONS_PER_DEVICE
    limits: ChunkLimits = field(default_factory=ChunkLimits)
    devices_per_partition: int = defaults.DEVICES_PER_PARTITION
    device_bytes: int = defaults.DEVICE_BYTES

    def __post_init__(self) -> None:
        """Check every range."""
        if not (0 <= self.hold_back_seconds < math.inf and 0 < self.idle_seconds < math.inf):
            raise SettingsError(
                "expected hold_back_seconds >= 0 and idle_seconds > 0, both finite, got "
                f"{self.hold_back_seconds} and {self.idle_seconds}"
            )
        for name in ("sessions_per_device", "devices_per_partition", "device_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"expected {name} to be at least 1, got {getattr(self, name)}")

    @property
    def preroll_seconds(self) -> float:
        """How far before a time the log must be read to know what is open at that time."""
        return 2 * (self.idle_seconds + self.hold_back_seconds + self.limits.max_seconds)
