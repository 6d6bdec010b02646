"""What two predictions of one window must have in common."""

from __future__ import annotations

from typing import Final

from soundscene_worker.messages.prediction import ScenePrediction

__all__ = ["TOLERANCE", "facts", "numbers"]

TOLERANCE: Final = 1e-5
"""How far scores and levels of a window scored again may lie from the first."""


def facts(prediction: ScenePrediction) -> tuple[object, ...]:
    """Return everything that must be the same; latencies may differ, and the smoothed verdict is looked at apart."""
    p = prediction
    where = (p.device, p.session, p.first_sample, p.sample_count, p.sample_rate, p.start, p.end)
    what = (p.scene, sorted(p.networks.items()), p.assessable, p.reasons, p.level_dbspl is None)
    return where + what


def numbers(prediction: ScenePrediction) -> dict[str, float]:
    """Return everything that must be nearly the same, sorted; a label has another name here than any field."""
    scores = {f"scores.{label}": score for label, score in prediction.scores.items()}
    others = {
        "level_dbfs": prediction.level_dbfs,
        "level_dbspl": prediction.level_dbspl or 0.0,
    }
    return dict(sorted({**scores, **others}.items()))
