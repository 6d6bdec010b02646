"""Workers that die, are stopped, or stand still."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.faults.conftest import Record
from tests.faults.stage import WORKER_LIMIT_SECONDS, Stage

pytestmark = pytest.mark.integration

KILLS = 20
SEED = 5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_worker_is_killed_twenty_times(stage: Stage, record: Record) -> None:
    """A worker killed at twenty random moments, its heir started at once, leaves no trace in the set of predictions."""
    chance = random.Random(SEED)
    stage.play()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 2.0))
        stage.kill_worker()
        died_at = time.time()
        stage.start_worker()
        time.sleep(0.5)  # what it had sent may still arrive
        stage.predictions.read_on()
        stage.recover(died_at, WORKER_LIMIT_SECONDS)
    record(stage.audit())


def test_worker_is_stopped_mid_window(stage: Stage, record: Record) -> None:
    """SIGTERM between a window's first and last chunk ends a worker in good order; its heir finishes the window."""
    stage.play()
    worker = stage.workers.pop()
    stopped_at = time.time()
    assert worker.stop() == 0, worker.log.read_text()[-3000:]
    stage.predictions.read_on()
    stage.start_worker()
    stage.recover(stopped_at, WORKER_LIMIT_SECONDS)
    record(stage.audit())


@pytest.mark.slow
def test_worker_stands_still_past_its_poll_interval(stage: Stage, record: Record) -> None:
    """What a stopped process held is taken over; when it goes on, it neither repeats wrongly nor commits for others."""
    limits = ("--poll-interval-seconds", "6", "--session-timeout-seconds", "6")
    stage.play(*limits, workers=2)
    sleeper = stage.workers[0].child
    sleeper.send_signal(signal.SIGSTOP)
    fell_asleep_at = time.time()
    time.sleep(0.5)
    stage.predictions.read_on()
    stage.recover(fell_asleep_at, WORKER_LIMIT_SECONDS)
    sleeper.send_signal(signal.SIGCONT)
    awake_at = time.time()
    stage.recover(awake_at, WORKER_LIMIT_SECONDS)
    assert sleeper.poll() is None, stage.complaints()
    record(stage.audit())
