"""Whether a score of 0.8 is right 8 times in 10: reliability, expected calibration error, temperature scaling."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.fusion import TEMPERATURES
from soundscene_train.evaluation import apply_temperature, log_loss

__all__ = ["expected_calibration_error", "fit_temperature", "reliability", "selective"]

Scores = NDArray[np.float64]

_BINS: Final = 10
_STEPS: Final = 1e9
"""Of a threshold, from 0 to 1."""


def fit_temperature(scores: Scores, truth: NDArray[np.int64]) -> float:
    """Return the temperature in 0.05..20 with the least log loss on clips that were not trained on."""
    from scipy import optimize

    low, high = np.log(TEMPERATURES)
    found = optimize.minimize_scalar(
        lambda exponent: log_loss(apply_temperature(scores, float(np.exp(exponent))), truth),
        bounds=(low, high),
        method="bounded",
    )
    return float(np.exp(found.x))


def reliability(scores: Scores, truth: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return, for each tenth of the best score that occurs, how sure and how right the decisions were.

    Returns
    -------
    list of dict
        `low`, `high`, `count`, `score` (mean) and `accuracy`.
    """
    best, hits = scores.max(axis=1), scores.argmax(axis=1) == truth
    number = np.minimum((best * _BINS).astype(np.int64), _BINS - 1)
    return [
        {
            "low": index / _BINS,
            "high": (index + 1) / _BINS,
            "count": int(inside.sum()),
            "score": round(float(best[inside].mean()), 4),
            "accuracy": round(float(hits[inside].mean()), 4),
        }
        for index in range(_BINS)
        if (inside := number == index).any()
    ]


def expected_calibration_error(scores: Scores, truth: NDArray[np.int64]) -> float:
    """Mean distance between score and accuracy over the bins of `reliability`, weighted by their clips."""
    bins = reliability(scores, truth)
    return float(sum(b["count"] * abs(b["score"] - b["accuracy"]) for b in bins) / len(truth))


def selective(scores: Scores, truth: NDArray[np.int64]) -> list[dict[str, float]]:
    """Return accuracy against coverage when the least sure decisions are declared not assessable.

    Returns
    -------
    list of dict
        For coverages of 100, 95, ... 50 % at least, one where several keep the same: `unsure_below`, the setting of the
        bundle, below 1 and rounded down, since scores of a product come close to 1; `coverage`, the share that it
        keeps; and `accuracy` of what is kept.
    """
    best, hits = scores.max(axis=1), scores.argmax(axis=1) == truth
    descending = np.sort(best)[::-1]
    curve: list[dict[str, float]] = []
    for percent in range(100, 45, -5):
        least = descending[max(0, -(-len(best) * percent // 100) - 1)]
        threshold = 0.0 if percent == 100 else min(math.floor(least * _STEPS) / _STEPS, 1.0 - 1.0 / _STEPS)
        kept = best >= threshold
        coverage, accuracy = round(float(kept.mean()), 4), round(float(hits[kept].mean()), 4)
        if not curve or coverage < curve[-1]["coverage"]:
            curve.append({"coverage": coverage, "accuracy": accuracy, "unsure_below": threshold})
    return curve
