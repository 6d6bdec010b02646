"""The rules that turn a log of chunks into a set of windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from soundscene.errors import SettingsError
from soundscene.settings import FrontEndSettings
from soundscene.windows import WindowGrid
from soundscene_worker import defaults

__all__ = ["StreamPolicy"]


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """How long the log is waited for; every limit is counted in the log itself, never in wall-clock time.

    Parameters
    ----------
    front_end : FrontEndSettings
        Says where the windows lie.
    smoothing_windows : int >= 1
        Windows a smoothed verdict averages.
    hold_back_seconds : float >= 0
        A chunk that begins further than this before the end of its session is late. At least a window and the
        smoothing steps are always waited for: with less, a restart could decide differently from the first run.
    idle_seconds : float > 0
        A session is closed when the partition's clock has moved this far since its last chunk. Keep it above the
        devices of a partition times the seconds of a chunk: the clock may run so fast while it lags.
    sessions_per_device : int >= 1
        Sessions of one device kept open; the one that was quiet for longest is closed first.
    devices_per_partition : int >= 1
        Devices of one partition with open sessions; the one that was quiet for longest makes room for a new one.
    device_bytes : int >= 1
        Most memory one device may hold for open windows; beyond it its sessions are closed. Nothing is promised for
        such a device: what it holds depends on where reading began. A microphone at 44.1 kHz holds 1 to 2 MB, and 4 MB
        where its chunks arrive in the worst order that the hold-back allows.

    Raises
    ------
    SettingsError
        A value is outside its range.
    """

    front_end: FrontEndSettings
    smoothing_windows: int = 1
    hold_back_seconds: float = defaults.HOLD_BACK_SECONDS
    idle_seconds: float = defaults.IDLE_SECONDS
    sessions_per_device: int = defaults.SESSIONS_PER_DEVICE
    devices_per_partition: int = defaults.DEVICES_PER_PARTITION
    device_bytes: int = defaults.DEVICE_BYTES

    def __post_init__(self) -> None:
        """Check every range."""
        for name in ("smoothing_windows", "sessions_per_device", "devices_per_partition", "device_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (0 <= self.hold_back_seconds < math.inf and 0 < self.idle_seconds < math.inf):
            raise SettingsError(
                "hold_back_seconds must be finite and not negative, idle_seconds finite and above 0, got "
                f"{self.hold_back_seconds} and {self.idle_seconds}"
            )

    def grid(self, sample_rate_hz: int) -> WindowGrid:
        """Return where the windows of a source lie."""
        return WindowGrid(sample_rate_hz, self.front_end)

    def hold_back_samples(self, sample_rate_hz: int) -> int:
        """Return the hold-back in source samples."""
        front_end = self.front_end
        least_samples = front_end.window_length_samples + self.smoothing_windows * front_end.step_samples
        least = -(-least_samples * sample_rate_hz // front_end.sample_rate_hz)  # rounded up, in whole numbers
        return max(math.ceil(self.hold_back_seconds * sample_rate_hz), least)
