"""How sure a test is of its figures, as plain text: the report's sentences, and its tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["calibration_lines", "interval_text", "microphones_text", "parts_text", "robustness_lines", "threshold_text"]


def interval_text(interval: Mapping[str, Any]) -> str:
    """Write a 95 % interval of an accuracy, and how it was found."""
    return f"{interval['low']:.1%} to {interval['high']:.1%} ({interval['method']})"


def microphones_text(found: Mapping[str, Any]) -> str:
    """Write what microphones cost, from `robustness` or `join_robustness`."""
    return (
        f"{found['count']} microphone responses: {found['mean_points_lost']:.1f} points lost on the mean, "
        f"{found['worst_points_lost']:.1f} on the worst, {found['worst']}."
    )


def parts_text(by_part: Mapping[str, Mapping[str, int]]) -> str:
    """Write the clips right of each part that a cross-validation tested in turn."""
    rights = [f"{found['correct_count']}/{found['clip_count']} ({part})" for part, found in by_part.items()]
    return f"by part: {', '.join(rights)}"


def threshold_text(score: float) -> str:
    """Write a threshold with all the digits that `selective` gives it, since many lie close to 1."""
    return f"{score:.9g}"


def calibration_lines(calibration: Mapping[str, Any]) -> list[str]:
    """Format log loss and expected calibration error, before and after a temperature where one was fitted."""
    served = calibration["served_temperature"] != 1.0
    rows = {"as served" if served else "as they are": calibration["before"]}
    if "after" in calibration:
        rows["calibrated"] = calibration["after"]
    lines = [f"{'scores':<20}{'log loss':>10}{'calibration error':>19}"]
    return lines + [
        f"{name:<20}{found['log_loss']:>10.3f}{found['expected_calibration_error']:>19.1%}"
        for name, found in rows.items()
    ]


def robustness_lines(found: Mapping[str, Any], clip_count: int) -> list[str]:
    """Format what each distortion costs, from `robustness` or `join_robustness`."""
    width = max(20, *(len(name) + 1 for name in found["conditions"]))
    lines = [f"{'distortion':<{width}}{'correct':>12}{'accuracy':>10}{'points lost':>13}"]
    for name, item in found["conditions"].items():
        correct = f"{item['correct_count']}/{clip_count}"
        lines.append(f"{name:<{width}}{correct:>12}{item['accuracy']:>10.1%}{item['points_lost']:>13.1f}")
    if "microphones" in found:
        lines.append(microphones_text(found["microphones"]))
    return lines
