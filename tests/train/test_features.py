"""Training sees what serving sees, computed once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_limits

from soundscene.audio_files import AudioFile
from soundscene.bundle import load_bundle
from soundscene.classifier import SceneClassifier
from soundscene.errors import AudioError
from soundscene.frontend import FrontEnd, level_proof, patch, with_deltas
from soundscene.settings import NETWORK_NAMES, FrontEndSettings
from soundscene_train.assessment.clip_scores import score_clips
from soundscene_train.datasets import Clip, Dataset, open_dataset
from soundscene_train.errors import DatasetError
from soundscene_train.features import (
    FeatureSettings,
    measure_standardisation,
    prepare_features,
)
from soundscene_train.noises import band_noises
from soundscene_train.responses import band_responses
from tests.train.conftest import TINY_FRONT_END, write_esc

SETTINGS = FeatureSettings(TINY_FRONT_END)


def test_features_are_the_plugins_own(esc_folder: Path, tmp_path: Path) -> None:
    """A cached window is the plugin's spectrograms of the same window of the same file, to a step of half precision."""
    dataset = open_dataset("esc10", esc_folder)
    features = prepare_features(dataset, SETTINGS, tmp_path)
    front_end = FrontEnd(TINY_FRONT_END)
    for position in (0, 20):
        (window,) = features.windows_of([position])
        with AudioFile(dataset.clips[position].path) as audio:
            (expected,) = [front_end.window_spectra(w.samples) for w in audio.windows(TINY_FRONT_END, "repeat")]
        for name, spectra in features.spectra.items():
            np.testing.assert_array_equal(spectra[window], getattr(expected, name).astype(np.float16))


def test_patches_before_and_after_export_are_the_same(esc_folder: Path, tmp_path: Path) -> None:
    """Level-proof spectra with deltas, as training makes them, equal the patches that serving makes."""
    features = prepare_features(open_dataset("esc10", esc_folder), SETTINGS, tmp_path)
    windows = np.arange(6)
    constants = measure_standardisation(features.spectra["mel"], windows, TINY_FRONT_END)
    level = level_proof(features.spectra["mel"][windows], TINY_FRONT_END, "mel", constants.mean, constants.scale)
    trained = with_deltas(level, TINY_FRONT_END)
    served = patch(np.asarray(features.spectra["mel"][windows]), TINY_FRONT_END, "mel", constants)
    np.testing.assert_allclose(trained, served, atol=1e-5)
    assert trained[..., 0].std() == pytest.approx(1.0, abs=0.1)


def test_a_cache_is_found_again_and_others_are_apart(esc_folder: Path, tmp_path: Path) -> None:
    """The second call computes nothing; another gain or spectrogram gets a cache of its own."""
    dataset = open_dataset("esc10", esc_folder)
    told: list[int] = []
    for _ in range(2):
        prepare_features(dataset, SETTINGS, tmp_path, lambda done, total: told.append(done))
    assert told == [10, 20, 30, 36]
    later_steps = replace(TINY_FRONT_END, dynamic_range_db=None, remove_band_means=("mel",))
    prepare_features(dataset, FeatureSettings(later_steps), tmp_path, lambda done, total: told.append(done))
    assert told == [10, 20, 30, 36]
    prepare_features(dataset, FeatureSettings(TINY_FRONT_END, gain_db=-20.0), tmp_path)
    prepare_features(dataset, FeatureSettings(replace(TINY_FRONT_END, power_floor=1e-8)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_interrupted_work_goes_on(tmp_path: Path) -> None:
    """After an interruption only what was not finished is computed, by two processes, to the same result."""
    write_esc(tmp_path, clips_per_fold=7)
    dataset = open_dataset("esc10", tmp_path)
    whole = prepare_features(dataset, SETTINGS, tmp_path / "whole")

    def stop(done: int, total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_features(dataset, SETTINGS, tmp_path / "cache", stop)
    told: list[int] = []
    resumed = prepare_features(dataset, SETTINGS, tmp_path / "cache", lambda done, total: told.append(done), jobs=2)
    assert told == [50, 60, 63]
    np.testing.assert_array_equal(resumed.clip_of_window, whole.clip_of_window)
    for name in whole.spectra:
        np.testing.assert_allclose(resumed.spectra[name][:], whole.spectra[name][:], rtol=1e-3)  # a step


def test_gain_does_not_reach_the_network(esc_folder: Path, tmp_path: Path) -> None:
    """Twenty decibels more change the spectrogram and not the patch, which is the cure for level."""
    dataset = open_dataset("esc10", esc_folder)
    plain = prepare_features(dataset, SETTINGS, tmp_path)
    loud = prepare_features(dataset, FeatureSettings(TINY_FRONT_END, gain_db=20.0), tmp_path)
    windows = np.arange(12)
    constants = measure_standardisation(plain.spectra["mel"], windows, TINY_FRONT_END)
    assert np.mean(loud.spectra["mel"][:12] - plain.spectra["mel"][:12]) == pytest.approx(np.log(100.0), rel=0.01)
    before, after = (
        level_proof(features.spectra["mel"][windows], TINY_FRONT_END, "mel", constants.mean, constants.scale)
        for features in (plain, loud)
    )
    np.testing.assert_allclose(after, before, atol=5e-3)  # half precision


def test_a_clip_that_is_no_audio_is_named(tmp_path: Path) -> None:
    """A damaged clip ends the preparation with its name."""
    write_esc(tmp_path, clips_per_fold=1)
    (tmp_path / "audio" / "2-10-A-1.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"2-10-A-1.wav"):
        prepare_features(open_dataset("esc10", tmp_path), SETTINGS, tmp_path / "cache")


def test_a_recording_that_breaks_off_is_not_used_in_part(tmp_path: Path) -> None:
    """A FLAC file with a damaged middle still begins well: its half is neither trained on nor tested."""
    generator = np.random.default_rng(0)
    path = tmp_path / "clip.flac"
    soundfile.write(path, 0.1 * generator.standard_normal(160_000), 16_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    path.write_bytes(content)
    clip = Clip(path, "rain", "1")
    with pytest.raises(DatasetError, match=r"clip\.flac: truncated or damaged, .* leave it out"):
        prepare_features(Dataset("own", ("rain",), (clip,), ("1",), (), ""), SETTINGS, tmp_path / "cache")
    with pytest.raises(DatasetError, match=r"clip\.flac: truncated or damaged"):
        score_clips(SceneClassifier(load_bundle()), [clip])


def test_features_are_the_same_from_any_number_of_threads(tmp_path: Path) -> None:
    """A cache that one process made on all cores equals one of several processes with a core each, to the last bit."""
    generator, front_end = np.random.default_rng(0), FrontEndSettings.preset("five-seconds")
    clips = []
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.1 * generator.standard_normal(5 * 44_100), 44_100, subtype="FLOAT")
        clips.append(Clip(path, "noise", "1"))
    dataset, found = Dataset("own", ("noise",), tuple(clips), ("1",), (), ""), []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            features = prepare_features(dataset, FeatureSettings(front_end), tmp_path / f"cache-{threads}")
            responses, noises = band_responses(front_end, None), band_noises(front_end)
        found.append([features.spectra[name][:] for name in NETWORK_NAMES])
        found[-1] += [arrays[name] for arrays in (responses, noises) for name in NETWORK_NAMES]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
