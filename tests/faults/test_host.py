"""A machine whose disk is full, and one whose clock is stepped."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from scripts.pipeline import WorkerProcess, scrape
from scripts.pytest_services import unavailable
from tests.faults.conftest import Record
from tests.faults.stage import Stage

pytestmark = pytest.mark.integration

FULL = Path("/dev/full")

# libfaketime 0.9.10 spoils clock_nanosleep until a monotonic time, which is how Python sleeps.
SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"


@pytest.fixture
def library() -> Path:
    """What shifts the wall clock of one program."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        unavailable("Stepping a program's clock needs libfaketime, which is not installed (Debian: faketime).")
    return found[0]


def faked(library: Path, clock: Path) -> dict[str, str]:
    """Return variables under which a program's wall clock is off by what a file says."""
    clock.with_name("sitecustomize.py").write_text(SLEEP)
    return {
        "PYTHONPATH": os.pathsep.join([str(clock.parent), os.environ.get("PYTHONPATH", "")]),
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def worker_clock(worker: WorkerProcess) -> float:
    """Return the time at which the loop last turned, as the worker sees it (s since 1970)."""
    name = "soundscene_loop_heartbeat_timestamp_seconds"
    return next(sample.value for sample in scrape(worker.address) if sample.name == name)


@pytest.mark.fault("The disk that a worker logs to is full")
def test_log_is_on_a_full_disk(stage: Stage, record: Record) -> None:
    """A worker writes nothing but its log; when that cannot be written it goes on, and ends in good order."""
    if not FULL.exists():
        unavailable(f"This system has no {FULL}, the file of a disk that is full.")
    stage.start_sensors()
    worker = stage.start_worker(log=FULL)
    stage.wait_for_more(windows=30)
    outcome = stage.audit()
    assert worker.stop() == 0
    record(outcome)


@pytest.mark.slow
@pytest.mark.fault("A worker's wall clock jumps by {step}")
@pytest.mark.parametrize("step", ["-2h", "+3d"], ids=["back", "forth"])
def test_clock_is_stepped(library: Path, stage: Stage, tmp_path: Path, step: str, record: Record) -> None:
    """A worker whose wall clock jumps by hours or days publishes the same windows: it cuts by what the log says."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    stage.start_sensors()
    worker = stage.start_worker(environment=faked(library, clock))
    stage.wait_for_more(windows=20)
    clock.write_text(step)
    stage.wait_for_more(windows=30)
    assert abs(worker_clock(worker) - time.time()) > 3600, "the clock was not stepped"
    record(stage.audit())
