"""Augmentations are pure, seeded, and do what they are named after."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from soundscene.frontend import with_deltas
from soundscene_train.augmentation import (
    Array,
    augmented_patches,
    crop_windows,
    lively_starts,
    mask_patches,
    mix_styles,
    mix_up,
    recoloured,
    roll_windows,
    with_noise,
)
from soundscene_train.recipe import AugmentationSettings, Recipe
from tests.train.conftest import TINY_FRONT_END

FRAMES, BANDS = TINY_FRONT_END.window_frames, TINY_FRONT_END.band_count


@pytest.fixture
def spectra() -> Array:
    return np.random.default_rng(0).standard_normal((12, FRAMES, BANDS)).astype(np.float32)


@pytest.fixture
def targets() -> Array:
    return np.eye(4, dtype=np.float32)[np.arange(12) % 4]


def _all(spectra: Array, targets: Array, generator: np.random.Generator) -> list[Array]:
    everything = AugmentationSettings(roll=True)
    patches = with_deltas(spectra, TINY_FRONT_END)
    return [
        roll_windows(spectra, generator),
        crop_windows(spectra, np.ones((len(spectra), FRAMES), np.bool_), 20, generator),
        recoloured(spectra, np.arange(3 * BANDS, dtype=np.float32).reshape(3, BANDS), 0.5, generator),
        with_noise(spectra, np.zeros((2, FRAMES, BANDS), np.float32), 0.5, (0.0, 40.0), generator),
        mix_styles(spectra, 0.5, generator),
        *mix_up(spectra, targets, 0.4, generator),
        mask_patches(patches, 8, 8, generator),
        *augmented_patches(spectra, targets, TINY_FRONT_END, everything, generator),
    ]


def test_same_seed_same_batch_and_inputs_untouched(spectra: Array, targets: Array) -> None:
    """Each augmentation repeats with its generator's seed, differs with another, and leaves its input alone."""
    kept, kept_targets = spectra.copy(), targets.copy()
    first, again, other = (_all(spectra, targets, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, different)
        assert one.dtype == np.float32
    np.testing.assert_array_equal(spectra, kept)
    np.testing.assert_array_equal(targets, kept_targets)


NOTHING = AugmentationSettings(mixup_alpha=0.0, frequency_mask_bands=0, time_mask_frames=0)


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({"roll": True}, lambda x, _, generator: with_deltas(roll_windows(x, generator), TINY_FRONT_END)),
        (
            {"style_probability": 0.3},
            lambda x, _, generator: with_deltas(mix_styles(x, 0.3, generator), TINY_FRONT_END),
        ),
        ({"mixup_alpha": 0.2}, lambda x, y, generator: with_deltas(mix_up(x, y, 0.2, generator)[0], TINY_FRONT_END)),
        (
            {"frequency_mask_bands": 5, "time_mask_frames": 9},
            lambda x, _, generator: mask_patches(with_deltas(x, TINY_FRONT_END), 5, 9, generator),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_asked_for_is_done_as_strongly_as_asked(
    spectra: Array, targets: Array, asked: dict[str, Any], made: Callable[[Array, Array, np.random.Generator], Array]
) -> None:
    """One augmentation alone makes the patches that its own function makes, from the same chance."""
    settings = replace(NOTHING, **asked)
    patches, _ = augmented_patches(spectra, targets, TINY_FRONT_END, settings, np.random.default_rng(3))
    np.testing.assert_array_equal(patches, made(spectra, targets, np.random.default_rng(3)))


def test_rolling_keeps_every_frame(spectra: Array) -> None:
    """A rolled window has the same frames in the same circular order, and begins at a frame of its own."""
    rolled, shifts = roll_windows(spectra, np.random.default_rng(0)), set()
    for before, after in zip(spectra, rolled, strict=True):
        fitting = [shift for shift in range(FRAMES) if np.array_equal(np.roll(before, shift, axis=0), after)]
        assert len(fitting) == 1
        shifts.update(fitting)
    assert len(shifts) > 6


def test_shares_of_what_is_mixed_are_as_spread_as_their_beta_distribution() -> None:
    """The variance of Beta(a, a) is 1 / (4 (2 a + 1)): of mixup with the a that is given, of styles with 0.4."""
    count = 2000
    generator = np.random.default_rng(6)
    for alpha in (0.4, 2.0):
        _, targets = mix_up(np.zeros((count, 1, 1), np.float32), np.eye(count, dtype=np.float32), alpha, generator)
        assert targets.diagonal().var() == pytest.approx(1.0 / (4.0 * (2.0 * alpha + 1.0)), rel=0.1)
    levels = (np.arange(count) % 2).astype(np.float32)[:, None, None]
    noise = generator.standard_normal((count, FRAMES, 1)).astype(np.float32)
    noise -= noise.mean(axis=1, keepdims=True)
    means = mix_styles(levels + noise, 1.0, generator).mean(axis=(1, 2))
    between = means[(means > 1e-4) & (means < 1.0 - 1e-4)]
    assert between.var() == pytest.approx(1.0 / (4.0 * 1.8), rel=0.15)


def test_a_style_is_a_blend_of_two_windows_and_leaves_the_shape_alone(spectra: Array) -> None:
    """Each band's mean and deviation are the same blend of its own and a partner's; what is left of it is its own."""
    levels = np.arange(len(spectra), dtype=np.float32)[:, None, None]
    styled = mix_styles((1.0 + levels) * spectra + levels, 1.0, np.random.default_rng(4))
    np.testing.assert_allclose(_shape(styled), _shape(spectra), atol=1e-3)
    unit = spectra / spectra.std(axis=1, keepdims=True)
    unit -= unit.mean(axis=1, keepdims=True)
    styled_units = mix_styles((1.0 + levels) * unit + levels, 1.0, np.random.default_rng(4))
    means, deviations = styled_units.mean(axis=1), styled_units.std(axis=1)
    np.testing.assert_allclose(deviations, 1.0 + means, atol=1e-3)
    assert np.ptp(means, axis=1).max() < 1e-3
    assert not np.allclose(means[:, 0], levels[:, 0, 0], atol=0.1)
    assert means.min() >= -1e-3
    assert means.max() <= len(spectra) - 1 + 1e-3


def test_no_style_is_mixed_where_none_is_asked_for(spectra: Array) -> None:
    """With probability 0 every window stays what it was, to the bit; with a half, some do."""
    np.testing.assert_array_equal(mix_styles(spectra, 0.0, np.random.default_rng(0)), spectra)
    is_same = (mix_styles(spectra, 0.5, np.random.default_rng(0)) == spectra).all(axis=(1, 2))
    assert 0 < is_same.sum() < len(spectra)


def _shape(spectra: Array) -> Array:
    mean, deviation = spectra.mean(axis=1, keepdims=True), spectra.std(axis=1, keepdims=True)
    return np.asarray((spectra - mean) / deviation)


def test_mixing_keeps_spectra_and_targets_together(spectra: Array, targets: Array) -> None:
    """A mixed item is a convex sum of two, its target the same sum of theirs."""
    tagged = np.broadcast_to(targets.argmax(axis=1)[:, None, None] ** 2, spectra.shape).astype(np.float32)
    mixed, mixed_targets = mix_up(tagged, targets, 0.4, np.random.default_rng(3))
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0], mixed_targets @ (np.arange(4.0) ** 2), atol=1e-5)


