"""pytest fixtures for the real parts: a Kafka broker, Prometheus and a browser.

Where a part is missing its tests are skipped with the reason; with SOUNDSCENE_REQUIRE_SERVICES=1 they fail.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

from scripts.kafka_broker import KafkaBroker, broker_jars
from scripts.kafka_security import SecuredKafka
from scripts.processes import ServiceError, require

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CreateTopics = Callable[..., list[str]]


def services_required() -> bool:
    """Tell whether a missing real part is a failure, as in continuous integration."""
    return os.environ.get("SOUNDSCENE_REQUIRE_SERVICES", "") not in ("", "0")


def unavailable(reason: object) -> NoReturn:
    """Skip the test that asked for a real part, or fail it where real parts are required."""
    if services_required():
        pytest.fail(f"{reason} (SOUNDSCENE_REQUIRE_SERVICES is set)", pytrace=False)
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """`host:port` of a real Kafka: KAFKA_BOOTSTRAP_SERVERS, else a broker started for this run."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    try:
        broker = KafkaBroker()
        broker.start()
    except ServiceError as error:
        unavailable(error)
    with broker:
        yield broker.bootstrap_servers


@pytest.fixture
def own_kafka_broker() -> Iterator[KafkaBroker]:
    """A running broker for one test alone, which may `kill()` and `start()` it."""
    try:
        broker = KafkaBroker()
        broker.start()
    except ServiceError as error:
        unavailable(error)
    with broker:
        yield broker


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A real Kafka with TLS, SASL and access control lists, for one module of tests."""
    try:
        broker_jars()
        secured = SecuredKafka(tmp_path_factory.mktemp("secured"))
        secured.broker.start()
    except ServiceError as error:
        unavailable(error)
    with secured:
        yield secured


@pytest.fixture
def create_topics(kafka_bootstrap: str) -> CreateTopics:
    """`create_topics("chunks", partitions=4)` makes topics of unique names on the real broker and returns the names."""
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    def create(*stems: str, partitions: int = 1) -> list[str]:
        names = [f"{stem}-{uuid.uuid4().hex[:8]}" for stem in stems]
        admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        try:
            admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        finally:
            admin.close()
        return names

    return create


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of Prometheus' promtool."""
    return _program("promtool", "prometheus")


@pytest.fixture(scope="session")
def prometheus_installed() -> None:
    """Skip the test, or fail it, where Prometheus is missing."""
    _program("prometheus", "prometheus")


@pytest.fixture(scope="session")
def kcat() -> str:
    """Path of kcat, a Kafka client that shares no code with ours."""
    return _program("kcat", "kcat")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    """A Chromium without a window, which fetches nothing by itself."""
    program, driver = _program("chromium", "chromium"), _program("chromedriver", "chromium-driver")
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = program
    words = ["headless=new", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync"]
    words += ["no-first-run", f"user-data-dir={tmp_path_factory.mktemp('chromium')}"]
    if os.geteuid() == 0:
        words.append("no-sandbox")  # without which it refuses to be root's
    for word in words:
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        chrome = Chrome(options=options, service=Service(driver))
    except WebDriverException as error:  # as in containers that let nobody but root do without its sandbox
        unavailable(f"`chromium` does not start here: {(error.msg or '').partition(';')[0]}")
    try:
        yield chrome
    finally:
        chrome.quit()


def _program(name: str, debian_package: str) -> str:
    try:
        return require(name, needed_for="This test", debian_package=debian_package)
    except ServiceError as error:
        unavailable(error)
