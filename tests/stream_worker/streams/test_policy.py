"""No impossible rules of windows can exist."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene.errors import SettingsError
from soundscene.settings import FrontEndSettings
from soundscene_worker.streams.policy import StreamPolicy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hold_back_seconds", -1.0),
        ("hold_back_seconds", math.inf),
        ("hold_back_seconds", math.nan),
        ("idle_seconds", 0.0),
        ("idle_seconds", math.inf),
        ("smoothing_windows", 0),
        ("sessions_per_device", 0),
        ("devices_per_partition", 0),
        ("device_bytes", 0),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(name: str, value: float) -> None:
    """Before a sample is counted."""
    with pytest.raises(SettingsError, match=name):
        StreamPolicy(FrontEndSettings(), **{name: value})  # type: ignore[arg-type]


@given(
    st.sampled_from([4_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]) | st.integers(4_000, 384_000),
    st.sampled_from([620, 1_120, 1_600, 1_850, 2_048]),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.05, 10.0, 10.7, 60.0]),
)
def test_the_hold_back_is_the_least_count_of_samples_that_lasts_as_long_as_it_must(
    rate_hz: int, hop_samples: int, smoothing: int, seconds: float
) -> None:
    """As long as it was set, a window and the smoothing steps at the least: to the sample, so that all agree on it."""
    front_end = FrontEndSettings(hop_size_samples=hop_samples)
    steps = front_end.window_length_samples + smoothing * front_end.step_samples
    least = math.ceil(Fraction(steps * rate_hz, front_end.sample_rate_hz))
    policy = StreamPolicy(front_end, smoothing, hold_back_seconds=seconds)
    assert policy.hold_back_samples(rate_hz) == max(least, math.ceil(seconds * rate_hz))
