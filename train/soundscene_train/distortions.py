"""What a recording may suffer between the air and the worker, each a function of samples and a seed."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene_train.datasets.own import sound_files
from soundscene_train.errors import TrainingError

__all__ = ["Distortion", "backgrounds", "microphones", "scaled", "standard_distortions"]

Samples = NDArray[np.float32]
Change = Callable[[Samples, int, np.random.Generator], Samples]
"""Samples [shape=(n,)], their rate in Hz and a generator to samples of the same shape."""

_GAINS_DB: Final = (-20.0, 20.0)
_NOISE_SNRS_DB: Final = (20.0, 10.0, 0.0)
_BAND_LIMIT_HZ: Final = 16_000
_OPUS_RATE_HZ: Final = 48_000
_STEPS: Final = np.float32(2**15)
"""Of 16-bit audio, from silence to full scale."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """One way to spoil a clip.

    Parameters
    ----------
    name : str
        For the report.
    kind : {"gain", "noise", "band", "coding", "background", "microphone"}
        What it belongs to.
    change : callable
        From samples to samples; of a module, so that it can be sent to another process.
    container, subtype : str
        libsndfile's names of the file it is stored in.
    rate_hz : int or None
        Rate that the container demands.
    sources : tuple of Path
        The files it is made from.
    """

    name: str
    kind: str
    change: Change
    container: str = "WAV"
    subtype: str = "FLOAT"
    rate_hz: int | None = None
    sources: tuple[Path, ...] = ()

    def write(self, source: Path, target: Path) -> None:
        """Write the spoilt clip; what is random depends on the clip's name alone.

        Raises
        ------
        TrainingError
            The clip cannot be read, or libsndfile cannot write the container.
        """
        import soundfile
        import soxr

        generator = np.random.default_rng(zlib.crc32(os.fsencode(source.name)))
        try:
            channels, rate = soundfile.read(os.fsencode(source), dtype="float32", always_2d=True)
            samples = self.change(channels.mean(axis=1), rate, generator)
            if self.rate_hz is not None and rate != self.rate_hz:
                samples, rate = soxr.resample(samples, rate, self.rate_hz), self.rate_hz
            soundfile.write(target, samples, rate, format=self.container, subtype=self.subtype)
        except (soundfile.LibsndfileError, ValueError, OSError) as error:
            raise TrainingError(f"{source}: cannot be tested with {self.name}: {error}") from error


def scaled(samples: Samples, gain_db: float) -> Samples:
    """Scale; what gets quieter is rounded to 16 bits, as a sensor would, and what gets louder is not clipped."""
    louder = samples * np.float32(10.0 ** (gain_db / 20.0))
    return np.asarray(np.round(louder * _STEPS) / _STEPS, np.float32) if gain_db < 0.0 else louder


def standard_distortions() -> tuple[Distortion, ...]:
    """Return the distortions that need no files: levels, noise, a band limit, and coding where libsndfile has it."""
    import soundfile

    found = [Distortion(f"{gain:+g} dB", "gain", partial(_scaled, gain_db=gain)) for gain in _GAINS_DB]
    found += [
        Distortion(f"white noise, SNR {snr:g} dB", "noise", partial(_noisy, snr_db=snr)) for snr in _NOISE_SNRS_DB
    ]
    found.append(Distortion("16 kHz rate (8 kHz band)", "band", _band_limited))
    formats = soundfile.available_formats()
    if "MP3" in formats:
        found.append(Distortion("MP3", "coding", _same, "MP3", "MPEG_LAYER_III", _OPUS_RATE_HZ))
    if "OGG" in formats and "OPUS" in soundfile.available_subtypes("OGG"):
        found.append(Distortion("Opus", "coding", _same, "OGG", "OPUS", _OPUS_RATE_HZ))
    return tuple(found)


def microphones(folder: Path) -> tuple[Distortion, ...]:
    """Return one distortion for each microphone response in a folder.

    Raises
    ------
    TrainingError
        The folder holds no `.wav` file, or one that is no sound.
    """
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise TrainingError(f"{folder} holds no .wav file; expected a folder of impulse responses")
    _require_sound(paths, "an impulse response")
    return tuple(Distortion(path.stem, "microphone", partial(_heard_by, path=path), sources=(path,)) for path in paths)


def backgrounds(folder: Path) -> tuple[Distortion, ...]:
    """Return a distortion for each ratio of the standard noise, made of recordings in a folder and below it.

    Each clip is laid over a stretch of one of them, the same at every ratio; a shorter one is repeated.

    Raises
    ------
    TrainingError
        The folder holds no recording, or one that cannot be read.
    """
    paths = tuple(sound_files(folder))
    if not paths:
        raise TrainingError(f"{folder} holds no audio; expected a folder of recordings to lay clips over")
    _require_sound(paths, "a recording that libsndfile reads")
    return tuple(
        Distortion(
            f"background, SNR {snr:g} dB", "background", partial(_laid_over, paths=paths, snr_db=snr), sources=paths
        )
        for snr in _NOISE_SNRS_DB
    )


def _require_sound(paths: Sequence[Path], what: str) -> None:
    import soundfile

    for path in paths:
        try:
            count = soundfile.info(os.fsencode(path)).frames
        except soundfile.LibsndfileError as error:
            raise TrainingError(f"{path}: not {what} ({error.error_string}); remove it") from error
        if not count:
            raise TrainingError(f"{path}: holds no sound; remove it")


def _same(samples: Samples, _: int, __: np.random.Generator) -> Samples:
    return samples


def _scaled(samples: Samples, _: int, __: np.random.Generator, *, gain_db: float) -> Samples:
    return scaled(samples, gain_db)


def _noisy(samples: Samples, _: int, generator: np.random.Generator, *, snr_db: float) -> Samples:
    noise = generator.standard_normal(len(samples)).astype(np.float32)
    return samples + noise * np.float32(_rms(samples) * 10.0 ** (-snr_db / 20.0))


def _laid_over(
    samples: Samples, rate: int, generator: np.random.Generator, *, paths: Sequence[Path], snr_db: float
) -> Samples:
    path = paths[int(generator.integers(len(paths)))]
    background = _stretch(path, len(samples), rate, generator)
    level = _rms(background)
    if not level:
        raise ValueError(f"a stretch of {path} is silent; remove it from the backgrounds")
    return samples + background * np.float32(_rms(samples) / level * 10.0 ** (-snr_db / 20.0))


def _stretch(path: Path, sample_count: int, rate: int, generator: np.random.Generator) -> Samples:
    """Read as much of a recording from a random place, at a rate; a shorter one is repeated."""
    import soundfile
    import soxr

    with soundfile.SoundFile(os.fsencode(path)) as recording:
        wanted = -(-sample_count * recording.samplerate // rate)
        recording.seek(int(generator.integers(max(1, recording.frames - wanted + 1))))
        channels = recording.read(wanted, dtype="float32", always_2d=True)
        own_rate = recording.samplerate
    return np.resize(soxr.resample(channels.mean(axis=1), own_rate, rate), sample_count)


def _band_limited(samples: Samples, rate: int, _: np.random.Generator) -> Samples:
    """Through a rate of 16 kHz and back."""
    import soxr

    if rate <= _BAND_LIMIT_HZ:
        return samples
    back = soxr.resample(soxr.resample(samples, rate, _BAND_LIMIT_HZ), _BAND_LIMIT_HZ, rate)
    return np.asarray(np.pad(back, (0, max(0, len(samples) - len(back))))[: len(samples)], np.float32)


def _heard_by(samples: Samples, rate: int, _: np.random.Generator, *, path: Path) -> Samples:
    """Convolve, and give the clip the level it had."""
    import soundfile
    import soxr
    from scipy import signal

    channels, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
    response = soxr.resample(channels[:, 0], own_rate, rate)
    heard = signal.fftconvolve(samples, response)[: len(samples)]
    return np.asarray(heard * (_rms(samples) / max(_rms(heard), 1e-12)), np.float32)


def _rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
