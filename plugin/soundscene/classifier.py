"""From a window of sound to a verdict: the three spectrograms, the three networks, their fusion and its assessment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundscene.assessment import Reason, assess
from soundscene.bundle import Bundle
from soundscene.errors import BundleError, SettingsError
from soundscene.frontend import FrontEnd, SharedFrames, WindowSpectra, patch, resample_window
from soundscene.settings import NETWORK_NAMES
from soundscene.windows import Window, WindowGrid

__all__ = ["SceneClassifier", "WindowVerdict", "smooth"]


@dataclass(frozen=True, slots=True, eq=False)
class WindowVerdict:
    """What was heard in one window.

    Parameters
    ----------
    index, first_sample, sample_count : int
        The window, as in `Window`: samples are counted at the bundle's rate.
    labels : tuple of str
        The bundle's labels, in the order of the scores.
    network_scores : np.ndarray [shape=(networks, labels), float32]
        Softmax of each network, in the order of `NETWORK_NAMES`.
    scores : np.ndarray [shape=(labels,), float64]
        Their fusion; sums to 1.
    level_dbfs : float
        RMS level of the window.
    reasons : tuple of Reason
        Why the verdict should not be believed; empty when it may be.
    seconds : mapping of str to float
        Wall time spent on `features` and `inference`.
    """

    index: int
    first_sample: int
    sample_count: int
    labels: tuple[str, ...]
    network_scores: NDArray[np.float32]
    scores: NDArray[np.float64]
    level_dbfs: float
    reasons: tuple[Reason, ...]
    seconds: Mapping[str, float]

    @property
    def scene(self) -> str:
        """The winner."""
        return self.labels[int(self.scores.argmax())]

    @property
    def score(self) -> float:
        """The winner's score, in [0, 1]."""
        return float(self.scores.max())

    @property
    def scores_by_label(self) -> dict[str, float]:
        """All labels to scores."""
        return dict(zip(self.labels, self.scores.tolist(), strict=True))

    @property
    def network_scenes(self) -> dict[str, str]:
        """Each network's own winner."""
        winners = self.network_scores.argmax(axis=1).tolist()
        return {name: self.labels[winner] for name, winner in zip(NETWORK_NAMES, winners, strict=True)}

    @property
    def assessable(self) -> bool:
        """Whether the verdict may be believed."""
        return not self.reasons


class SceneClassifier:
    """Classifies windows with one bundle. Not for use by two threads at once: make one for each process.

    Parameters
    ----------
    bundle : Bundle
        From `load_bundle`.

    Attributes
    ----------
    bundle : Bundle
        What it was made with.
    front_end : FrontEnd
        Shared by all its sessions.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.front_end = FrontEnd(bundle.front_end)
        self._networks = tuple(bundle.load_network(name) for name in NETWORK_NAMES)

    def shared_frames(self) -> SharedFrames:
        """Make the memory of one session, which saves the frames that its overlapping windows share."""
        return SharedFrames(self.front_end)

    def warm_up(self) -> None:
        """Classify a window of silence, so that the first real window is as fast as the others.

        Raises
        ------
        BundleError
            Silence, where every power is at the floor, has scores that are no numbers.
        """
        grid = WindowGrid(self.bundle.front_end.sample_rate_hz, self.bundle.front_end)
        verdict = self.classify(grid.window(0, np.zeros(grid.length_samples, np.float32)))
        if not np.isfinite(verdict.network_scores).all():
            raise BundleError(
                f"bundle {self.bundle.directory}: the scores of silence must be finite numbers, got "
                f"{verdict.network_scores.tolist()}; correct its front end or standardisation and export it again"
            )

    def classify(self, window: Window, frames: SharedFrames | None = None) -> WindowVerdict:
        """Classify one window.

        The verdict depends on the window's samples alone: `frames` only saves time.

        Parameters
        ----------
        window : Window
            At any rate; another rate than the bundle's is resampled.
        frames : SharedFrames or None
            The memory of the window's session, from `shared_frames`.

        Raises
        ------
        AudioError
            The samples are not finite.
        SettingsError
            The window was cut for another bundle.
        """
        if window.sample_count != self.bundle.front_end.window_length_samples:
            raise SettingsError(
                f"this bundle needs windows of {self.bundle.front_end.window_length_samples} samples, "
                f"got {window.sample_count}: cut them with a WindowGrid of the bundle's front end"
            )
        started = time.perf_counter()
        patches = self._patches(self._spectra(window, frames))
        extracted = time.perf_counter()
        pairs = zip(self._networks, patches, strict=True)
        network_scores = np.stack([network.score(patch) for network, patch in pairs])  # (networks, labels)
        scores = self.bundle.decide(network_scores[:, np.newaxis])  # (labels,)
        scored = time.perf_counter()
        assessment = assess(window.samples, scores, self.bundle.fusion.unsure_below)
        return WindowVerdict(
            index=window.index,
            first_sample=window.first_sample,
            sample_count=window.sample_count,
            labels=self.bundle.labels,
            network_scores=network_scores,
            scores=scores,
            level_dbfs=assessment.level_dbfs,
            reasons=assessment.reasons,
            seconds={"features": extracted - started, "inference": scored - extracted},
        )

    def _spectra(self, window: Window, frames: SharedFrames | None) -> WindowSpectra:
        settings = self.bundle.front_end
        if window.sample_rate_hz != settings.sample_rate_hz:  # its windows share no frames
            samples = resample_window(window.samples, window.sample_rate_hz, settings)
            return self.front_end.window_spectra(samples)
        if frames is None:
            return self.front_end.window_spectra(window.samples)
        return frames.window_spectra(window.first_sample, window.samples)

    def _patches(self, spectra: WindowSpectra) -> list[NDArray[np.float32]]:
        """One patch per network, each (bands, frames, channels)."""
        return [
            patch(getattr(spectra, name), self.bundle.front_end, name, self.bundle.standardisation[name])
            for name in NETWORK_NAMES
        ]


def smooth(verdicts: Sequence[WindowVerdict], bundle: Bundle) -> NDArray[np.float64]:
    """Join the last windows of a session, or all of a file, to one decision: equations 1 and 3 over their patches.

    Parameters
    ----------
    verdicts : sequence of WindowVerdict
        At least one, of `bundle`.
    bundle : Bundle
        Its rule joins the networks, its calibration the outcome.

    Returns
    -------
    np.ndarray [shape=(labels,), float64]
        Scores that sum to 1.
    """
    return bundle.decide(np.stack([verdict.network_scores for verdict in verdicts], axis=1))
