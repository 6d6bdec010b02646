from __future__ import annotations

import pytest

from soundscene.cli.text import bar, clock


@pytest.mark.parametrize(
    ("seconds", "with_hours", "expected"),
    [
        (0.0, False, "0:00.0"),
        (4.9908, False, "0:05.0"),
        (59.96, False, "1:00.0"),
        (754.32, False, "12:34.3"),
        (3599.99, True, "1:00:00.0"),
        (4321.0, True, "1:12:01.0"),
    ],
)
def test_a_clock_rounds_to_tenths_and_carries(seconds: float, with_hours: bool, expected: str) -> None:
    """No time reads 0:60.0."""
    assert clock(seconds, with_hours) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, "    "), (0.5, "██  "), (0.53, "██▏ "), (1.0, "████"), (9, "████")]
)
def test_a_bar_is_always_as_wide(share: float, expected: str) -> None:
    """Columns after a bar stay aligned."""
    assert bar(share, 4) == expected
