"""Simulated recording devices: what happens to a sound between the air and the file.

A is a good reference. B and C are phones with their own colour and noise. S1 to S6 are what the TAU data calls
simulated devices: recordings of A through other responses, with dynamic range compression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["DEVICES", "SEEN_DEVICES", "UNSEEN_DEVICES", "Device", "record"]

Signal = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Device:
    """How a device hears.

    Parameters
    ----------
    low_hz, high_hz : float
        Edges of its pass band, -3 dB.
    peak_hz, peak_db : float
        A resonance one octave wide.
    tilt_db : float
        Decibels per octave around 1 kHz.
    noise_dbfs : float
        RMS of its own noise.
    gain_db : float
        Its sensitivity against device A.
    knee_dbfs : float or None
        Level above which it compresses 3 : 1.
    """

    low_hz: float
    high_hz: float
    peak_hz: float = 1000.0
    peak_db: float = 0.0
    tilt_db: float = 0.0
    noise_dbfs: float = -90.0
    gain_db: float = 0.0
    knee_dbfs: float | None = None


DEVICES: Final[dict[str, Device]] = {
    "a": Device(20, 20000),
    "b": Device(120, 12000, 3000, 5.0, 0.5, -66.0, 4.0),
    "c": Device(80, 15000, 6000, 4.0, -0.5, -70.0, -5.0),
    "s1": Device(100, 14000, 2000, 4.0, 0.3, -68.0, 2.0, -24.0),
    "s2": Device(60, 9000, 800, 5.0, -1.0, -64.0, -3.0, -28.0),
    "s3": Device(200, 16000, 5000, 6.0, 1.0, -70.0, 5.0, -20.0),
    "s4": Device(250, 7500, 1500, 6.0, 0.0, -60.0, 0.0, -30.0),
    "s5": Device(40, 11000, 400, 7.0, -2.0, -62.0, -6.0, -26.0),
    "s6": Device(300, 18000, 7000, 8.0, 2.0, -58.0, 8.0, -18.0),
}
UNSEEN_DEVICES: Final = ("s4", "s5", "s6")
"""Only in the evaluation part, as in the TAU data."""
SEEN_DEVICES: Final = tuple(name for name in DEVICES if name not in UNSEEN_DEVICES)

_COMPRESSION_RATIO: Final = 3.0
_COMPRESSION_SECONDS: Final = 0.05


def record(samples: Signal, sample_rate_hz: int, device: Device, generator: np.random.Generator) -> Signal:
    """Pass a sound through a device.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono, full scale 1.0.
    sample_rate_hz : int > 0
        Its rate.
    device : Device
        Response, noise, gain and compression.
    generator : np.random.Generator
        For the noise.

    Returns
    -------
    np.ndarray [shape=(n,), float32]
        Clipped at full scale.
    """
    size = fft.next_fast_len(2 * len(samples), real=True)
    response = _response(fft.rfftfreq(size, 1.0 / sample_rate_hz), device)
    heard = fft.irfft(fft.rfft(samples.astype(np.float64), size) * response, size)[: len(samples)]
    heard *= 10.0 ** (device.gain_db / 20.0)
    if device.knee_dbfs is not None:
        heard = _compress(heard, sample_rate_hz, device.knee_dbfs)
    heard += 10.0 ** (device.noise_dbfs / 20.0) * generator.standard_normal(len(samples))
    return np.asarray(np.clip(heard, -1.0, 1.0), np.float32)


def _response(frequencies_hz: NDArray[np.float64], device: Device) -> NDArray[np.float64]:
    """Magnitude at each frequency, without phase."""
    safe = np.maximum(frequencies_hz, 1.0)
    high_pass = 1.0 / np.sqrt(1.0 + (device.low_hz / safe) ** 4)
    low_pass = 1.0 / np.sqrt(1.0 + (safe / device.high_hz) ** 8)
    octaves = np.log2(safe / device.peak_hz)
    colour_db = device.peak_db * np.exp(-2.0 * octaves**2) + device.tilt_db * np.clip(np.log2(safe / 1000.0), -4, 4)
    return np.asarray(high_pass * low_pass * 10.0 ** (colour_db / 20.0), np.float64)


def _compress(samples: NDArray[np.float64], sample_rate_hz: int, knee_dbfs: float) -> NDArray[np.float64]:
    """Turn loud stretches down, following the level of the last 50 ms blocks."""
    block = max(1, round(_COMPRESSION_SECONDS * sample_rate_hz))
    count = -(-len(samples) // block)
    padded = np.pad(samples, (0, count * block - len(samples)))
    level_db = 10.0 * np.log10(np.mean(padded.reshape(count, block) ** 2, axis=1) + 1e-12)
    reduction_db = -np.maximum(level_db - knee_dbfs, 0.0) * (1.0 - 1.0 / _COMPRESSION_RATIO)
    centres = (np.arange(count) + 0.5) * block
    gain_db = np.interp(np.arange(len(samples)), centres, reduction_db)
    return np.asarray(samples * 10.0 ** (gain_db / 20.0), np.float64)
