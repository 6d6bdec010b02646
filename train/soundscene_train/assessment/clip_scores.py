"""Scores of clips, from a run or from a finished bundle, with all that an assessment needs to know about them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from soundscene.audio_files import AudioFile
from soundscene.classifier import SceneClassifier
from soundscene.fusion import decide
from soundscene.settings import NETWORK_NAMES
from soundscene_train.datasets.clips import Clip, require_undamaged
from soundscene_train.distortions import Distortion
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import alone, fuse_clips
from soundscene_train.files import reading_arrays, whole, writing
from soundscene_train.progress import Progress
from soundscene_train.run_folders import SCORES_NAME, how_to_test

__all__ = ["ClipScores", "score_clips"]


@dataclass(frozen=True, slots=True, eq=False)
class ClipScores:
    """What networks say about the windows of some clips.

    Parameters
    ----------
    windows : np.ndarray [shape=(networks, windows, labels), float64]
        Softmax scores of all three, in the order of `NETWORK_NAMES`; or of some, which are not kept.
    clip_of_window : np.ndarray [shape=(windows,), int64]
        Position of each window's clip, ascending from 0.
    truth : np.ndarray [shape=(clips,), int64]
        Position of each clip's label.
    labels, devices, groups : tuple of str
        The labels; devices and groups of the clips, "" where unknown.
    parts : tuple of str
        Folds or splits that the clips are from.
    names : tuple of str
        The clips' paths.
    temperature : float in 0.05..20
        Of the calibration that fused scores get where they are served; 1 for a run, which has none.

    Raises
    ------
    ValueError
        They are not of the same windows, clips and labels.
    """

    windows: NDArray[np.float64]
    clip_of_window: NDArray[np.int64]
    truth: NDArray[np.int64]
    labels: tuple[str, ...]
    devices: tuple[str, ...]
    groups: tuple[str, ...]
    parts: tuple[str, ...]
    names: tuple[str, ...]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Check that all arrays are of the same windows, clips and labels."""
        count = len(self.truth)
        if self.windows.shape[1:] != (len(self.clip_of_window), len(self.labels)):
            raise ValueError(f"scores of shape {self.windows.shape} for {len(self.clip_of_window)} windows")
        if not np.array_equal(np.unique(self.clip_of_window), np.arange(count)):
            raise ValueError(f"windows that are not those of {count} clips")
        if not {count} == {len(self.devices), len(self.groups), len(self.names)}:
            raise ValueError(f"names, devices or groups that are not those of {count} clips")
        if not set(self.truth.tolist()) <= set(range(len(self.labels))):
            raise ValueError(f"clips of labels beyond the {len(self.labels)}")

    @classmethod
    def of(
        cls,
        windows: NDArray[np.float64],
        clip_of_window: NDArray[np.int64],
        clips: Sequence[Clip],
        labels: tuple[str, ...],
        temperature: float = 1.0,
    ) -> Self:
        """Put scores together with what is known of the clips that the windows are of."""
        return cls(
            windows,
            clip_of_window,
            np.array([labels.index(clip.label) for clip in clips], np.int64),
            labels,
            tuple(clip.device for clip in clips),
            tuple(clip.group for clip in clips),
            tuple(sorted({clip.part for clip in clips})),
            tuple(str(clip.path) for clip in clips),
            temperature,
        )

    def fused(self, rule: str) -> NDArray[np.float64]:
        """One row of scores per clip: (clips, labels)."""
        return fuse_clips(self.windows, self.clip_of_window, rule, self.temperature)

    def of_network(self, name: str) -> NDArray[np.float64]:
        """One row of scores per clip from one network alone: (clips, labels)."""
        return alone(self.windows[NETWORK_NAMES.index(name)], self.clip_of_window)

    def fused_windows(self, rule: str) -> NDArray[np.float64]:
        """One row of scores per window: (windows, labels)."""
        count = self.windows.shape[1]
        return np.stack([decide(self.windows[:, [index]], rule, self.temperature) for index in range(count)])

    def save(self, folder: Path) -> None:
        """Write `scores.npz`, from which another run's temperature may be fitted.

        Raises
        ------
        TrainingError
            The folder cannot be written.
        """
        content = {name: np.asarray(getattr(self, name)) for name in self.__slots__}
        with writing(folder, "the scores"), whole(folder / SCORES_NAME) as stream:
            np.savez_compressed(stream, **content)  # type: ignore[arg-type]  # one array per name

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        TrainingError
            There is none, or it is damaged.
        """
        path = folder / SCORES_NAME
        if not path.is_file():
            raise TrainingError(f"{folder} holds no {SCORES_NAME}; {how_to_test(folder)}")
        with reading_arrays(path, "what `evaluate` wrote", how_to_test(folder)) as held:
            arrays: Any = {name: held[name] for name in ("windows", "clip_of_window", "truth")}
            if len(arrays["windows"]) != len(NETWORK_NAMES):
                raise ValueError(f"scores of {len(arrays['windows'])} networks, not of {len(NETWORK_NAMES)}")
            names = ("labels", "devices", "groups", "parts", "names")
            texts: Any = {name: tuple(str(text) for text in held[name]) for name in names}
            temperature = float(held["temperature"]) if "temperature" in held else 1.0  # older ones have none
            return cls(**arrays, **texts, temperature=temperature)


def score_clips(
    classifier: SceneClassifier,
    clips: Sequence[Clip],
    distortion: Distortion | None = None,
    progress: Progress | None = None,
) -> ClipScores:
    """Score clips, of which there is one at least, as the plugin does, each spoilt first if a distortion is given.

    Raises
    ------
    TrainingError
        A label is not the bundle's, or a clip cannot be spoilt.
    DatasetError
        A clip breaks off before its end.
    AudioError
        A clip is not audio.
    """
    labels = classifier.bundle.labels
    strange = sorted({clip.label for clip in clips} - set(labels))
    if strange:
        raise TrainingError(f"expected clips of the bundle's labels {', '.join(labels)}; got {', '.join(strange)}")
    scores, owners = [], []
    with tempfile.TemporaryDirectory(prefix="soundscene-") as folder:
        for position, clip in enumerate(clips):
            path = clip.path
            if distortion is not None:
                path = Path(folder) / f"clip.{distortion.container.lower()}"
                distortion.write(clip.path, path)
            for row in _score_file(classifier, path, is_original=distortion is None):
                scores.append(row)
                owners.append(position)
            if progress is not None:
                progress(position + 1, len(clips))
    owner = np.asarray(owners, np.int64)
    return ClipScores.of(np.stack(scores, axis=1), owner, clips, labels, classifier.bundle.temperature)


def _score_file(classifier: SceneClassifier, path: Path, *, is_original: bool) -> list[NDArray[np.float64]]:
    """Scores of each window: (networks, labels)."""
    bundle = classifier.bundle
    with AudioFile(path) as audio:
        scores = [
            np.asarray(classifier.classify(window).network_scores, np.float64)
            for window in audio.windows(bundle.front_end, bundle.fusion.short_clip)
        ]
        if is_original:  # how much a codec promises is its own matter
            require_undamaged(audio)
    return scores
