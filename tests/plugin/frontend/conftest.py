"""Signals the front end is tested with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundscene.frontend import FrontEnd
from soundscene.settings import FrontEndSettings

Samples = NDArray[np.float32]

_PARITY_PRESETS = ("five-seconds", "paper")


@pytest.fixture(scope="session", params=_PARITY_PRESETS)
def front_end(request: pytest.FixtureRequest) -> FrontEnd:
    """A front end of each of the two kinds of preset: wide and narrow constant-Q."""
    return FrontEnd(FrontEndSettings.preset(request.param))


@pytest.fixture(scope="session")
def default_front_end() -> FrontEnd:
    return FrontEnd(FrontEndSettings())


def make_signals(count: int) -> dict[str, Samples]:
    """Synthetic signals by name, full scale 1.0, at 44.1 kHz."""
    seconds = np.arange(count) / 44_100
    noise = np.random.default_rng(20_211).standard_normal(count)
    signals = {
        "zeros": np.zeros(count),
        "noise": 0.1 * noise,
        "sine": 0.5 * np.sin(2 * np.pi * 220.0 * seconds),
        "chirp": 0.3 * np.sin(2 * np.pi * (20.0 + 0.5 * 1_500.0 * seconds) * seconds) + 1e-3 * noise,
    }
    return {name: signal.astype(np.float32) for name, signal in signals.items()}


@pytest.fixture(scope="session")
def real_clips(real_recordings: Callable[[str], Path]) -> dict[str, Samples]:
    """Real mono recordings at 44.1 kHz by file name: three sounds of ESC-10 and two street scenes."""
    files = sorted((real_recordings("esc10") / "audio").glob("*.ogg"))[::110]
    files += sorted(real_recordings("tau-mobile-clips").glob("*.wav"))[:2]
    clips = {}
    for file in files:
        samples, rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
        if rate_hz == 44_100:
            clips[file.name] = samples.mean(axis=1)
    return clips


def windows_of(clips: dict[str, Samples], settings: FrontEndSettings) -> dict[str, Samples]:
    """The first window of each clip, repeated to its length where the clip is shorter."""
    return {name: np.resize(clip, settings.window_length_samples) for name, clip in clips.items()}


@pytest.fixture(scope="session")
def real_windows(real_clips: dict[str, Samples], front_end: FrontEnd) -> dict[str, Samples]:
    return windows_of(real_clips, front_end.settings)


@pytest.fixture(scope="session")
def synthetic_windows(front_end: FrontEnd) -> dict[str, Samples]:
    return make_signals(front_end.settings.window_length_samples)
