"""Stages on a real broker, and the report of what was measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.kafka_broker import KafkaBroker
from scripts.processes import ServiceError, free_port
from scripts.pytest_services import unavailable
from tests.faults.proxy import Proxy
from tests.faults.report import write_table
from tests.faults.stage import Outcome, Stage

MEASURED: dict[str, Outcome | None] = {}
Record = Callable[[Outcome], None]


@contextmanager
def closing_stage(bootstrap: str, folder: Path) -> Iterator[Stage]:
    stage = Stage(bootstrap, folder)
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def stage(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage on the broker that all tests share."""
    with closing_stage(kafka_bootstrap, tmp_path) as stage:
        yield stage


@pytest.fixture
def frail_stage(own_kafka_broker: KafkaBroker, tmp_path: Path) -> Iterator[Stage]:
    """A stage on a broker that may be ended."""
    with closing_stage(own_kafka_broker.bootstrap_servers, tmp_path) as stage:
        yield stage


@pytest.fixture(scope="session")
def proxied_broker() -> Iterator[tuple[KafkaBroker, Proxy]]:
    """A broker that can be reached in two ways: directly, and through a proxy, which it names itself."""
    port, behind, controller = free_port(), free_port(), free_port()
    with Proxy(behind) as proxy:
        direct = f"PLAINTEXT://127.0.0.1:{port}"
        properties = {
            "listeners": f"{direct},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"{direct},PROXIED://127.0.0.1:{proxy.port}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
        }
        broker = KafkaBroker(port=port, properties=properties)
        try:
            broker.start()
        except ServiceError as error:
            unavailable(error)
        with broker:
            yield broker, proxy


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Take away the row of a fault until its test has passed."""
    MEASURED.update(dict.fromkeys(sentences(item)))


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Function that notes an outcome under the test's sentence."""
    (sentence,) = sentences(request.node)

    def note(outcome: Outcome) -> None:
        MEASURED[sentence] = outcome

    return note


def sentences(item: pytest.Item) -> list[str]:
    """Return what the table calls a test, if anything."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return [str(mark.args[0]).format(**parameters) for mark in item.iter_markers("fault")]


def pytest_sessionfinish() -> None:
    """Write the table where `make faults` asks for it."""
    page = os.environ.get("SOUNDSCENE_FAULTS_PAGE")
    if page and MEASURED:
        write_table(Path(page), MEASURED)
