"""Predictions that the broker does not take."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Record
from tests.faults.stage import BROKER_LIMIT_SECONDS, Stage

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.fault("The broker refuses predictions as too large, for at least 8 s")
def test_predictions_are_refused(stage: Stage, record: Record) -> None:
    """While the broker takes no prediction of this size nothing is committed; once it does, all of them arrive."""
    stage.play()
    stage.set_topic(stage.topics.predictions, **{"max.message.bytes": "100"})
    stage.wait_until_logged("delivery_failed")
    before = stage.committed()
    time.sleep(8)
    assert stage.committed() == before
    stage.predictions.read_on()
    stage.set_topic(stage.topics.predictions, **{"max.message.bytes": "1048588"})
    stage.recover(time.time(), BROKER_LIMIT_SECONDS)
    record(stage.audit())
