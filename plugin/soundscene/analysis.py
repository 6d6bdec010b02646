"""What a whole file holds: a verdict for each window and the paper's decision over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundscene.audio_files import AudioFile
from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier, WindowVerdict, smooth
from soundscene.errors import AudioError
from soundscene.windows import Window, WindowGrid

__all__ = ["FileAnalysis", "analyze_file"]


@dataclass(frozen=True, eq=False)
class FileAnalysis:
    """The verdicts of one file.

    Parameters
    ----------
    path : Path
        The file.
    sample_rate_hz : int
        Its rate.
    duration_seconds : float
        How long it is.
    verdicts : tuple of WindowVerdict
        One for each complete window, or one for a clip that was extended to a window.
    extended_by : {"repeat", "silence"} or None
        How a clip shorter than a window was extended.
    defect : str or None
        What is wrong with a file that could be read in part only.
    bundle : Bundle
        What classified it.
    """

    path: Path
    sample_rate_hz: int
    duration_seconds: float
    verdicts: tuple[WindowVerdict, ...]
    extended_by: str | None
    defect: str | None
    bundle: Bundle

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Decision over all patches: equation 1 over the windows, then the bundle's rule over the networks."""
        return smooth(self.verdicts, self.bundle)

    @property
    def scene(self) -> str:
        """The winner over the whole file."""
        return self.bundle.labels[int(self.scores.argmax())]

    @property
    def score(self) -> float:
        """The winner's score, in [0, 1]."""
        return float(self.scores.max())

    @property
    def assessable_count(self) -> int:
        """Windows whose verdict may be believed; the decision over the file is over all of them."""
        return sum(verdict.assessable for verdict in self.verdicts)

    def smoothed(self, index: int) -> NDArray[np.float64]:
        """Decision over window `index` and those before it, as many as the bundle says."""
        first = max(0, index + 1 - self.bundle.fusion.smoothing_windows)
        return smooth(self.verdicts[first : index + 1], self.bundle)


def analyze_file(
    path: Path | str, classifier: SceneClassifier, on_window: Callable[[Window], object] | None = None
) -> FileAnalysis:
    """Classify every window of a file.

    Parameters
    ----------
    path : path
        Anything that soundfile reads, of any rate, channel count and length.
    classifier : SceneClassifier
        Decides with its bundle.
    on_window : callable or None
        Called with each window before it is classified, for progress or a plot.

    Raises
    ------
    AudioError
        The file is missing, empty, not audio, or holds samples that are not finite, or absurd; the message names it.
    """
    bundle = classifier.bundle
    frames = classifier.shared_frames()
    verdicts = []
    with AudioFile(path) as file:
        for window in file.windows(bundle.front_end, bundle.fusion.short_clip):
            try:
                if on_window is not None:
                    on_window(window)
                verdicts.append(classifier.classify(window, frames))
            except AudioError as error:  # of the window's samples, which know no file
                raise AudioError(f"{file.path}: {error}") from error
        is_short = file.sample_count < WindowGrid(file.sample_rate_hz, bundle.front_end).length_samples
        return FileAnalysis(
            path=file.path,
            sample_rate_hz=file.sample_rate_hz,
            duration_seconds=file.duration_seconds,
            verdicts=tuple(verdicts),
            extended_by=bundle.fusion.short_clip if is_short else None,
            defect=file.defect,
            bundle=bundle,
        )
