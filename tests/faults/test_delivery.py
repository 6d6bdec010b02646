"""Predictions that the broker does not take."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Record
from tests.faults.stage import BROKER_LIMIT_SECONDS, Stage

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REFUSALS = {
    "as too large": ("max.message.bytes", "100", "1048588"),
    "for lack of replicas": ("min.insync.replicas", "2", "1"),
}


@pytest.mark.fault("The broker refuses predictions {why}, for at least 8 s")
@pytest.mark.parametrize("why", REFUSALS, ids=["large", "replicas"])
def test_predictions_are_refused(stage: Stage, why: str, record: Record) -> None:
    """While the broker takes no prediction nothing is committed; once it does, all of them arrive.

    The first refusal is final, the second one is tried again until the delivery timeout.
    """
    setting, bad, good = REFUSALS[why]
    stage.play("--delivery-timeout-seconds", "4")
    stage.set_topic(stage.topics.predictions, **{setting: bad})
    stage.wait_until_logged("delivery_failed")
    before = stage.committed()
    time.sleep(8)
    assert stage.committed() == before
    stage.predictions.read_on()
    stage.set_topic(stage.topics.predictions, **{setting: good})
    stage.recover(time.time(), BROKER_LIMIT_SECONDS)
    record(stage.audit())
