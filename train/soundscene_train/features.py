"""Spectrograms of a data set's windows, computed once and kept on disk.

They go through `AudioFile`, `resample_window` and `FrontEnd`: the same path that serves a live stream, so that what a
network is trained on is what it will be shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from soundscene.audio_files import AudioFile
from soundscene.frontend import (
    FrontEnd,
    Standardisation,
    WindowSpectra,
    floor_below_maximum,
    remove_mean,
    resample_window,
)
from soundscene.settings import NETWORK_NAMES, FrontEndSettings
from soundscene_train.datasets import Dataset
from soundscene_train.datasets.clips import require_undamaged
from soundscene_train.distortions import scaled
from soundscene_train.feature_cache import Block, StoredSpectra, fill_cache, is_filled, open_cache, slices_of
from soundscene_train.progress import Progress

__all__ = [
    "FeatureSettings",
    "Features",
    "has_features",
    "measure_standardisation",
    "prepare_features",
]

Array = NDArray[np.float32]

_LATER_STEPS: Final = frozenset({"dynamic_range_db", "remove_window_mean", "remove_band_means"})
"""Settings of what is done to a stored spectrogram: another choice of them needs no other spectrograms."""


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """What spectrograms are made of.

    Parameters
    ----------
    front_end : FrontEndSettings
        The front end.
    short_clip : {"repeat", "silence"}
        How a clip shorter than a window is extended, as in a bundle's fusion settings.
    gain_db : float
        Gain applied to the samples first; a quieter signal is rounded to 16 bits afterwards, as a sensor would.
    """

    front_end: FrontEndSettings
    short_clip: str = "repeat"
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Spectrograms of every window of a data set.

    Parameters
    ----------
    spectra : mapping of network to StoredSpectra
        Natural logarithm of power; an index gives np.ndarray [shape=(n, window frames, bands), float32].
    clip_of_window : np.ndarray [shape=(windows,), int64]
        Position in `Dataset.clips` of the clip each window is cut from.
    """

    spectra: dict[str, StoredSpectra]
    clip_of_window: NDArray[np.int64]

    @property
    def window_count(self) -> int:
        """Windows in all."""
        return len(self.clip_of_window)

    def windows_of(self, clips: Sequence[int]) -> NDArray[np.int64]:
        """Positions of the windows of some clips."""
        return np.flatnonzero(np.isin(self.clip_of_window, np.asarray(clips, np.int64)))


def prepare_features(
    dataset: Dataset, settings: FeatureSettings, cache: Path, progress: Progress | None = None, jobs: int = 1
) -> Features:
    """Compute or find the spectrograms of a data set.

    Interrupted work goes on where it stopped. A cache belongs to one data set and settings: others get another folder.

    Parameters
    ----------
    dataset : Dataset
        Clips of any rate and length.
    settings : FeatureSettings
        What is computed.
    cache : Path
        Folder for all caches.
    progress : callable or None
        Told how far it is.
    jobs : int > 0
        Processes.

    Raises
    ------
    DatasetError
        The folder cannot be written, or what is in it is damaged; or a clip breaks off before its end.
    AudioError
        A clip is not audio.
    """
    folder = _folder(dataset, settings, cache)
    if not is_filled(folder):
        fill_cache(folder, [clip.path for clip in dataset.clips], partial(_compute, settings), jobs, progress)
    return Features(*open_cache(folder))


def has_features(dataset: Dataset, settings: FeatureSettings, cache: Path) -> bool:
    """Tell whether a data set's spectrograms are all there."""
    return is_filled(_folder(dataset, settings, cache))


def measure_standardisation(
    spectra: StoredSpectra | Array, windows: NDArray[np.int64], settings: FrontEndSettings
) -> Standardisation:
    """Mean and standard deviation of a network's training input, after the steps that make it level-proof.

    Parameters
    ----------
    spectra : StoredSpectra or np.ndarray [shape=(windows, window frames, bands), float32]
        Natural logarithm of power.
    windows : np.ndarray [shape=(n,), int64]
        Those that are trained on.
    settings : FrontEndSettings
        The steps. Band means count in, even where they are to be removed: a network's own input normalisation does
        the rest.

    Returns
    -------
    Standardisation
        With channel constants that change nothing.
    """
    count, total, total_square, level = 0, 0.0, 0.0, 0.0
    for part in slices_of(windows):
        x = np.asarray(spectra[part])
        if settings.dynamic_range_db is not None:
            x = floor_below_maximum(x, settings.dynamic_range_db)
        level += float(x.sum(dtype=np.float64))
        if settings.remove_window_mean:
            x = remove_mean(x)
        count += x.size
        total += float(x.sum(dtype=np.float64))
        total_square += float(np.square(x, dtype=np.float64).sum())
    scale = np.sqrt(max(total_square / count - (total / count) ** 2, 1e-12))
    return Standardisation(level / count, float(scale), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def _folder(dataset: Dataset, settings: FeatureSettings, cache: Path) -> Path:
    return cache / f"{dataset.name}-{_key(dataset, settings)}"


def _key(dataset: Dataset, settings: FeatureSettings) -> str:
    """Name of a cache: changes with anything its content depends on, the files' sizes and dates included."""
    front_end = {key: value for key, value in settings.front_end.to_dict().items() if key not in _LATER_STEPS}
    files = [(str(clip.path), clip.path.stat().st_size, clip.path.stat().st_mtime_ns) for clip in dataset.clips]
    content = json.dumps([front_end, settings.short_clip, settings.gain_db, files], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _compute(settings: FeatureSettings, clips: Sequence[Path]) -> Block:
    """Return the spectrograms of some clips' windows, the same from any number of jobs."""
    front_end = FrontEnd(settings.front_end)
    counts, windows = [], []
    with threadpool_limits(1, user_api="blas"):  # several threads would add up in another order
        for path in clips:
            found = list(_clip_spectra(front_end, path, settings))
            counts.append(len(found))
            windows += found
    shape = (settings.front_end.window_frames, settings.front_end.band_count)
    return counts, {
        name: np.asarray([getattr(spectra, name) for spectra in windows], np.float16).reshape(-1, *shape)
        for name in NETWORK_NAMES
    }


def _clip_spectra(front_end: FrontEnd, path: Path, settings: FeatureSettings) -> Iterator[WindowSpectra]:
    """Yield the spectrograms of a clip's windows."""
    with AudioFile(path) as audio:
        for window in audio.windows(settings.front_end, settings.short_clip):
            samples = scaled(window.samples, settings.gain_db) if settings.gain_db else window.samples
            yield front_end.window_spectra(resample_window(samples, window.sample_rate_hz, settings.front_end))
        require_undamaged(audio)
