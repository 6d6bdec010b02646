"""A simulated device does to a sound what its figures say."""

from __future__ import annotations

import numpy as np
import pytest

from soundscene_train.datasets.devices import DEVICES, SEEN_DEVICES, UNSEEN_DEVICES, Device, record

RATE_HZ = 44_100
OPEN = {"low_hz": 1.0, "high_hz": 1e6, "noise_dbfs": -np.inf}


def gain_db(device: Device, frequency_hz: float, amplitude: float = 0.01) -> float:
    """What a device does to a tone, away from where it begins and ends."""
    tone = amplitude * np.sin(2.0 * np.pi * frequency_hz / RATE_HZ * np.arange(RATE_HZ))
    heard = record(tone.astype(np.float32), RATE_HZ, device, np.random.default_rng(0))
    middle = slice(RATE_HZ // 4, -RATE_HZ // 4)
    return float(20.0 * np.log10(np.std(heard[middle]) / np.std(tone[middle])))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"low_hz": 500.0}, {500.0: -3.01, 4000.0: 0.0, 125.0: -24.1}),
        ({"high_hz": 4000.0}, {4000.0: -3.01, 500.0: 0.0, 8000.0: -24.1}),
        ({"peak_hz": 2000.0, "peak_db": 6.0}, {2000.0: 6.0, 2000.0 * 2**0.5: 3.64, 250.0: 0.0}),
        ({"tilt_db": 2.0}, {1000.0: 0.0, 4000.0: 4.0, 250.0: -4.0}),
        ({"tilt_db": 2.0, "peak_hz": 4000.0}, {1000.0: 0.0, 4000.0: 4.0}),
        ({"gain_db": 6.0}, {300.0: 6.0, 3000.0: 6.0}),
    ],
)
def test_its_response_is_the_one_that_is_named(change: dict[str, float], expected: dict[float, float]) -> None:
    """Edges of the pass band lie at -3 dB, a resonance is an octave wide, a tilt is in decibels per octave."""
    device = Device(**(OPEN | change))
    for frequency_hz, level_db in expected.items():
        assert gain_db(device, frequency_hz) == pytest.approx(level_db, abs=0.15), frequency_hz


def test_above_its_knee_it_compresses_three_to_one() -> None:
    """A tone 30 dB above the knee comes out 10 dB above it; one below the knee stays as it is."""
    device = Device(**OPEN, knee_dbfs=-40.0)
    assert gain_db(device, 1000.0, amplitude=np.sqrt(2.0) * 10.0 ** (-10.0 / 20.0)) == pytest.approx(-20.0, abs=0.1)
    assert gain_db(device, 1000.0, amplitude=np.sqrt(2.0) * 10.0 ** (-45.0 / 20.0)) == pytest.approx(0.0, abs=0.1)


def test_its_noise_has_its_level_and_full_scale_is_the_end() -> None:
    """Silence gets noise of its RMS; what is too loud is clipped; the end is not heard in the beginning."""
    silence = np.zeros(RATE_HZ, np.float32)
    noise = record(silence, RATE_HZ, Device(20.0, 20e3, noise_dbfs=-40.0), np.random.default_rng(0))
    assert np.std(noise) == pytest.approx(0.01, rel=0.02)
    burst = silence.copy()
    burst[-200:] = 0.5
    heard = record(burst, RATE_HZ, Device(20.0, 20e3, noise_dbfs=-np.inf, gain_db=20.0), np.random.default_rng(0))
    assert np.abs(heard).max() == 1.0
    assert np.abs(heard[:1000]).max() < 1e-3


def test_devices_are_kept_for_the_test_as_in_the_tau_data() -> None:
    """Of the simulated ones the last three."""
    assert UNSEEN_DEVICES == ("s4", "s5", "s6")
    assert (*SEEN_DEVICES, *UNSEEN_DEVICES) == tuple(DEVICES) == ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")
