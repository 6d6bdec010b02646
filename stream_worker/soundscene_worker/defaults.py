"""Defaults that several programs share: what one of them is not told, the others take for the same."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CHUNKS_TOPIC",
    "DEAD_LETTERS_TOPIC",
    "DEVICES_PER_PARTITION",
    "DEVICE_BYTES",
    "HOLD_BACK_SECONDS",
    "IDLE_SECONDS",
    "PREDICTIONS_TOPIC",
    "SESSIONS_PER_DEVICE",
]

CHUNKS_TOPIC: Final = "audio.chunks"
PREDICTIONS_TOPIC: Final = "scene.predictions"
DEAD_LETTERS_TOPIC: Final = "audio.dead-letters"

HOLD_BACK_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 120.0
SESSIONS_PER_DEVICE: Final = 4
DEVICES_PER_PARTITION: Final = 500
DEVICE_BYTES: Final = 32 * 1024**2
