from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal as signals

from soundscene.analysis import analyze_file
from soundscene.assessment import Reason
from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier, WindowVerdict, smooth
from soundscene.errors import AudioError, BundleError, SettingsError
from soundscene.fusion import Calibration, FusionSettings, decide
from soundscene.settings import NETWORK_NAMES, FrontEndSettings
from soundscene.synthesis import synthesise
from soundscene.windows import Window, WindowAssembler, WindowGrid

Samples = NDArray[np.float32]
SETTINGS = FrontEndSettings()
RATE = SETTINGS.sample_rate_hz
GRID = WindowGrid(RATE, SETTINGS)


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Bundle) -> SceneClassifier:
    return SceneClassifier(tiny_bundle)


@pytest.fixture(scope="module")
def signal() -> Samples:
    generator = np.random.default_rng(1)
    return np.concatenate([synthesise(scene, 3.0, RATE, generator) for scene in ("bus", "park", "tram", "metro")])


@pytest.fixture(scope="module")
def batch(classifier: SceneClassifier, signal: Samples) -> list[WindowVerdict]:
    """Each window on its own, nothing shared."""
    return [classifier.classify(_window(signal, index)) for index in range(GRID.count(len(signal)))]


def _window(signal: Samples, index: int, grid: WindowGrid = GRID) -> Window:
    return grid.window(index, signal[slice(*grid.span(index))])


def _assert_same(left: list[WindowVerdict], right: list[WindowVerdict]) -> None:
    assert [verdict.index for verdict in left] == [verdict.index for verdict in right]
    assert [verdict.scene for verdict in left] == [verdict.scene for verdict in right]
    assert [verdict.level_dbfs for verdict in left] == [verdict.level_dbfs for verdict in right]
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_a_verdict_is_the_fusion_of_three_networks(batch: list[WindowVerdict], tiny_bundle: Bundle) -> None:
    """Every field of a verdict agrees with the others."""
    for index, verdict in enumerate(batch):
        assert (verdict.index, verdict.first_sample) == (index, index * SETTINGS.step_samples)
        assert verdict.sample_count == SETTINGS.window_length_samples
        assert verdict.network_scores.shape == (3, 4)
        np.testing.assert_allclose(verdict.scores, decide(verdict.network_scores[:, None], "product"))
        assert verdict.scores_by_label[verdict.scene] == verdict.score == verdict.scores.max()
        assert list(verdict.scores_by_label) == list(tiny_bundle.labels)
        winners = [tiny_bundle.labels[index] for index in verdict.network_scores.argmax(axis=1)]
        assert verdict.network_scenes == dict(zip(NETWORK_NAMES, winners, strict=True))
        assert verdict.assessable
        assert set(verdict.seconds) == {"features", "inference"}


@settings(deadline=None, max_examples=12)
@given(cuts=st.lists(st.integers(1, 12 * RATE - 1), max_size=30, unique=True))
def test_a_stream_of_any_chunking_gives_the_verdicts_of_single_windows(
    classifier: SceneClassifier, signal: Samples, batch: list[WindowVerdict], cuts: list[int]
) -> None:
    """Chunk borders and shared frames leave no trace in a verdict."""
    assembler = WindowAssembler(GRID, hold_back_samples=RATE)
    frames = classifier.shared_frames()
    streamed = []
    edges = [0, *sorted(cuts), len(signal)]
    for first, end in pairwise(edges):
        pushed = assembler.push(first, signal[first:end])
        streamed += [classifier.classify(window, frames) for window in pushed.windows]
    _assert_same(streamed, batch)


def test_a_file_gives_the_verdicts_of_single_windows(
    classifier: SceneClassifier, signal: Samples, batch: list[WindowVerdict], tmp_path: Path
) -> None:
    """The same sound from a file has the same verdicts, and as summary equations 1 and 3 over all of them."""
    soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="FLOAT")
    analysis = analyze_file(tmp_path / "a.wav", classifier)
    _assert_same(list(analysis.verdicts), batch)
    patches = np.stack([verdict.network_scores for verdict in batch], axis=1)
    np.testing.assert_allclose(analysis.scores, decide(patches, "product"), atol=1e-5)
    assert analysis.extended_by is None
    assert analysis.duration_seconds == pytest.approx(12.0)


def test_windows_in_any_order_share_no_wrong_frames(
    classifier: SceneClassifier, signal: Samples, batch: list[WindowVerdict]
) -> None:
    """A gap, a jump back or the same window again never reuses frames of another place."""
    frames = classifier.shared_frames()
    for index in (2, 0, 1, 3, 3, 0):
        _assert_same([classifier.classify(_window(signal, index), frames)], [batch[index]])


def test_another_rate_gives_nearly_the_same_verdict(classifier: SceneClassifier) -> None:
    """A tram has the same level and network scores at 44.1 and at 48 kHz, and others where the rate is mistaken."""
    sound = synthesise("tram", 7.0, RATE, np.random.default_rng(1))
    resampled = signals.resample_poly(sound, 160, 147).astype(np.float32)
    usual = classifier.classify(_window(sound, 0))
    other = classifier.classify(_window(resampled, 0, WindowGrid(48_000, SETTINGS)))
    assert other.level_dbfs == pytest.approx(usual.level_dbfs, abs=0.01)
    np.testing.assert_allclose(other.network_scores, usual.network_scores, atol=1e-3)
    mistaken = classifier.classify(_window(resampled, 0))
    assert np.abs(mistaken.network_scores - usual.network_scores).max() > 5e-3


