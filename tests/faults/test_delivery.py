"""Predictions that the broker does not take."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Record
from tests.faults.stage import BROKER_LIMIT_SECONDS, Stage

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize(
    ("setting", "harm", "cure"),
    [("max.message.bytes", "100", "1048588"), ("min.insync.replicas", "2", "1")],
    ids=["too large", "too few replicas"],
)
def test_predictions_cannot_be_delivered(stage: Stage, setting: str, harm: str, cure: str, record: Record) -> None:
    """While no prediction is taken nothing is committed; once they are, all of them arrive."""
    stage.play("--delivery-timeout-seconds", "4")
    stage.set_topic(stage.topics.predictions, **{setting: harm})
    stage.wait_until_logged("delivery_failed")
    before = stage.committed()
    time.sleep(8)
    assert stage.committed() == before
    stage.predictions.read_on()
    stage.set_topic(stage.topics.predictions, **{setting: cure})
    stage.recover(time.time(), BROKER_LIMIT_SECONDS)
    assert stage.workers[0].child.poll() is None, stage.complaints()
    record(stage.audit())
