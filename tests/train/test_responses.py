"""What other devices do to a sound is measured by the front end that will hear it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.settings import NETWORK_NAMES
from soundscene_train.errors import TrainingError
from soundscene_train.recipe import AugmentationSettings
from soundscene_train.responses import band_responses, simulated_devices, trained_responses
from tests.train.conftest import TINY_FRONT_END

RATE_HZ = TINY_FRONT_END.sample_rate_hz


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A microphone that changes nothing, one that only turns down, and one that hears low tones better."""
    soundfile.write(tmp_path / "plain.wav", np.eye(1, 64)[0], RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "quiet.wav", 0.01 * np.eye(1, 64)[0], RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "dull.wav", 0.7 ** np.arange(64), RATE_HZ, subtype="FLOAT")
    return tmp_path


def test_colour_is_measured_and_level_is_not(folder: Path) -> None:
    """A flat response is zero in every band at any gain; one that falls with frequency falls from band to band."""
    for name, gains in band_responses(TINY_FRONT_END, folder).items():
        dull, plain, quiet = gains
        np.testing.assert_allclose(plain, 0.0, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(quiet, 0.0, atol=1e-4, err_msg=name)
        assert dull[:4].mean() > dull[-4:].mean() + 2.0, name


def test_it_is_the_response_at_the_bands_frequency(folder: Path) -> None:
    """Between two bands of the constant-Q, the measured difference is that of the response itself."""
    dull = band_responses(TINY_FRONT_END, folder)["cqt"][0]
    low, high = 6, 30
    frequencies_hz = 100.0 * 2.0 ** (np.array([low, high]) / 6)
    response = np.abs(1.0 / (1.0 - 0.7 * np.exp(-2j * np.pi * frequencies_hz / RATE_HZ)))
    expected = 2.0 * np.log(response[0] / response[1])
    assert dull[low] - dull[high] == pytest.approx(expected, abs=0.15)


def test_what_is_held_out_is_not_trained_on(folder: Path) -> None:
    """Names that are held out leave; one that is not there, and holding out all, are refused."""
    assert len(band_responses(TINY_FRONT_END, folder, ["dull"])["mel"]) == 2
    with pytest.raises(TrainingError, match="has no response sharp"):
        band_responses(TINY_FRONT_END, folder, ["sharp"])
    with pytest.raises(TrainingError, match="nothing is left"):
        band_responses(TINY_FRONT_END, folder, ["dull", "plain", "quiet"])


def test_what_is_trained_with_is_named(folder: Path) -> None:
    """By a recipe that asks for other devices' colours alone, and without those that it holds out."""
    asked = AugmentationSettings(response_probability=0.5, held_out_responses=("plain",))
    assert trained_responses(folder, asked) == ("dull", "quiet")
    assert trained_responses(folder, AugmentationSettings(response_probability=0.0)) == ()
    assert trained_responses(None, AugmentationSettings(response_probability=0.5)) == ()


def test_without_measurements_devices_are_simulated() -> None:
    """Sixty-four unlike colours within what real microphones do, without noise, the same ones each time."""
    found = band_responses(TINY_FRONT_END, None)
    assert set(found) == set(NETWORK_NAMES)
    for gains in found.values():
        assert gains.shape == (64, TINY_FRONT_END.band_count)
        np.testing.assert_allclose(gains.mean(axis=1), 0.0, atol=1e-5)
        assert 0.3 < gains.std(axis=1).mean() < 3.0
    assert simulated_devices() == simulated_devices()
    assert {device.noise_dbfs for device in simulated_devices()} == {-np.inf}
