"""95 % intervals of an accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "accuracy_interval", "mean_interval", "wilson"]

_NORMAL_QUANTILE: Final = 1.959963984540054
_RESAMPLES: Final = 2000
_MIN_GROUPS: Final = 5
"""Fewer groups than this say nothing about how groups differ."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies, 95 times of 100.

    Parameters
    ----------
    low, high : float
        Its ends.
    method : str
        "wilson": clips taken as independent; "bootstrap over groups": whole groups drawn with replacement.
    """

    low: float
    high: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy."""
        return {"low": round(self.low, 4), "high": round(self.high, 4), "method": self.method}


def wilson(correct: int, count: int) -> Interval:
    """Return Wilson's score interval of a share (Wilson 1927).

    Parameters
    ----------
    correct, count : int
        Hits of at least one trial.
    """
    share, square = correct / count, _NORMAL_QUANTILE**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    spread = _NORMAL_QUANTILE * np.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return Interval(max(0.0, float(centre - spread)), min(1.0, float(centre + spread)), "wilson")


def accuracy_interval(hits: NDArray[np.bool_], groups: Sequence[str] = ()) -> Interval:
    """Return the interval of an accuracy, over groups where they are known.

    Clips of one place or recording err together, so that drawing clips would promise too much. Wilson's interval is
    taken where groups are unknown or fewer than five, and where all do equally well: a bootstrap of those has no width.

    Parameters
    ----------
    hits : np.ndarray [shape=(clips,), bool]
        Which clips are right; at least one clip.
    groups : sequence of str
        One for each clip, or none; "" is unknown.
    """
    correct = int(hits.sum())
    names = set(groups)
    if "" in names or len(names) < _MIN_GROUPS:
        return wilson(correct, len(hits))
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    right = np.bincount(member, weights=hits)
    total = np.bincount(member)
    if np.ptp(right / total) == 0.0:
        return wilson(correct, len(hits))
    drawn = np.random.default_rng(0).integers(0, len(total), (_RESAMPLES, len(total)))
    shares = right[drawn].sum(axis=1) / total[drawn].sum(axis=1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return Interval(float(low), float(high), "bootstrap over groups")


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return Student's t interval of a mean over seeds; None for fewer than two values."""
    from scipy import stats

    if len(values) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(float(np.mean(values)) - half, float(np.mean(values)) + half, "t over seeds")