def test_gain_does_not_change_a_verdict(classifier: SceneClassifier, signal: Samples) -> None:
    """The default front end is level-proof: 20 dB less is the same scene with the same scores."""
    loud, quiet = (classifier.classify(_window(np.float32(gain) * signal, 0)) for gain in (1.0, 0.1))
    np.testing.assert_allclose(loud.scores, quiet.scores, atol=1e-3)
    assert quiet.level_dbfs == pytest.approx(loud.level_dbfs - 20.0, abs=1e-3)


def test_digital_silence_has_a_verdict_that_is_not_assessable(classifier: SceneClassifier) -> None:
    """Zeros give finite scores and the reason."""
    verdict = classifier.classify(_window(np.zeros(GRID.length_samples, np.float32), 0))
    assert np.isfinite(verdict.scores).all()
    assert Reason.SILENT in verdict.reasons
    assert not verdict.assessable


def test_the_bundle_says_when_a_verdict_is_unsure(tiny_bundle: Bundle, signal: Samples) -> None:
    """Rule and threshold of the fusion are the bundle's."""
    doubtful = replace(tiny_bundle, fusion=FusionSettings(rule="average", unsure_below=0.99))
    verdict = SceneClassifier(doubtful).classify(_window(signal, 0))
    np.testing.assert_allclose(verdict.scores, verdict.network_scores.mean(axis=0), atol=1e-6)
    assert verdict.reasons == (Reason.UNSURE,)


def test_smoothing_is_the_decision_over_the_patches_of_the_last_windows(
    tiny_bundle: Bundle, batch: list[WindowVerdict]
) -> None:
    """One window smooths to itself; several to the average per network, then the product, then the temperature."""
    np.testing.assert_allclose(smooth(batch[:1], tiny_bundle), batch[0].scores)
    pair = np.stack([batch[0].network_scores, batch[1].network_scores], axis=1)
    np.testing.assert_allclose(smooth(batch[:2], tiny_bundle), decide(pair, "product"))
    calibrated = replace(tiny_bundle, calibration=Calibration(2.5, "clips"))
    np.testing.assert_allclose(smooth(batch[:2], calibrated), decide(pair, "product", 2.5))


def test_a_calibrated_bundle_takes_back_confidence_and_nothing_else(tiny_bundle: Bundle, signal: Samples) -> None:
    """Scores of the networks stay, those of the decision are the calibrated ones; what is unsure is judged by them."""
    plain = SceneClassifier(tiny_bundle).classify(_window(signal, 0))
    threshold = FusionSettings(unsure_below=float(plain.scores.max()) - 1e-6)
    calibrated = replace(tiny_bundle, fusion=threshold, calibration=Calibration(2.0, "clips"))
    verdict = SceneClassifier(calibrated).classify(_window(signal, 0))
    np.testing.assert_array_equal(verdict.network_scores, plain.network_scores)
    root = np.sqrt(plain.scores)
    np.testing.assert_allclose(verdict.scores, root / root.sum())
    assert plain.reasons == ()
    assert verdict.reasons == (Reason.UNSURE,)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_samples_that_are_not_finite_are_refused(classifier: SceneClassifier, bad: float, rate: int) -> None:
    """A broken sample is an error and does not poison the next window."""
    grid = WindowGrid(rate, SETTINGS)
    samples = np.full(grid.length_samples, 0.01, np.float32)
    samples[1000] = bad
    frames = classifier.shared_frames()
    with pytest.raises(AudioError, match="finite"):
        classifier.classify(_window(samples, 0, grid), frames)
    samples[1000] = 0.01
    assert np.isfinite(classifier.classify(_window(samples, 0, grid), frames).scores).all()


def test_a_window_of_another_preset_is_refused(classifier: SceneClassifier) -> None:
    """A window cut for the paper's hop does not fit a five-second bundle."""
    grid = WindowGrid(RATE, FrontEndSettings.preset("paper"))
    with pytest.raises(SettingsError, match="WindowGrid"):
        classifier.classify(_window(np.zeros(grid.length_samples, np.float32), 0, grid))


def test_a_bundle_that_cannot_score_silence_is_refused_when_it_warms_up(tiny_bundle: Bundle) -> None:
    """Scores that are no numbers are found before the first silent window is heard."""
    classifier = SceneClassifier(tiny_bundle)
    settings = replace(classifier.front_end.settings, dynamic_range_db=None)
    object.__setattr__(settings, "power_floor", 1e-60)  # no settings that are made can have it
    classifier.front_end.settings = settings
    with np.errstate(all="ignore"), pytest.raises(BundleError, match="scores of silence"):
        classifier.warm_up()


def test_warming_up_leaves_no_trace(classifier: SceneClassifier, signal: Samples, batch: list[WindowVerdict]) -> None:
    """A classifier answers the same before and after."""
    classifier.warm_up()
    _assert_same([classifier.classify(_window(signal, 0))], batch[:1])
