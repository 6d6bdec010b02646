"""From a log spectrogram to a patch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundscene.errors import SettingsError
from soundscene.frontend import (
    FrontEnd,
    Standardisation,
    floor_below_maximum,
    level_proof,
    patch,
    remove_band_means,
    remove_mean,
    with_deltas,
)
from soundscene.settings import FrontEndSettings

SETTINGS = FrontEndSettings()
CONSTANTS = Standardisation(-3.0, 2.5, (1.5, 20.0, 0.5), (0.1, -0.2, 0.3))


def spectrum(seed: int = 0, batch: tuple[int, ...] = ()) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(-5.0, 6.0, (*batch, 136, 128)).astype(np.float32)


def slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.2 * (x[4:] - x[:-4]) + 0.1 * (x[3:-1] - x[1:-3])


def test_a_patch_is_its_steps_in_order() -> None:
    """Floor, training constants, window mean, deltas, channel constants: written out in float64, the same numbers."""
    x = spectrum().astype(np.float64)
    x = np.maximum(x, x.max() - 80.0 * np.log(10.0) / 10.0)
    x = (x + 3.0) / 2.5
    x -= x.mean()
    channels = [x[4:-4], slope(x)[2:-2], slope(slope(x))]
    expected = np.stack([c.T * s + o for c, s, o in zip(channels, (1.5, 20.0, 0.5), (0.1, -0.2, 0.3), strict=True)], -1)
    out = patch(spectrum(), SETTINGS, "mel", CONSTANTS)
    assert out.shape == (128, 128, 3)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    np.testing.assert_allclose(out, expected, atol=2e-5)


@pytest.mark.parametrize("gain_db", [-20.0, 20.0])
@pytest.mark.parametrize("name", ["mel", "gammatone", "cqt"])
def test_level_does_not_reach_the_network(
    default_front_end: FrontEnd, real_clips: dict[str, NDArray[np.float32]], name: str, gain_db: float
) -> None:
    """With the default preset a gain of 20 dB up or down leaves the patch of a real recording as it is."""
    for clip in real_clips.values():
        samples = np.resize(clip, SETTINGS.window_length_samples)
        louder = samples * np.float32(10.0 ** (gain_db / 20.0))
        patches = [
            patch(getattr(default_front_end.window_spectra(x), name), SETTINGS, name, CONSTANTS)
            for x in (samples, louder)
        ]
        np.testing.assert_allclose(patches[0], patches[1], atol=5e-3)


@pytest.mark.parametrize("name", ["mel", "gammatone", "cqt"])
def test_a_microphone_does_not_reach_a_network_without_band_means(name: str) -> None:
    """A fixed gain of each band, as another microphone has it, is gone for the networks that are named alone."""
    settings = replace(SETTINGS, remove_band_means=("mel", "gammatone"), dynamic_range_db=None)
    colour = np.linspace(-3.0, 4.0, 128, dtype=np.float32)
    plain, coloured = (patch(x, settings, name, CONSTANTS) for x in (spectrum(), spectrum() + colour))
    largest = np.abs(coloured - plain).max()
    assert largest > 1.0 if name == "cqt" else largest < 1e-4


def test_band_means_go_in_place_of_the_window_mean() -> None:
    """The floor comes before, the scale after, and the mean of each band over the window's frames is zero."""
    settings = replace(SETTINGS, remove_band_means=("mel",))
    x = spectrum().astype(np.float64)
    x = np.maximum(x, x.max() - 80.0 * np.log(10.0) / 10.0)
    level = level_proof(spectrum(), settings, "mel", -3.0, 2.5)
    np.testing.assert_allclose(level, (x - x.mean(axis=0)) / 2.5, atol=2e-5)
    np.testing.assert_allclose(level.mean(axis=0), 0.0, atol=1e-5)


def test_the_paper_preset_keeps_levels() -> None:
    """Where the settings do not ask for it, nothing is floored and no mean is removed."""
    settings = FrontEndSettings.preset("paper")
    loud = patch(spectrum() + np.float32(5.0), settings, "mel", Standardisation.identity())
    quiet = patch(spectrum(), settings, "mel", Standardisation.identity())
    np.testing.assert_allclose(loud[..., 0] - quiet[..., 0], 5.0, atol=1e-5)
    np.testing.assert_allclose(loud[..., 1:], quiet[..., 1:], atol=1e-5)


def test_silence_gives_zeros(default_front_end: FrontEnd) -> None:
    """A silent window's patch is exactly zero but for the channels' offsets."""
    spectra = default_front_end.window_spectra(np.zeros(SETTINGS.window_length_samples, np.float32))
    for silent in (spectra.mel, spectra.gammatone, spectra.cqt):
        assert not level_proof(silent, SETTINGS, "mel", -3.0, 2.5).any()
        assert not patch(silent, SETTINGS, "mel", Standardisation.identity()).any()


@given(batch=st.lists(st.integers(1, 3), max_size=2), seed=st.integers(0, 1000))
def test_a_batch_gives_what_its_items_give(batch: list[int], seed: int) -> None:
    """Every step treats the items of a batch one by one: no item's floor or mean reaches another."""
    items = spectrum(seed, tuple(batch)) * np.float32(3.0)
    settings = replace(SETTINGS, remove_band_means=("gammatone",))
    for network in ("mel", "gammatone"):
        together = patch(items, settings, network, CONSTANTS)
        for index in np.ndindex(*batch):
            np.testing.assert_allclose(together[index], patch(items[index], settings, network, CONSTANTS), atol=1e-5)


@pytest.mark.parametrize("patch_frames", [1, 7, 16, 17, 31, 64])
def test_blocks_of_frames_do_not_show(patch_frames: int) -> None:
    """Deltas of any number of frames are those of the same frames within a longer patch."""
    settings = replace(SETTINGS, patch_frames=patch_frames, step_frames=1)
    np.testing.assert_allclose(
        with_deltas(spectrum()[: patch_frames + 8], settings),
        with_deltas(spectrum(), SETTINGS)[:, :patch_frames],
        atol=1e-5,
    )


def test_steps_leave_their_input_alone() -> None:
    """Augmentation may reuse a spectrogram after any step."""
    x = spectrum()
    x.flags.writeable = False
    floor_below_maximum(x, 60.0)
    remove_mean(x)
    remove_band_means(x)
    patch(x, SETTINGS, "mel", CONSTANTS)


def test_standardisation_survives_json() -> None:
    """Constants read back from their dictionary are the same."""
    assert Standardisation.from_dict(CONSTANTS.to_dict()) == CONSTANTS


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.0},
        {"scale": -1.0},
        {"mean": float("nan")},
        {"channel_scale": [1.0, 1.0]},
        {"channel_offset": [0.0, 0.0, float("inf")]},
        {"mean": "loud"},
        {"mean": None},
        {"surplus": 1.0},
    ],
)
def test_impossible_constants_are_refused(change: dict[str, object]) -> None:
    """A bundle with a zero scale, a NaN, a missing channel or an unknown key cannot be loaded."""
    with pytest.raises(SettingsError):
        Standardisation.from_dict(CONSTANTS.to_dict() | change)
