"""Each distortion does what its name says, to real files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundscene_train.assessment.distortions import Distortion, microphones, standard_distortions
from soundscene_train.errors import TrainingError

RATE_HZ = 44_100


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    generator = np.random.default_rng(1)
    seconds = np.arange(RATE_HZ) / RATE_HZ
    samples = 0.1 * np.sin(2 * np.pi * 440 * seconds) + 0.05 * np.sin(2 * np.pi * 12_000 * seconds)
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples + 1e-3 * generator.standard_normal(RATE_HZ), RATE_HZ, subtype="FLOAT")
    return path


def test_the_standard_ones_are_all_there(clip: Path, tmp_path: Path) -> None:
    """Levels, noise, band limit, MP3 and Opus write readable files; coded ones keep the level within 1 dB."""
    names = [distortion.name for distortion in standard_distortions()]
    assert names[:6] == [
        "-20 dB",
        "+20 dB",
        "white noise, SNR 20 dB",
        "white noise, SNR 10 dB",
        "white noise, SNR 0 dB",
        "16 kHz rate (8 kHz band)",
    ]
    assert set(names[6:]) == {"MP3", "Opus"}
    for distortion in standard_distortions()[6:]:
        assert _level_db(_spoil(distortion, clip, tmp_path)) == pytest.approx(_level_db(_read(clip)), abs=1.0)


def test_gain_noise_and_band(clip: Path, tmp_path: Path) -> None:
    """20 dB less is 20 dB less in steps of 16 bits; noise has its ratio and its seed; the band ends at 8 kHz."""
    by_name = {distortion.name: distortion for distortion in standard_distortions()}
    clean = _read(clip)
    quiet = _spoil(by_name["-20 dB"], clip, tmp_path)
    assert _level_db(quiet) == pytest.approx(_level_db(clean) - 20.0, abs=0.01)
    np.testing.assert_array_equal(quiet * 2**15, np.round(quiet * 2**15))
    noisy = _spoil(by_name["white noise, SNR 10 dB"], clip, tmp_path)
    assert _level_db(clean) - _level_db(noisy - clean) == pytest.approx(10.0, abs=0.1)
    np.testing.assert_array_equal(noisy, _spoil(by_name["white noise, SNR 10 dB"], clip, tmp_path))
    band = np.abs(np.fft.rfft(_spoil(by_name["16 kHz rate (8 kHz band)"], clip, tmp_path)))
    assert band[12_000] < 1e-3 * band[440]


def test_a_microphone_colours_and_keeps_the_level(clip: Path, tmp_path: Path) -> None:
    """A response that lets only low tones through does so, at the level of the clip."""
    folder = tmp_path / "responses"
    folder.mkdir()
    soundfile.write(folder / "dull.wav", np.full(40, 0.5), RATE_HZ)
    (dull,) = microphones(folder)
    heard, clean = _spoil(dull, clip, tmp_path), _read(clip)
    assert dull.name == "dull"
    assert _level_db(heard) == pytest.approx(_level_db(clean), abs=0.01)
    ratio = [np.abs(np.fft.rfft(samples))[12_000] / np.abs(np.fft.rfft(samples))[440] for samples in (heard, clean)]
    assert ratio[0] < 0.2 * ratio[1]


def test_what_cannot_be_read_is_named(clip: Path, tmp_path: Path) -> None:
    """An empty folder, a response that is no sound, and a damaged clip are one clear line each."""
    with pytest.raises(TrainingError, match=r"holds no \.wav file"):
        microphones(clip.parent / "nowhere")
    responses = tmp_path / "responses"
    responses.mkdir()
    (responses / "phone.wav").write_bytes(b"RIFF")
    with pytest.raises(TrainingError, match=r"phone\.wav: not an impulse response"):
        microphones(responses)
    soundfile.write(responses / "phone.wav", np.zeros(0), RATE_HZ)
    with pytest.raises(TrainingError, match=r"phone\.wav: holds no sound"):
        microphones(responses)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    with pytest.raises(TrainingError, match=r"broken\.wav: cannot be tested with -20 dB"):
        standard_distortions()[0].write(broken, tmp_path / "out.wav")


def _spoil(distortion: Distortion, clip: Path, folder: Path) -> NDArray[np.float32]:
    target = folder / f"spoilt.{distortion.container.lower()}"
    distortion.write(clip, target)
    return _read(target)


def _read(path: Path) -> NDArray[np.float32]:
    return np.asarray(soundfile.read(path, dtype="float32")[0], np.float32)


def _level_db(samples: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))
