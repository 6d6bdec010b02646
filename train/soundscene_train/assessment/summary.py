"""All figures of an assessment, as JSON: what the report draws and the manifest holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene_train.assessment.calibration import expected_calibration_error, fit_temperature, reliability, selective
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.intervals import accuracy_interval
from soundscene_train.datasets.clips import Clip
from soundscene_train.distortions import Distortion
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import apply_temperature, log_loss

__all__ = ["cross_fitted_calibration", "join_robustness", "require_held_out", "robustness", "summarise"]


def summarise(scores: ClipScores, rule: str, held_out: ClipScores | None = None) -> dict[str, Any]:
    """Return intervals, class by device, calibration and selective accuracy of the fused decision.

    Parameters
    ----------
    scores : ClipScores
        Of the test clips.
    rule : {"product", "average"}
        How networks are joined.
    held_out : ClipScores or None
        Of training clips that the networks they come from had not seen, as `require_held_out` has found; a temperature
        is fitted on them.
    """
    fused = scores.fused(rule)
    hits = fused.argmax(axis=1) == scores.truth
    summary: dict[str, Any] = {
        "accuracy_95": accuracy_interval(hits, scores.groups).to_dict(),
        "class_95": {
            label: accuracy_interval(hits[chosen], _pick(scores.groups, chosen)).to_dict()
            for index, label in enumerate(scores.labels)
            if (chosen := scores.truth == index).any()
        },
        "device_95": {
            device: accuracy_interval(hits[chosen], _pick(scores.groups, chosen)).to_dict()
            for device in sorted(set(scores.devices) - {""})
            if (chosen := np.asarray(scores.devices) == device).any()
        },
        "class_by_device": _class_by_device(scores, hits),
        "device_log_loss": {
            device: round(log_loss(fused[chosen], scores.truth[chosen]), 4)
            for device in sorted(set(scores.devices) - {""})
            if (chosen := np.asarray(scores.devices) == device).any()
        },
        "calibration": {"served_temperature": scores.temperature, "before": _calibration(fused, scores.truth)},
        "selective_windows": selective(scores.fused_windows(rule), scores.truth[scores.clip_of_window]),
    }
    if held_out is not None:
        temperature = round(held_out.temperature * fit_temperature(held_out.fused(rule), held_out.truth), 4)
        summary["calibration"] |= {
            "temperature": temperature,
            "fitted_on": {"parts": list(held_out.parts), "clips": len(held_out.truth)},
            "after": _calibration(apply_temperature(fused, temperature / scores.temperature), scores.truth),
            "selective_windows": _selective_at(temperature, [scores], rule),
        }
    return summary


def require_held_out(held_out: ClipScores, labels: Sequence[str], clips: Sequence[Clip]) -> None:
    """Refuse to fit a temperature on what is tested.

    Raises
    ------
    TrainingError
        A part or a clip of the test is among the clips to fit on, or their labels differ.
    """
    if held_out.labels != tuple(labels):
        raise TrainingError("the run to calibrate from has other labels; it says nothing about this one")
    parts, names = {clip.part for clip in clips}, {str(clip.path) for clip in clips}
    shared = sorted(parts & set(held_out.parts)) or sorted(names & set(held_out.names))[:1]
    if shared:
        raise TrainingError(
            f"a temperature cannot be fitted on {', '.join(shared)}, which this evaluation tests: calibrate from a run "
            "that was tested on a part of the training data"
        )


def cross_fitted_calibration(tests: Sequence[ClipScores], rule: str) -> dict[str, Any]:
    """Return calibration after temperature scaling, where each test's temperature is fitted on all the others.

    Their clips are training data of the networks tested here, scored by networks that had not seen them.

    Parameters
    ----------
    tests : sequence of ClipScores
        At least two, one of each part.
    rule : {"product", "average"}
        How networks are joined.

    Returns
    -------
    dict
        `temperature`, fitted on all; `temperature_by_part`; `after`, over the clips of all tests; and
        `selective_windows`, at the temperature that was fitted on all.
    """
    fused, truths = [one.fused(rule) for one in tests], [one.truth for one in tests]
    by_part, mended = {}, []
    for number, one in enumerate(tests):
        others = [other for other in range(len(tests)) if other != number]
        temperature = fit_temperature(*(np.concatenate([rows[k] for k in others]) for rows in (fused, truths)))
        by_part[", ".join(one.parts)] = round(temperature, 4)
        mended.append(apply_temperature(fused[number], temperature))
    every = np.concatenate(truths)
    temperature = round(fit_temperature(np.concatenate(fused), every), 4)
    return {
        "temperature": temperature,
        "temperature_by_part": by_part,
        "after": _calibration(np.concatenate(mended), every),
        "selective_windows": _selective_at(temperature, tests, rule),
    }


def robustness(clean: ClipScores, spoilt: Mapping[str, tuple[Distortion, ClipScores]], rule: str) -> dict[str, Any]:
    """Return what each distortion costs, and the mean and the worst of the microphones.

    Returns
    -------
    dict
        `conditions`: for each name `kind`, `correct_count`, `accuracy`, `log_loss` and `points_lost`; and
        `microphones`, where there are any: `count`, `mean_points_lost`, `worst`, `worst_points_lost`.
    """
    base = _accuracy(clean, rule)
    conditions = {}
    for name, (distortion, scores) in spoilt.items():
        fused = scores.fused(rule)
        correct = int((fused.argmax(axis=1) == scores.truth).sum())
        conditions[name] = _condition(distortion.kind, correct, len(scores.truth), log_loss(fused, scores.truth), base)
    return _with_microphones(conditions)


def join_robustness(clean: ClipScores, folds: Sequence[tuple[int, Mapping[str, Any]]], rule: str) -> dict[str, Any]:
    """Return what each distortion costs over several tests, as `robustness` does over one.

    Parameters
    ----------
    clean : ClipScores
        The undistorted clips of all tests.
    folds : sequence of (int, mapping)
        Clips of each test, and what `robustness` found there.
    rule : str
        How networks are joined.
    """
    base, total = _accuracy(clean, rule), len(clean.truth)
    conditions = {}
    for name, first in folds[0][1]["conditions"].items():
        items = [(count, found["conditions"][name]) for count, found in folds]
        correct = sum(item["correct_count"] for _, item in items)
        loss = sum(count * item["log_loss"] for count, item in items) / total
        conditions[name] = _condition(first["kind"], correct, total, loss, base)
    return _with_microphones(conditions)


def _condition(kind: str, correct: int, count: int, loss: float, base: float) -> dict[str, Any]:
    return {
        "kind": kind,
        "correct_count": correct,
        "accuracy": round(correct / count, 4),
        "log_loss": round(loss, 4),
        "points_lost": round(100 * (base - correct / count), 2),
    }


def _with_microphones(conditions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    lost = {name: item["points_lost"] for name, item in conditions.items() if item["kind"] == "microphone"}
    found: dict[str, Any] = {"conditions": dict(conditions)}
    if lost:
        worst = max(lost, key=lost.__getitem__)
        found["microphones"] = {
            "count": len(lost),
            "mean_points_lost": round(float(np.mean(list(lost.values()))), 2),
            "worst": worst,
            "worst_points_lost": lost[worst],
        }
    return found


def _accuracy(scores: ClipScores, rule: str) -> float:
    return float((scores.fused(rule).argmax(axis=1) == scores.truth).mean())


def _calibration(fused: NDArray[np.float64], truth: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "log_loss": round(log_loss(fused, truth), 4),
        "expected_calibration_error": round(expected_calibration_error(fused, truth), 4),
        "reliability": reliability(fused, truth),
    }


def _selective_at(temperature: float, tests: Sequence[ClipScores], rule: str) -> list[dict[str, float]]:
    """Accuracy against coverage of windows that are served with a temperature, and the thresholds of these scores."""
    windows = [apply_temperature(one.fused_windows(rule), temperature / one.temperature) for one in tests]
    return selective(np.concatenate(windows), np.concatenate([one.truth[one.clip_of_window] for one in tests]))


def _class_by_device(scores: ClipScores, hits: NDArray[np.bool_]) -> dict[str, dict[str, list[int]]]:
    """Clips right and clips in all, by label and device."""
    devices = np.asarray(scores.devices)
    return {
        label: {
            device: [int(hits[chosen].sum()), int(chosen.sum())]
            for device in sorted(set(scores.devices) - {""})
            if (chosen := (scores.truth == index) & (devices == device)).any()
        }
        for index, label in enumerate(scores.labels)
        if any(scores.devices)
    }


def _pick(groups: Sequence[str], chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(group for group, take in zip(groups, chosen, strict=True) if take)
