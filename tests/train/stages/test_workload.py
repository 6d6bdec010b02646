"""How much of a training is done, and how long the rest takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundscene_train.fitting import Training
from soundscene_train.plan import Plan
from soundscene_train.stages.workload import Workload


def test_epochs_count_by_their_multiply_adds(esc_plan: Plan, tmp_path: Path) -> None:
    """Of two networks of two epochs, one three times as large, an epoch of the larger is three of eight parts."""
    small, large = (Training(esc_plan, tmp_path, name) for name in ("mel", "cqt"))
    ticks = iter((100.0, 103.0, 105.0, 190.0))
    workload = Workload([small, large], [1_000, 3_000], clock=lambda: next(ticks))
    found = []
    for training, epochs in ((small, 1), (small, 2), (large, 1), (large, 2)):
        workload.advance(training, epochs)
        found.append((workload.percent, workload.seconds_left()))
    assert found[0] == (12, None)
    assert found[1] == (25, 18.0)
    assert found[2] == (62, 9.0)  # the first epoch of a network says nothing
    assert found[3] == (100, 0.0)


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 40.0), (2, 20.0), (3, 20.0)])
def test_networks_side_by_side_take_as_long_as_the_longest(
    esc_plan: Plan, tmp_path: Path, jobs: int, seconds: float
) -> None:
    """Two processes take half of the time, three no less than what one network takes by itself."""
    work = [Training(esc_plan, tmp_path, name) for name in ("mel", "gammatone", "cqt")]
    ticks = iter((0.0, 10.0))
    workload = Workload(work, [7, 7, 7], jobs, lambda: next(ticks))
    workload.advance(work[0], 1)
    workload.advance(work[0], 2)
    assert workload.seconds_left() == pytest.approx(seconds)


def test_what_an_earlier_call_has_trained_took_no_time(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> None:
    """A network that is trained counts as done, and what is left is judged by the speed of this call alone."""
    trained, new = Training(esc_plan, esc_run, "mel"), Training(esc_plan, tmp_path / "new", "mel")
    workload = Workload([trained, new], [500, 500])
    assert (workload.percent, workload.seconds_left()) == (50, None)
    workload.advance(new, 1)
    assert workload.percent == 75
