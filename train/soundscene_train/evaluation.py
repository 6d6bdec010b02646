"""How well scores fit the truth: one pure function on arrays, used for every network, fusion and device alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.fusion import RULES, decide
from soundscene.settings import NETWORK_NAMES
from soundscene_train.errors import TrainingError

__all__ = ["Result", "alone", "apply_temperature", "evaluate", "evaluate_all", "fuse_clips", "log_loss"]

_TINY: Final = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Measures of one classifier on one set of clips.

    Parameters
    ----------
    clip_count, correct_count : int
        Clips, and those whose best label is the true one.
    accuracy, macro_accuracy : float in [0, 1]
        Over all clips, and the mean over the classes that occur.
    log_loss : float >= 0
        Mean of -ln of the true label's score.
    confusion : np.ndarray [shape=(labels, labels), int64]
        Rows are the truth, columns the decision.
    class_accuracy : mapping of label to float
        Only classes that occur.
    device_accuracy : mapping of device to float
        Empty where devices are unknown.
    """

    clip_count: int
    correct_count: int
    accuracy: float
    macro_accuracy: float
    log_loss: float
    confusion: NDArray[np.int64]
    class_accuracy: Mapping[str, float]
    device_accuracy: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy, rounded to what the number of clips can tell."""
        return {
            "clip_count": self.clip_count,
            "correct_count": self.correct_count,
            "accuracy": round(self.accuracy, 4),
            "macro_accuracy": round(self.macro_accuracy, 4),
            "log_loss": round(self.log_loss, 4),
            "class_accuracy": {key: round(value, 4) for key, value in self.class_accuracy.items()},
            "device_accuracy": {key: round(value, 4) for key, value in self.device_accuracy.items()},
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    scores: NDArray[np.float64], truth: NDArray[np.int64], labels: Sequence[str], devices: Sequence[str] = ()
) -> Result:
    """Compare scores with the truth.

    Parameters
    ----------
    scores : np.ndarray [shape=(clips, labels), float64]
        Rows that sum to 1.
    truth : np.ndarray [shape=(clips,), int64]
        Position of the true label.
    labels : sequence of str
        In the order of the columns.
    devices : sequence of str
        One for each clip, or none at all; "" is a device unknown.

    Raises
    ------
    TrainingError
        There is nothing to compare, or the shapes do not fit.
    """
    if scores.shape != (len(truth), len(labels)) or not len(truth):
        raise TrainingError(
            f"expected scores of shape ({len(truth)}, {len(labels)}) and at least one clip, got {scores.shape}"
        )
    if len(devices) not in {0, len(truth)}:
        raise TrainingError(f"expected {len(truth)} devices, one for each clip, or none, got {len(devices)}")
    decided = scores.argmax(axis=1)
    hits = decided == truth
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (truth, decided), 1)
    class_accuracy = {labels[index]: float(hits[truth == index].mean()) for index in np.unique(truth)}
    named = np.asarray(devices)
    device_accuracy = {str(name): float(hits[named == name].mean()) for name in np.unique(named) if name}
    return Result(
        clip_count=len(truth),
        correct_count=int(hits.sum()),
        accuracy=float(hits.mean()),
        macro_accuracy=float(np.mean(list(class_accuracy.values()))),
        log_loss=log_loss(scores, truth),
        confusion=confusion,
        class_accuracy=class_accuracy,
        device_accuracy=device_accuracy,
    )


def log_loss(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Mean of -ln of the true label's score."""
    return float(-np.log(np.maximum(scores[np.arange(len(truth)), truth], _TINY)).mean())


def apply_temperature(scores: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Soften (above 1) or sharpen (below 1) scores; the best label stays the best.

    Parameters
    ----------
    scores : np.ndarray [shape=(clips, labels), float64]
        Rows that sum to 1.
    temperature : float > 0
        Divides the logarithms (Guo et al., 2017).
    """
    logarithms = np.log(np.maximum(scores, _TINY)) / temperature
    powers = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def fuse_clips(
    window_scores: NDArray[np.float64], clip_of_window: NDArray[np.int64], rule: str, temperature: float = 1.0
) -> NDArray[np.float64]:
    """Join the scores of each clip's windows and networks, as the plugin does.

    Parameters
    ----------
    window_scores : np.ndarray [shape=(networks, windows, labels), float64]
        All networks, or one alone.
    clip_of_window : np.ndarray [shape=(windows,), int64]
        Clips come out in the order of these numbers.
    rule : {"product", "average"}
        How networks are joined.
    temperature : float in 0.05..20
        Of the bundle's calibration.

    Returns
    -------
    np.ndarray [shape=(clips, labels), float64]
    """
    clips = np.unique(clip_of_window)
    return np.stack([decide(window_scores[:, clip_of_window == clip], rule, temperature) for clip in clips])


def alone(scores: NDArray[np.float64], clip_of_window: NDArray[np.int64]) -> NDArray[np.float64]:
    """Join the scores of each clip's windows from one network: (windows, labels) to (clips, labels)."""
    return fuse_clips(scores[None], clip_of_window, "average")


def evaluate_all(
    window_scores: NDArray[np.float64],
    clip_of_window: NDArray[np.int64],
    truth: NDArray[np.int64],
    labels: Sequence[str],
    devices: Sequence[str] = (),
    *,
    temperatures: Mapping[str, float] | None = None,
    networks: Sequence[str] = NETWORK_NAMES,
) -> dict[str, Result]:
    """Evaluate each network alone and, where all are there, both ways to join them.

    Parameters
    ----------
    window_scores : np.ndarray [shape=(networks, windows, labels), float64]
        In the order of `networks`.
    clip_of_window : np.ndarray [shape=(windows,), int64]
        Numbers of clips, in the order of `truth`.
    truth, labels, devices
        As in `evaluate`.
    temperatures : mapping of rule to float in 0.05..20, or None
        Of the bundle's calibration, which is fitted for the rule it serves; other rules have 1.
    networks : sequence of str
        Some of `NETWORK_NAMES`, or all.

    Returns
    -------
    dict of str to Result
        Keys are the networks' names and the rules.
    """
    single = {name: alone(scores, clip_of_window) for name, scores in zip(networks, window_scores, strict=True)}
    fitted, rules = temperatures or {}, RULES if len(networks) == len(NETWORK_NAMES) else ()
    joined = {rule: fuse_clips(window_scores, clip_of_window, rule, fitted.get(rule, 1.0)) for rule in rules}
    return {name: evaluate(scores, truth, labels, devices) for name, scores in (single | joined).items()}