def test_masks_cover_whole_bands_and_frames_up_to_the_widest(spectra: Array) -> None:
    """What is masked is one stretch of bands and one of frames, in all channels, never wider than asked."""
    patches = with_deltas(spectra, TINY_FRONT_END) + 10.0
    masked = mask_patches(patches, 5, 7, np.random.default_rng(0))
    zero = (masked == 0.0).all(axis=-1)  # (items, bands, frames)
    np.testing.assert_array_equal(masked[~zero], patches[~zero])
    bands, frames = zero.all(axis=2).sum(axis=1), zero.all(axis=1).sum(axis=1)
    assert bands.max() <= 5
    assert frames.max() <= 7
    assert bands.any()
    assert frames.any()
    for item in zero:
        np.testing.assert_array_equal(item, item.all(axis=1)[:, None] | item.all(axis=0)[None, :])
    assert (patches != 0.0).all(), "the input is left alone"


def test_masks_lie_anywhere_and_are_never_wider_than_the_patch() -> None:
    """Of masks of one band or frame each is met, the last as well; one that may be wider than all hides all at most."""
    patches = np.ones((600, 8, 6, 3), np.float32)
    narrow = mask_patches(patches, 1, 1, np.random.default_rng(0))
    assert (narrow == 0.0).all(axis=(2, 3)).any(axis=0).all()
    assert (narrow == 0.0).all(axis=(1, 3)).any(axis=0).all()
    wide = mask_patches(patches, 99, 0, np.random.default_rng(0))
    assert set((wide[:, :, 0, 0] == 0.0).sum(axis=1).tolist()) == set(range(9))


