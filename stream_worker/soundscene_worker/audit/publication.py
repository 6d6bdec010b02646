"""What stands on the predictions topic: each window once, as first published, and every repetition compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from soundscene_worker.messages.prediction import InvalidPrediction, ScenePrediction, decode_prediction

__all__ = ["TOLERANCE", "Publications", "differ"]

TOLERANCE: Final = 1e-5
"""How far scores and levels of a window scored again may lie from the first."""


def differ(first: ScenePrediction, again: ScenePrediction) -> bool:
    """Tell whether two predictions of one id say different things; latencies may differ."""
    return _facts(first) != _facts(again) or not _near(_numbers(first), _numbers(again))


def _facts(prediction: ScenePrediction) -> tuple[object, ...]:
    """Everything that must be the same."""
    p = prediction
    where = (p.device, p.session, p.first_sample, p.sample_count, p.sample_rate, p.start, p.end)
    what = (p.scene, p.smoothed_scene, dict(p.networks), p.assessable, p.reasons, p.level_dbspl is None)
    return where + what


def _numbers(prediction: ScenePrediction) -> dict[str, float]:
    """Everything that must be nearly the same; a label has another name here than any field."""
    scores = {f"scores.{label}": score for label, score in prediction.scores.items()}
    return scores | {
        "smoothed_score": prediction.smoothed_score,
        "level_dbfs": prediction.level_dbfs,
        "level_dbspl": prediction.level_dbspl or 0.0,
    }


def _near(first: Mapping[str, float], again: Mapping[str, float]) -> bool:
    return first.keys() == again.keys() and all(abs(first[name] - again[name]) <= TOLERANCE for name in first)


@dataclass(slots=True)
class Publications:
    """Predictions by id.

    Parameters
    ----------
    model : str or None
        Count only those of the bundle with this hash.
    """

    model: str | None = None
    first: dict[str, ScenePrediction] = field(default_factory=dict)
    repetitions: dict[str, int] = field(default_factory=dict)
    differing: set[str] = field(default_factory=set)
    foreign: int = 0

    def take(self, value: bytes | None) -> None:
        """Take the value of one record; what is no prediction is counted as foreign."""
        try:
            prediction = decode_prediction(value)
        except InvalidPrediction:
            self.foreign += 1
            return
        if self.model not in (None, prediction.model.hash):
            return
        first = self.first.setdefault(prediction.id, prediction)
        if first is prediction:
            return
        self.repetitions[prediction.id] = self.repetitions.get(prediction.id, 0) + 1
        if differ(first, prediction):
            self.differing.add(prediction.id)

    @property
    def models(self) -> dict[str, str]:
        """Name and version by hash of the bundles that were seen."""
        return {p.model.hash: f"{p.model.name} {p.model.version}" for p in self.first.values()}
