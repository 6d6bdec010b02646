"""The auditor's rules are such as a worker can have."""

from __future__ import annotations

import math

import pytest

from soundscene.errors import SettingsError
from soundscene_worker.audit.rules import Rules


@pytest.mark.parametrize("name", ["hold_back_seconds", "idle_seconds"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite_is_refused_by_name(name: str, value: float) -> None:
    """No time without end comes to where samples and milliseconds are counted."""
    with pytest.raises(SettingsError, match=name):
        Rules(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["sessions_per_device", "devices_per_partition", "device_bytes"])
def test_a_limit_that_leaves_nothing_is_refused_by_name(name: str) -> None:
    """As the worker refuses it."""
    with pytest.raises(SettingsError, match=name):
        Rules(**{name: 0})  # type: ignore[arg-type]
