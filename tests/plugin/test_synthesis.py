"""Scenes from nothing: repeatable, bounded, and told apart by their sound alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundscene.errors import SettingsError
from soundscene.synthesis import SCENE_NAMES, synthesise


@given(
    scene=st.sampled_from(SCENE_NAMES),
    seconds=st.floats(0.001, 0.6),
    rate=st.sampled_from([8000, 16000, 44100, 48000]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_any_length_and_rate_gives_a_bounded_signal(scene: str, seconds: float, rate: int, seed: int) -> None:
    """Every scene fills exactly the asked samples, finite and within full scale."""
    samples = synthesise(scene, seconds, rate, np.random.default_rng(seed))
    assert samples.dtype == np.float32
    assert samples.shape == (round(seconds * rate),)
    assert np.isfinite(samples).all()
    assert np.max(np.abs(samples)) <= 1.0


@pytest.mark.parametrize("scene", SCENE_NAMES)
def test_the_generator_is_the_only_source_of_chance(scene: str) -> None:
    """One seed gives one recording; another seed another one."""
    first, again, other = (synthesise(scene, 1.0, 16000, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_scenes_have_their_own_colour() -> None:
    """A park is brighter than the inside of a bus, averaged over recordings."""

    def centroid_hz(scene: str) -> float:
        centroids = []
        for seed in range(6):
            samples = synthesise(scene, 2.0, 16000, np.random.default_rng(seed))
            power = np.abs(np.fft.rfft(samples)) ** 2
            frequencies = np.fft.rfftfreq(samples.size, 1 / 16000)
            centroids.append(float(np.sum(frequencies * power) / np.sum(power)))
        return float(np.median(centroids))

    assert centroid_hz("park") > 2.0 * centroid_hz("bus")


@pytest.mark.parametrize(
    ("scene", "seconds", "rate"), [("moon", 1.0, 44100), ("park", 0.0, 44100), ("park", 1.0, 1000)]
)
def test_impossible_wishes_are_refused(scene: str, seconds: float, rate: int) -> None:
    """An unknown scene, no samples and an absurd rate each say what was expected."""
    with pytest.raises(SettingsError, match=r"no scene|expected at least"):
        synthesise(scene, seconds, rate, np.random.default_rng(0))
