"""Noise that is added to spectrograms is what noise in the samples would have added."""

import numpy as np
import pytest

from soundscene.frontend import FrontEnd
from soundscene.settings import NETWORK_NAMES
from soundscene_train.augmentation import with_noise
from soundscene_train.noises import COLOURS, band_noises
from tests.train.conftest import TINY_FRONT_END

RATE_HZ = TINY_FRONT_END.sample_rate_hz


def test_every_colour_has_power_one() -> None:
    """Summed over bands and averaged over frames, each colour's power is 1, and the same on each call."""
    found = band_noises(TINY_FRONT_END)
    assert set(found) == set(NETWORK_NAMES)
    for name, noises in found.items():
        assert noises.shape == (len(COLOURS), TINY_FRONT_END.window_frames, TINY_FRONT_END.band_count)
        np.testing.assert_allclose(np.exp(noises).sum(axis=2).mean(axis=1), 1.0, rtol=1e-4)
        np.testing.assert_array_equal(noises, band_noises(TINY_FRONT_END)[name])


def test_colours_fall_with_frequency() -> None:
    """Four octaves up the constant-Q bands, pink has lost 12 dB more than white and brown 24 dB more."""
    levels = 10.0 * np.log10(np.exp(band_noises(TINY_FRONT_END)["cqt"]).mean(axis=1))  # (colours, bands)
    lost = levels[:, 4:8].mean(axis=1) - levels[:, 28:32].mean(axis=1)
    assert lost[1] - lost[0] == pytest.approx(12.0, abs=1.5)
    assert lost[2] - lost[0] == pytest.approx(24.0, abs=1.5)


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_it_is_what_noise_in_the_samples_adds(name: str) -> None:
    """Each band of a chirp with white noise 10 dB below it has the same mean power either way, within 2.5 dB."""
    front_end, count = FrontEnd(TINY_FRONT_END), TINY_FRONT_END.window_length_samples
    generator = np.random.default_rng(4)
    seconds = np.arange(count) / RATE_HZ
    chirp = 0.1 * np.sin(2.0 * np.pi * (300.0 * seconds + 800.0 * seconds**2))
    clean = getattr(front_end.window_spectra(chirp.astype(np.float32)), name)[None]
    noise = generator.standard_normal(count)
    alone = np.exp(getattr(front_end.window_spectra(noise.astype(np.float32)), name)).sum(axis=1).mean()
    noise *= np.sqrt(np.exp(clean).sum(axis=2).mean() / alone * 0.1)
    heard = getattr(front_end.window_spectra((chirp + noise).astype(np.float32)), name)
    white = band_noises(TINY_FRONT_END)[name][:1]
    added = with_noise(clean, white, 1.0, (10.0, 10.0), np.random.default_rng(0))[0]
    difference_db = 10.0 * np.log10(np.exp(added).mean(axis=0) / np.exp(heard).mean(axis=0))
    assert np.abs(difference_db).mean() < 0.7
    assert np.abs(difference_db).max() < 2.5
