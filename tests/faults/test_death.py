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


@pytest.mark.fault("A worker is killed at 20 random moments; another one starts at once")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_worker_is_killed_twenty_times(stage: Stage, record: Record) -> None:
    """A worker killed at twenty random moments, its heir started at once, leaves no trace in the set of predictions.

    Sensors that lose and spoil chunks make it harder: what they lost is told from what a worker might have lost, and
    no dead letter is lost either.
    """
    chance = random.Random(SEED)
    stage.play(faults=["drop:0.01", "corrupt:0.02", "duplicate:0.02", "reorder:0.02"])
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 2.0))
        stage.kill_worker()
        died_at = time.time()
        stage.start_worker()
        time.sleep(0.5)  # what it had sent may still arrive
        stage.predictions.read_on()
        stage.recover(died_at, WORKER_LIMIT_SECONDS)
    record(stage.audit(excused=["never_sent", "dead_lettered"]))


@pytest.mark.fault("A worker gets SIGTERM in the middle of windows; then another one starts")
def test_worker_is_stopped_mid_window(stage: Stage, record: Record) -> None:
    """SIGTERM between a window's first and last chunk ends a worker in good order; its heir finishes the window."""
    stage.play()
    stopped_at = stage.stop_worker()
    stage.start_worker()
    stage.recover(stopped_at, WORKER_LIMIT_SECONDS)
    record(stage.audit())


@pytest.mark.fault("One of two workers stands still (SIGSTOP) past its poll interval, then goes on (SIGCONT)")
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