def test_everything_off_is_the_plain_front_end(spectra: Array, targets: Array) -> None:
    """With all strengths at zero, training sees what serving sees."""
    nothing = AugmentationSettings(mixup_alpha=0.0, frequency_mask_bands=0, time_mask_frames=0)
    patches, same = augmented_patches(spectra, targets, TINY_FRONT_END, nothing, np.random.default_rng(0))
    np.testing.assert_array_equal(patches, with_deltas(spectra, TINY_FRONT_END))
    np.testing.assert_array_equal(same, targets)


def test_mixing_commutes_with_deltas(spectra: Array, targets: Array) -> None:
    """Mixing spectrograms before the deltas is mixing patches after them: deltas are linear."""

    def mixed(values: Any, make: Callable[[Any], Any]) -> Any:
        return make(mix_up(values, targets, 0.4, np.random.default_rng(5))[0])

    before = mixed(spectra, lambda x: with_deltas(x, TINY_FRONT_END))
    flat = with_deltas(spectra, TINY_FRONT_END).reshape(12, BANDS, -1)
    np.testing.assert_allclose(mixed(flat, lambda x: x.reshape(before.shape)), before, atol=1e-5)


def test_a_crop_is_a_stretch_that_begins_where_it_may(spectra: Array) -> None:
    """Every crop is so many neighbouring frames of its window, around the end if need be, from an allowed start."""
    allowed = np.random.default_rng(2).random((len(spectra), FRAMES)) < 0.1
    allowed[:, -1] = True
    for seed in range(5):
        crops = crop_windows(spectra, allowed, 20, np.random.default_rng(seed))
        for window, crop, starts in zip(spectra, crops, allowed, strict=True):
            possible = [np.roll(window, -start, axis=0)[:20] for start in np.flatnonzero(starts)]
            assert any(np.array_equal(crop, stretch) for stretch in possible)


@pytest.mark.parametrize("is_circular", [True, False])
def test_crops_avoid_the_silence_around_a_short_sound(is_circular: bool) -> None:
    """Of a window with ten loud frames, the crops that hold at least five of them are allowed, and no other."""
    spectra = np.full((1, FRAMES, BANDS), -20.0, np.float32)
    spectra[0, 4:14] = 0.0
    found = lively_starts(spectra, 12, is_circular=is_circular)[0]
    held = [sum(4 <= (start + frame) % FRAMES < 14 for frame in range(12)) for start in range(FRAMES)]
    expected = np.array(held) >= 5
    if not is_circular:
        expected[FRAMES - 12 + 1 :] = False
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("level_db", "counts"), [(-25.0, True), (-35.0, False)])
def test_a_frame_is_sound_within_thirty_decibels_of_the_loudest(level_db: float, counts: bool) -> None:
    """Of two bursts, crops of the softer one are allowed if it is not too soft."""
    spectra = np.full((1, FRAMES, BANDS), -20.0, np.float32)
    spectra[0, 2:8], spectra[0, -6:] = 0.0, level_db * np.log(10.0) / 10.0
    assert bool(lively_starts(spectra, 6, is_circular=False)[0, FRAMES - 6]) == counts


def test_silence_has_no_style() -> None:
    """A window in which nothing moves, digital silence, is mixed without a figure that is none."""
    silent = np.full((4, FRAMES, BANDS), -32.0, np.float32)
    assert np.isfinite(mix_styles(silent, 1.0, np.random.default_rng(0))).all()


