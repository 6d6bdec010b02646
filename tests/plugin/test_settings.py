"""No invalid front end can exist."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soundscene.errors import SettingsError
from soundscene.settings import PRESET_NAMES, FrontEndSettings


@pytest.mark.parametrize(
    "change",
    [
        {"hop_size_samples": 0},
        {"hop_size_samples": 1600.5},
        {"hop_size_samples": "1600"},
        {"band_count": True},
        {"power_floor": float("nan")},
        {"power_floor": float("inf")},
        {"dynamic_range_db": -80.0},
        {"remove_window_mean": 1},
        {"remove_window_mean": None},
        {"remove_band_means": ("bark",)},
        {"remove_band_means": ("mel", "mel")},
        {"remove_band_means": "mel"},
        {"remove_band_means": None},
        {"min_frequency_hz": 22_050.0},
        {"delta_width_frames": 4},
        {"fft_size_samples": 2_048},
        {"fft_size_samples": 8_191},
        {"fft_size_samples": 2**31},
        {"window_size_samples": 1},
        {"power_floor": 1e-60},
        {"power_floor": 1e39},
        {"min_frequency_hz": 10**400},
        {"sample_rate_hz": 10**400},
        {"step_frames": 137},
        {"cqt_bins_per_octave": 12},
        {"cqt_bins_per_octave": 1, "band_count": 2_000},
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(change: dict[str, Any]) -> None:
    """Whatever is wrong is named, on construction."""
    name = next(iter(change)) if "cqt" not in str(change) else "constant-Q"
    with pytest.raises(SettingsError, match=name):
        FrontEndSettings(**change)


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_preset_survives_writing_and_reading(name: str) -> None:
    """Settings travel with a bundle unchanged."""
    settings = FrontEndSettings.preset(name)
    assert FrontEndSettings.from_dict(settings.to_dict()) == settings


def test_networks_without_band_means_survive_writing_and_reading() -> None:
    """Their names come back from JSON as they went in; of settings written before there were any, none."""
    settings = FrontEndSettings(remove_band_means=("gammatone", "mel"))
    assert FrontEndSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    older = FrontEndSettings().to_dict()
    older.pop("remove_band_means")
    assert FrontEndSettings.from_dict(older) == FrontEndSettings()


def test_unknown_and_missing_keys_are_named() -> None:
    """A bundle made by another version is refused with the difference."""
    values = FrontEndSettings().to_dict()
    with pytest.raises(SettingsError, match="unknown \\['mood'\\]"):
        FrontEndSettings.from_dict(values | {"mood": 1})
    values.pop("power_floor")
    with pytest.raises(SettingsError, match="missing \\['power_floor'\\]"):
        FrontEndSettings.from_dict(values)
    with pytest.raises(SettingsError, match="no preset 'x'"):
        FrontEndSettings.preset("x")
