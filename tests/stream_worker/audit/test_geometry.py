"""The auditor's windows, by its own arithmetic, are those the plugin cuts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundscene.errors import BundleError
from soundscene.settings import PRESET_NAMES, FrontEndSettings
from soundscene.windows import WindowGrid
from soundscene_worker.audit.geometry import Geometry


def geometry_of(front_end: FrontEndSettings) -> Geometry:
    return Geometry.of_manifest({"front_end": front_end.to_dict(), "fusion": {"smoothing_windows": 2}})


@settings(deadline=None)
@given(st.sampled_from(PRESET_NAMES), st.integers(4_000, 384_000), st.integers(0, 10**7), st.integers(0, 10**7))
def test_windows_are_those_of_the_grid(preset: str, rate_hz: int, first: int, count: int) -> None:
    """Two implementations that share no code agree for every preset, rate and stretch of sound."""
    front_end = FrontEndSettings.preset(preset)
    geometry, grid = geometry_of(front_end), WindowGrid(rate_hz, front_end)
    assert geometry.source_span(7, rate_hz) == grid.span(7)
    found = list(geometry.indices_within(first, first + count, rate_hz))
    lowest = grid.first_index_from(first)
    expected = [k for k in range(lowest, lowest + len(found) + 2) if grid.span(k)[1] <= first + count]
    assert found == expected


def test_a_bundle_says_where_windows_lie(bundle: Path) -> None:
    """From its manifest alone."""
    assert Geometry.of_bundle(bundle) == Geometry(8_000, 4_000, 2_000, 2)


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"front_end": {}}', '{"front_end": 3}'])
def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, text: str | None) -> None:
    """With the path in the message."""
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Geometry.of_bundle(tmp_path)
