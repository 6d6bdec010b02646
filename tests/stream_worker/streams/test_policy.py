"""No impossible rules of windows can exist."""

from __future__ import annotations

import math

import pytest

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
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(name: str, value: float) -> None:
    """Before a sample is counted."""
    with pytest.raises(SettingsError, match=name):
        StreamPolicy(FrontEndSettings(), **{name: value})  # type: ignore[arg-type]
