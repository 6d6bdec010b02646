"""How much of a training is done, and how long the rest takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundscene_train.fitting import Training
from soundscene_train.plan import Plan
from soundscene_train.stages.workload import Workload


def test_epochs_count_by_their_multiply_adds(esc_plan: Plan, tmp_path: Path) -> None:
    """Of two networks of two epochs, one three times as large, an epoch of the larger is three of eight parts."""
    small, large = (Training(esc_plan, tmp_path, name) for name in ("mel", "cqt"))
    ticks: Iterator[float] = iter([100.0, 130.0, 150.0])
    workload = Workload([small, large], [1_000, 3_000], lambda: next(ticks))
    assert (workload.percent, workload.seconds_left()) == (0, math.inf)
    workload.advance(large, 1)
    assert workload.percent == 37
    assert workload.seconds_left() == pytest.approx(30.0 * 5 / 3)
    workload.advance(small, 2)
    workload.advance(large, 2)
    assert (workload.percent, workload.seconds_left()) == (100, 0.0)


def test_what_an_earlier_call_has_trained_took_no_time(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> None:
    """A network that is trained counts as done, and what is left is judged by the speed of this call alone."""
    trained, new = Training(esc_plan, esc_run, "mel"), Training(esc_plan, tmp_path / "new", "mel")
    ticks: Iterator[float] = iter([0.0, 10.0])
    workload = Workload([trained, new], [500, 500], lambda: next(ticks))
    assert workload.percent == 50
    workload.advance(new, 1)
    assert (workload.percent, workload.seconds_left()) == (75, 10.0)