def test_in_silence_every_crop_is_allowed() -> None:
    """A window that is the same throughout, digital silence included, can be cut anywhere."""
    assert lively_starts(np.full((2, FRAMES, BANDS), -36.8, np.float32), 12, is_circular=True).all()


def test_a_share_of_the_windows_gets_one_response_throughout(spectra: Array) -> None:
    """Each window is left alone or gets one device's response in every frame; half of them do."""
    many = np.tile(spectra, (40, 1, 1))
    responses = np.random.default_rng(5).standard_normal((3, BANDS)).astype(np.float32)
    added = recoloured(many, responses, 0.5, np.random.default_rng(1)) - many
    options = np.concatenate([np.zeros((1, BANDS), np.float32), responses])
    far = np.abs(added[:, None] - options[None, :, None]).max(axis=(2, 3))  # (windows, options)
    assert far.min(axis=1).max() < 1e-5
    counts = np.bincount(far.argmin(axis=1), minlength=4)
    assert counts[0] / len(many) == pytest.approx(0.5, abs=0.1)
    assert counts[1:].min() > 0


def test_a_response_is_stretched_within_the_spread(spectra: Array) -> None:
    """With a spread of a half, the decibels that are added lie between half and one and a half times the device's."""
    many = np.tile(spectra, (40, 1, 1))
    response = np.linspace(1.0, 4.0, BANDS, dtype=np.float32)[None]
    factors = (recoloured(many, response, 1.0, np.random.default_rng(1), spread=0.5) - many) / response
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1], factors.shape), atol=1e-4)
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5 + 1e-4


def test_noise_comes_at_the_ratios_that_were_asked_for(spectra: Array) -> None:
    """A share of the windows gets noise, at ratios of power spread over the range; the others stay as they are."""
    many = np.tile(spectra, (40, 1, 1))
    flat = np.full((1, FRAMES, BANDS), -np.log(BANDS), np.float32)
    noisy = with_noise(many, flat, 0.5, (-10.0, 10.0), np.random.default_rng(3))
    is_changed = (noisy != many).any(axis=(1, 2))
    assert is_changed.mean() == pytest.approx(0.5, abs=0.1)
    powers = np.exp(many[is_changed]).sum(axis=2).mean(axis=1)
    added = np.exp(noisy[is_changed]).sum(axis=2).mean(axis=1) - powers
    ratios_db = 10.0 * np.log10(powers / added)
    assert -10.01 < ratios_db.min() < -8.0
    assert 8.0 < ratios_db.max() < 10.01


def test_noise_is_of_every_colour_and_begins_anywhere(spectra: Array) -> None:
    """Of two colours, one in low bands and one in high ones, both are added, each from many a frame on."""
    silent = np.full_like(np.tile(spectra, (4, 1, 1)), -60.0)
    noises = np.full((2, FRAMES, BANDS), -30.0, np.float32)
    noises[0, 5, :4] = noises[1, 5, -4:] = 0.0
    added = with_noise(silent, noises, 1.0, (0.0, 0.0), np.random.default_rng(7))
    loudest = added.reshape(len(added), -1).argmax(axis=1)
    frames, bands = loudest // BANDS, loudest % BANDS
    assert set(bands) == {0, BANDS - 4}
    assert len(set(frames)) > FRAMES // 3


def test_training_on_crops_makes_patches_of_their_length(spectra: Array, targets: Array) -> None:
    """With everything else off, a patch is the front end's own of a stretch of the window."""
    settings = AugmentationSettings(mixup_alpha=0.0, frequency_mask_bands=0, time_mask_frames=0, crop_frames=16)
    recipe = Recipe(front_end=TINY_FRONT_END, augmentation=settings)
    front_end = recipe.training_front_end
    starts = np.zeros((len(spectra), FRAMES), np.bool_)
    starts[:, 3] = True
    patches, _ = augmented_patches(spectra, targets, front_end, settings, np.random.default_rng(0), starts=starts)
    assert patches.shape == (12, BANDS, 16, 3)
    whole = with_deltas(spectra, TINY_FRONT_END)
    np.testing.assert_allclose(patches, whole[:, :, 3:19], atol=1e-5)
