"""Small pieces of text that the commands share."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["bar", "clock"]

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int = 20) -> str:
    """Draw a share from 0 to 1 as a bar, always `width` characters long."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def clock(seconds: float, with_hours: bool = False) -> str:
    """Format a time as m:ss.s, or h:mm:ss.s."""
    tenths = math.floor(seconds * 10.0 + 0.5)
    minutes, tenths = divmod(tenths, 600)
    rest = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest}" if with_hours else f"{minutes}:{rest}"
