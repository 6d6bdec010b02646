"""Connections between a worker and its broker that are cut, slow, or dead without a word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.kafka_broker import KafkaBroker
from tests.faults.conftest import Record, closing_stage
from tests.faults.proxy import Proxy
from tests.faults.stage import BROKER_LIMIT_SECONDS, WORKER_LIMIT_SECONDS, Stage

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OUTAGE_SECONDS = 12.0


def cut(proxy: Proxy) -> None:
    proxy.cut()


def silence(proxy: Proxy) -> None:
    proxy.silence()


def delay(proxy: Proxy) -> None:
    proxy.delay_seconds = 1.0


def throttle(proxy: Proxy) -> None:
    proxy.bytes_per_second = 100_000.0


@pytest.fixture
def proxy(proxied_broker: tuple[KafkaBroker, Proxy]) -> Iterator[Proxy]:
    """The way of the workers to the broker, in good order before and after."""
    yield proxied_broker[1]
    proxied_broker[1].heal()


@pytest.fixture
def stage(proxied_broker: tuple[KafkaBroker, Proxy], tmp_path: Path) -> Iterator[Stage]:
    with closing_stage(proxied_broker[0].bootstrap_servers, tmp_path) as stage:
        yield stage


SPOILT = {
    cut: "Connections are closed and refused for 12 s",
    silence: "Connections swallow every byte for 12 s",
    delay: "Bytes arrive 1 s later, in both directions, for 12 s",
    throttle: "Each connection carries 100 kB/s at most, for 12 s",
}


@pytest.mark.parametrize(
    "spoil",
    [pytest.param(spoil, id=spoil.__name__, marks=pytest.mark.fault(words)) for spoil, words in SPOILT.items()],
)
def test_connections_are_spoilt_for_twelve_seconds(
    stage: Stage, proxy: Proxy, spoil: Callable[[Proxy], None], record: Record
) -> None:
    """Twelve seconds without a usable connection lose nothing, and work goes on soon after."""
    stage.play(bootstrap=f"127.0.0.1:{proxy.port}")
    spoil(proxy)
    time.sleep(OUTAGE_SECONDS)
    stage.predictions.read_on()
    proxy.heal()
    stage.recover(time.time(), BROKER_LIMIT_SECONDS)
    record(stage.audit())


@pytest.mark.fault("Connections die without a word while new ones work (half-open)")
def test_connections_are_left_half_open(stage: Stage, proxy: Proxy, record: Record) -> None:
    """Connections that died without a word are given up for new ones: nothing is lost, no later than after a death."""
    stage.play(bootstrap=f"127.0.0.1:{proxy.port}")
    proxy.strand()
    stranded_at = time.time()
    time.sleep(0.5)
    stage.predictions.read_on()
    stage.recover(stranded_at, WORKER_LIMIT_SECONDS)
    record(stage.audit())


@pytest.mark.fault("Connections swallow every byte until predictions are given up")
def test_deliveries_time_out(stage: Stage, proxy: Proxy, record: Record) -> None:
    """Predictions given up after the delivery timeout are made and sent again.

    The line is slow first, so that chunks pile up: when silence falls, the worker has predictions to send. It must not
    be busy with a commit just then.
    """
    options = ("--delivery-timeout-seconds", "4", "--poll-records", "4", "--commit-interval-seconds", "60")
    stage.play(*options, bootstrap=f"127.0.0.1:{proxy.port}")
    proxy.delay_seconds = 0.3
    stage.wait_for_more(windows=20)
    proxy.silence()
    stage.wait_until_logged("delivery_failed")
    stage.predictions.read_on()
    proxy.heal()
    stage.recover(time.time(), BROKER_LIMIT_SECONDS)
    record(stage.audit())
