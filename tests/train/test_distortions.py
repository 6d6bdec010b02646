"""Each distortion does what its name says, to real files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy import signal

from soundscene_train.distortions import Distortion, backgrounds, microphones, standard_distortions
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


def test_a_clip_is_laid_over_one_stretch_at_each_ratio(clip: Path, tmp_path: Path) -> None:
    """The ratio is what the name says, the stretch the same at all three, another for a clip of another name."""
    street = np.random.default_rng(2).standard_normal(5 * RATE_HZ) * np.linspace(0.01, 0.2, 5 * RATE_HZ)
    (tmp_path / "street" / "morning").mkdir(parents=True)
    soundfile.write(tmp_path / "street" / "morning" / "traffic.flac", street, RATE_HZ)
    made = backgrounds(tmp_path / "street")
    assert [one.name for one in made] == [f"background, SNR {snr} dB" for snr in (20, 10, 0)]
    clean = _read(clip)
    added = [_spoil(one, clip, tmp_path) - clean for one in made]
    for noise, ratio_db in zip(added, (20, 10, 0), strict=True):
        assert _level_db(clean) - _level_db(noise) == pytest.approx(ratio_db, abs=0.01)
        np.testing.assert_allclose(noise * 10.0 ** (ratio_db / 20), added[2], atol=1e-5)
    assert _peak_correlation(added[2], street) == pytest.approx(1.0, abs=0.01)
    np.testing.assert_array_equal(added[0], _spoil(made[0], clip, tmp_path) - clean)
    other = clip.rename(tmp_path / "other.wav")
    assert np.abs(np.corrcoef(_spoil(made[2], other, tmp_path) - clean, added[2])[0, 1]) < 0.1


def test_chance_is_of_the_clips_name_wherever_it_lies(clip: Path, tmp_path: Path) -> None:
    """The same clip in another folder gets the same noise, one of another name another."""
    noisy = next(one for one in standard_distortions() if one.kind == "noise")
    (tmp_path / "copy").mkdir()
    copy = Path(shutil.copy(clip, tmp_path / "copy"))
    np.testing.assert_array_equal(_spoil(noisy, copy, tmp_path), _spoil(noisy, clip, tmp_path))
    other = copy.rename(copy.with_name("other.wav"))
    assert not np.array_equal(_spoil(noisy, other, tmp_path), _spoil(noisy, clip, tmp_path))


def test_what_gets_louder_is_not_clipped_and_stereo_is_mixed(clip: Path, tmp_path: Path) -> None:
    """20 dB more is ten times as much in every sample; of two channels, it is their mean that is spoilt."""
    louder = next(one for one in standard_distortions() if one.name == "+20 dB")
    clean = _read(clip)
    assert np.abs(clean).max() > 0.11
    np.testing.assert_allclose(_spoil(louder, clip, tmp_path), 10.0 * clean, rtol=1e-5)
    soundfile.write(tmp_path / "stereo.wav", np.stack([clean, np.zeros_like(clean)], axis=1), RATE_HZ, subtype="FLOAT")
    np.testing.assert_allclose(_spoil(louder, tmp_path / "stereo.wav", tmp_path), 5.0 * clean, rtol=1e-5)


def test_coding_changes_neither_pitch_nor_length(clip: Path, tmp_path: Path) -> None:
    """At the rate that a coder demands, a tone of 440 Hz is one of 440 Hz, and a second lasts a second."""
    for distortion in standard_distortions()[6:]:
        target = tmp_path / "coded"
        distortion.write(clip, target)
        samples, rate = soundfile.read(target)
        assert len(samples) / rate == pytest.approx(1.0, abs=0.1)
        tone_hz = np.abs(np.fft.rfft(samples[: rate // 2])).argmax() * 2.0
        assert tone_hz == pytest.approx(440.0, abs=4.0)


def test_a_clip_of_a_low_rate_has_no_band_to_lose(tmp_path: Path) -> None:
    """What is recorded at 16 kHz or less stays as it is."""
    samples = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    soundfile.write(tmp_path / "low.wav", samples, 8_000, subtype="FLOAT")
    band = next(one for one in standard_distortions() if one.kind == "band")
    np.testing.assert_array_equal(_spoil(band, tmp_path / "low.wav", tmp_path), samples)


def test_a_response_is_heard_at_its_own_rate_and_from_its_first_sample(clip: Path, tmp_path: Path) -> None:
    """An echo of 20 ms is one of 20 ms whatever rate it was measured at, in the order of the files' names."""
    for name, rate in (("b", RATE_HZ), ("a", 16_000), ("c", 8_000)):
        response = np.zeros(rate // 10, np.float32)
        response[rate // 50] = 0.5
        soundfile.write(tmp_path / f"{name}.wav", response, rate, subtype="FLOAT")
    clip = clip.rename(tmp_path.parent / "tones.wav")
    found = microphones(tmp_path)
    assert [one.name for one in found] == ["a", "b", "c"]
    for one in found:
        heard, clean = _spoil(one, clip, tmp_path.parent), _read(clip)
        late = signal.correlate(heard, clean, "full").argmax() - (len(clean) - 1)
        assert abs(late - RATE_HZ // 50) <= 1, one.name
    soundfile.write(tmp_path / "mute.wav", np.zeros(100), RATE_HZ)
    mute = next(one for one in microphones(tmp_path) if one.name == "mute")
    assert not _spoil(mute, clip, tmp_path.parent).any(), "one that hears nothing is no error"


def test_backgrounds_are_all_met_as_a_whole(clip: Path, tmp_path: Path) -> None:
    """Clips of many names lie over each of two recordings, and over the mean of two channels."""
    (tmp_path / "street").mkdir()
    ramp = np.linspace(0.1, 0.2, RATE_HZ)
    soundfile.write(tmp_path / "street" / "left.wav", np.stack([ramp, np.zeros(RATE_HZ)], axis=1), RATE_HZ)
    soundfile.write(tmp_path / "street" / "right.wav", np.stack([np.zeros(RATE_HZ), -ramp], axis=1), RATE_HZ)
    loud = backgrounds(tmp_path / "street")[2]
    signs = set()
    for number in range(12):
        named = Path(shutil.copy(clip, tmp_path / f"{number}.wav"))
        signs.add(float(np.sign(np.mean(_spoil(loud, named, tmp_path) - _read(clip)))))
    assert signs == {-1.0, 1.0}


def test_a_short_background_of_another_rate_is_repeated(clip: Path, tmp_path: Path) -> None:
    """A quarter of a second at 16 kHz fills a second at 44.1 kHz, four times the same."""
    (tmp_path / "street").mkdir()
    soundfile.write(tmp_path / "street" / "bell.wav", np.sin(np.arange(4000) * 0.3), 16_000)
    loud = backgrounds(tmp_path / "street")[2]
    quarters = (_spoil(loud, clip, tmp_path) - _read(clip)).reshape(4, -1)
    assert _level_db(quarters[0]) == pytest.approx(_level_db(_read(clip)), abs=0.1)
    for quarter in quarters[1:]:
        np.testing.assert_allclose(quarter, quarters[0], atol=1e-6)


def test_a_background_that_cannot_be_used_is_named(clip: Path, tmp_path: Path) -> None:
    """A folder without sound, a file that is none, and a silent recording are one clear line each."""
    street = tmp_path / "street"
    with pytest.raises(TrainingError, match="street holds no audio"):
        backgrounds(street)
    street.mkdir()
    soundfile.write(street / "night.wav", np.zeros(RATE_HZ), RATE_HZ)
    with pytest.raises(TrainingError, match=r"background, SNR 20 dB: a stretch of .*night\.wav is silent"):
        backgrounds(street)[0].write(clip, tmp_path / "out.wav")
    (street / "phone.m4a").write_bytes(b"ftyp")
    with pytest.raises(TrainingError, match=r"phone\.m4a: not a recording that libsndfile reads"):
        backgrounds(street)


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


def _peak_correlation(part: NDArray[np.float32], whole: NDArray[np.float64]) -> float:
    """How like a part is to the stretch of the whole that is most like it, 1 where it is from there."""
    products = signal.correlate(whole, part, "valid")
    norms = np.sqrt(np.convolve(np.square(whole), np.ones(len(part)), "valid") * np.square(part).sum())
    return float(np.max(products / norms))


def _level_db(samples: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))
