"""Processes that train side by side end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soundscene_train.processes import process_pool, side_by_side

NEVER_SECONDS = 3600


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError])
def test_a_failed_or_interrupted_pool_leaves_nothing_running(end: type[BaseException]) -> None:
    """Neither what runs nor what waits behind it is finished first: it would take an hour."""
    strangers = multiprocessing.active_children()
    with pytest.raises(end):
        _end_in_the_middle(end)
    assert set(multiprocessing.active_children()) <= set(strangers)


def test_what_is_given_back_is_what_was_computed() -> None:
    """Undisturbed, a pool does everything, in other processes than this one."""
    with process_pool(2) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]
        assert pool.submit(os.getpid).result() != os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_side_by_side_comes_back_in_order(jobs: int) -> None:
    """Results stand in the order of the items, whoever is done first; one job needs no other process."""
    found = list(side_by_side(_pause, [0.2, 0.0, 0.1], jobs))
    assert [seconds for seconds, _ in found] == [0.2, 0.0, 0.1]
    assert ({process for _, process in found} == {os.getpid()}) == (jobs == 1)


def _pause(seconds: float) -> tuple[float, int]:
    time.sleep(seconds)
    return seconds, os.getpid()


POOL = f"""
import os, time
from soundscene_train.processes import process_pool

if __name__ == "__main__":
    with process_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        for _ in range(3):
            pool.submit(time.sleep, {NEVER_SECONDS})
"""

SIDE_BY_SIDE = f"""
import os, time
from soundscene_train.processes import side_by_side

def work(item):
    return os.getpid() if item == 0 else time.sleep({NEVER_SECONDS})

if __name__ == "__main__":
    results = side_by_side(work, range(4), 2)
    print(next(results), flush=True)
    next(results)
"""


@pytest.mark.parametrize("program", [POOL, SIDE_BY_SIDE])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_parent_leaves_nothing_running(number: signal.Signals, program: str, tmp_path: Path) -> None:
    """A process whose parent is gone would work on to the end, beside the run that was started again."""
    script = tmp_path / "parent.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _is_running(child)
        parent.send_signal(number)
    while _is_running(child):
        time.sleep(0.05)


def _end_in_the_middle(end: type[BaseException]) -> None:
    with process_pool(2) as pool:
        for ready in [pool.submit(os.getpid) for _ in range(2)]:
            ready.result()
        for _ in range(5):
            pool.submit(time.sleep, NEVER_SECONDS)
        raise end


def _is_running(process: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
