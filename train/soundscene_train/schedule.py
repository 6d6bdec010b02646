"""The learning rate over a run."""

from __future__ import annotations

import math
from typing import Final

from soundscene_train.recipe import FitSettings

__all__ = ["learning_rate_at"]

_LOWEST_SHARE: Final = 0.01
"""Share of the learning rate that the cosine schedule ends at."""


def learning_rate_at(step: int, step_count: int, settings: FitSettings) -> float:
    """Return the learning rate of a step, counted from 0."""
    if settings.schedule == "constant":
        return settings.learning_rate
    warm_up = round(settings.warm_up_share * step_count)
    if step < warm_up:
        return settings.learning_rate * (step + 1) / warm_up
    turn = (step - warm_up) / max(1, step_count - warm_up)
    cosine = 0.5 * (1.0 + math.cos(math.pi * turn))
    return settings.learning_rate * (_LOWEST_SHARE + (1.0 - _LOWEST_SHARE) * cosine)
