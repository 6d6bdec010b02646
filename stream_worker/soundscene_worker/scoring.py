"""From a complete window to the prediction that is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from soundscene.classifier import SceneClassifier, WindowVerdict, smooth
from soundscene.frontend import SharedFrames
from soundscene.windows import Window
from soundscene_worker.broker.protocol import TopicPartition
from soundscene_worker.messages.prediction import ModelReference, ScenePrediction, prediction_id
from soundscene_worker.streams.session import ReadyWindow, SessionKey

__all__ = ["SceneScorer"]


@dataclass(slots=True)
class _SessionScores:
    """Frames and verdicts that the next windows of a session share."""

    frames: SharedFrames
    recent: dict[int, WindowVerdict | Window] = field(default_factory=dict)

    def forget_below(self, index: int) -> None:
        self.recent = {at: known for at, known in self.recent.items() if at >= index}


class SceneScorer:
    """Scores the windows of many sessions, each frame once.

    A session belongs to its partition: one that is in two, because its device moved or two gateways send it, is scored
    in each as if it were alone, so that what comes of it is a function of that partition's log.

    Parameters
    ----------
    classifier : SceneClassifier
        The loaded bundle.
    now : callable
        Returns the current UTC time; used for latencies only.
    """

    def __init__(self, classifier: SceneClassifier, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._classifier = classifier
        bundle = classifier.bundle
        self._model = ModelReference(bundle.name, bundle.version, bundle.hash)
        self._now = now
        self._sessions: dict[tuple[TopicPartition, SessionKey], _SessionScores] = {}

    def with_classifier(self, classifier: SceneClassifier) -> SceneScorer:
        """Return a scorer that knows no session yet."""
        return SceneScorer(classifier, self._now)

    def score(self, partition: TopicPartition, ready: ReadyWindow, arrived: datetime) -> ScenePrediction | None:
        """Return the prediction of a window, or None for one that an earlier run has published.

        Parameters
        ----------
        partition : TopicPartition
            Where the session is.
        ready : ReadyWindow
            Windows of a session come in the order they became complete.
        arrived : datetime
            When the record that completed the window was received.
        """
        session = self._sessions.get((partition, ready.key))
        if session is None:
            session = _SessionScores(self._classifier.shared_frames())
            self._sessions[partition, ready.key] = session
        index = ready.window.index
        if not ready.publish:
            session.recent[index] = ready.window  # scored only if a successor asks for it
            session.forget_below(ready.oldest_useful)
            return None
        before = [self._verdict_of(session, predecessor) for predecessor in ready.predecessors]
        verdict = self._classifier.classify(ready.window, session.frames)
        session.recent[index] = verdict
        session.forget_below(ready.oldest_useful)
        smoothed = smooth([*before, verdict], self._classifier.bundle)
        return self._prediction(ready, verdict, smoothed, arrived)

    def close(self, partition: TopicPartition, key: SessionKey) -> None:
        """Forget a session of a partition."""
        self._sessions.pop((partition, key), None)

    def _verdict_of(self, session: _SessionScores, index: int) -> WindowVerdict:
        known = session.recent[index]
        if isinstance(known, Window):
            known = session.recent[index] = self._classifier.classify(known)
        return known

    def _prediction(
        self, ready: ReadyWindow, verdict: WindowVerdict, smoothed: NDArray[np.float64], arrived: datetime
    ) -> ScenePrediction:
        bundle, key = self._classifier.bundle, ready.key
        rate_hz = bundle.front_end.sample_rate_hz
        end = ready.start + timedelta(seconds=verdict.sample_count / rate_hz)
        spl = None if ready.calibration_db is None else verdict.level_dbfs + ready.calibration_db
        return ScenePrediction(
            id=prediction_id(key.device, key.session, key.sample_rate_hz, verdict.first_sample, bundle.hash),
            device=key.device,
            session=key.session,
            first_sample=verdict.first_sample,
            sample_count=verdict.sample_count,
            sample_rate=rate_hz,
            start=ready.start,
            end=end,
            scene=verdict.scene,
            score=verdict.score,
            scores=verdict.scores_by_label,
            networks=verdict.network_scenes,
            smoothed_scene=bundle.labels[int(smoothed.argmax())],
            smoothed_score=float(smoothed.max()),
            assessable=verdict.assessable,
            reasons=tuple(map(str, verdict.reasons)),
            level_dbfs=verdict.level_dbfs,
            level_dbspl=spl,
            model=self._model,
            latency_seconds={
                "capture_to_worker": (arrived - end).total_seconds(),
                **verdict.seconds,
                "total": (self._now() - end).total_seconds(),
            },
        )
