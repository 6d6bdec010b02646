"""Workers that come and go while sensors send."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Record
from tests.faults.stage import WORKER_LIMIT_SECONDS, Stage

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MEMBERS = ("a", "b", "c")


@pytest.mark.fault("Three workers join, two of them leave and return; assignor `{assignor}`, {membership} membership")
@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
@pytest.mark.parametrize("membership", ["dynamic", "static"])
def test_three_workers_join_and_leave(stage: Stage, assignor: str, membership: str, record: Record) -> None:
    """Whoever joins or leaves, and however partitions move, every window is published."""

    def join(name: str) -> None:
        identity = ("--group-instance-id", name) if membership == "static" else ()
        stage.start_worker("--assignor", assignor, "--session-timeout-seconds", "6", *identity)
        stage.workers[-1].wait_until_ready()
        stage.wait_for_more(windows=14)

    stage.start_sensors()
    for name in MEMBERS:
        join(name)
    for name in MEMBERS[:2]:
        stage.recover(stage.stop_worker(), WORKER_LIMIT_SECONDS)
        join(name)
    record(stage.audit())


@pytest.mark.fault("The group refuses a commit because another worker joins")
def test_commit_is_refused_during_a_rebalance(stage: Stage, record: Record) -> None:
    """A worker whose commit the group refuses goes on; what it had done is done once more by whoever has it now.

    Under `cooperative-sticky` members work on while partitions move, so that a commit soon meets a rebalance.
    """
    always = ("--commit-interval-seconds", "0", "--poll-records", "4")
    stage.play(*always)
    for _ in range(8):
        stage.start_worker(*always)
        stage.workers[-1].wait_until_ready()
        stage.wait_for_more(windows=3)
        if any("poll on" in str(line["error"]) for line in stage.logged("commit_refused")):
            break
        stage.stop_worker()
    else:
        pytest.fail(f"no commit met a rebalance\n{stage.complaints()}")
    record(stage.audit())
