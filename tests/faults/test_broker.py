"""A broker that goes away and comes back."""

from __future__ import annotations

import time

import pytest

from scripts.kafka_broker import KafkaBroker
from tests.faults.conftest import Record
from tests.faults.stage import BROKER_LIMIT_SECONDS, Stage

pytestmark = [pytest.mark.integration, pytest.mark.slow]


ENDS = {"stopped": KafkaBroker.shut_down, "killed": KafkaBroker.kill}


@pytest.mark.fault("The broker is {ended}, away for 6 s, and started again")
@pytest.mark.parametrize("ended", ENDS)
def test_broker_is_ended_and_started(
    frail_stage: Stage, own_kafka_broker: KafkaBroker, ended: str, record: Record
) -> None:
    """A broker that was away for some seconds is used again soon, and nothing is lost."""
    frail_stage.play(workers=2)
    ENDS[ended](own_kafka_broker)
    time.sleep(6)
    own_kafka_broker.start()
    returned_at = time.time()
    frail_stage.recover(returned_at, BROKER_LIMIT_SECONDS)
    record(frail_stage.audit())
