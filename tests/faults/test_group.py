"""Workers that come and go while sensors send."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Record
from tests.faults.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MEMBERS = ("a", "b", "c")


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
@pytest.mark.parametrize("is_static", [False, True], ids=["dynamic", "static"])
def test_three_workers_join_and_leave(stage: Stage, assignor: str, is_static: bool, record: Record) -> None:
    """Whoever joins or leaves, and however partitions move, every window is published."""

    def join(name: str) -> None:
        identity = ("--group-instance-id", name) if is_static else ()
        stage.start_worker("--assignor", assignor, "--session-timeout-seconds", "6", *identity)
        stage.workers[-1].wait_until_ready()
        stage.wait_for_more(windows=14)

    stage.start_sensors()
    for name in MEMBERS:
        join(name)
    for name in MEMBERS[:2]:
        leaver = stage.workers.pop(0)
        assert leaver.stop() == 0, leaver.log.read_text()[-3000:]
        stage.wait_for_more(windows=14)
        join(name)
    record(stage.audit())


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
        leaver = stage.workers.pop()
        assert leaver.stop() == 0, leaver.log.read_text()[-3000:]
    else:
        pytest.fail(f"no commit met a rebalance\n{stage.complaints()}")
    record(stage.audit())
