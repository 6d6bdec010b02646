"""On a broker that asks who is there: the right ones get in, everybody else is told why not, and no secret gets out."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.kafka_security import USERS, SecuredKafka, User
from scripts.pipeline import Topics, WorkerProcess
from soundscene.bundle import Bundle
from soundscene_worker.__main__ import EXIT_BROKER
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.errors import AccessDenied, BrokerError, BrokerUnreachable, DeliveryDenied
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.protocol import Producer
from soundscene_worker.broker.rights import Right, of_auditor, of_sensor, of_worker

# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <(ssl|socket):ResourceWarning")]

SENSOR, WORKER, AUDITOR = USERS
GROUP = "secured"
PATIENCE_SECONDS = 60.0
TLS_ONLY: dict[str, Any] = {
    "security_protocol": "SSL",
    "sasl_mechanism": None,
    "sasl_username": None,
    "sasl_password": None,
}
CLEAR: dict[str, Any] = {**TLS_ONLY, "security_protocol": "PLAINTEXT", "ssl_ca_file": None}

Options = dict[str, Any]


@pytest.fixture(autouse=True)
def _collect_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    caplog.get_records("call").clear()  # holds exceptions, whose frames hold the sockets
    gc.collect()


@pytest.fixture
def topics(secured_kafka: SecuredKafka) -> Topics:
    """Three topics on the broker, on which nobody has a right."""
    names = Topics.unique()
    with KafkaCluster(KafkaConnection((secured_kafka.address("admin"),))) as cluster:
        cluster.admin().ensure_topics(dict.fromkeys(names.names, 1))
    return names


@contextmanager
def granted(secured: SecuredKafka, user: str, rights: list[Right]) -> Iterator[None]:
    secured.grant(user, rights)
    try:
        yield
    finally:
        secured.revoke(user, rights)


def cluster(secured: SecuredKafka, listener: str = "secure", user: User = WORKER, **changes: Any) -> KafkaCluster:
    settings: Options = {
        "connect_timeout_seconds": 1.5,
        "request_timeout_seconds": 5,
        "security_protocol": "SASL_SSL",
        "ssl_ca_file": secured.authority.certificate,
        "sasl_mechanism": user.mechanism,
        "sasl_username": user.name,
        "sasl_password": user.password,
    }
    return KafkaCluster(KafkaConnection((secured.address(listener),), **settings | changes))


def certified(secured: SecuredKafka) -> Options:
    return {**TLS_ONLY, "ssl_certificate_file": secured.client.certificate, "ssl_key_file": secured.client.key}


@pytest.mark.parametrize("way", [*USERS, None], ids=["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "certificate"])
def test_every_way_in_leads_in(secured_kafka: SecuredKafka, topics: Topics, way: User | None) -> None:
    """With TLS, and a password by each mechanism or a certificate, a record goes there and comes back."""
    name = way.name if way else "CN=client"
    rights = [*of_sensor(topics.chunks), *of_auditor(*topics.names)]
    door = cluster(secured_kafka, user=way) if way else cluster(secured_kafka, "mutual", **certified(secured_kafka))
    with granted(secured_kafka, name, rights), door:
        assert door.admin().missing_rights(rights) == []
        send(door.producer(), topics.chunks)
        assert [record.value for record in door.read_to_end(topics.chunks)] == [b"value"]


REFUSALS: dict[str, tuple[Callable[[SecuredKafka], KafkaCluster], type[BrokerError], str]] = {
    **{
        f"wrong password, {user.mechanism}": (
            lambda secured, user=user: cluster(secured, user=user, sasl_password="wrong-secret"),  # type: ignore[misc]
            AccessDenied,
            "wrong user name or password: check sasl_username",
        )
        for user in USERS
    },
    "unknown user": (lambda s: cluster(s, sasl_username="nobody"), AccessDenied, "wrong user name or password"),
    "unknown authority": (
        lambda s: cluster(s, ssl_ca_file=s.stranger.certificate),
        AccessDenied,
        "an authority we do not know signed the broker's certificate",
    ),
    "another host": (lambda s: cluster(s, "misnamed"), AccessDenied, "the broker's certificate names another host"),
    "plain text to TLS": (lambda s: cluster(s, **CLEAR), AccessDenied, "one side speaks TLS and the other does not"),
    "TLS to plain text": (
        lambda s: cluster(s, "admin"),
        BrokerUnreachable,
        "hung up: security_protocol must be the listener's",
    ),
    "no certificate": (
        lambda s: cluster(s, "mutual", **TLS_ONLY),
        AccessDenied,
        "the broker wants a certificate of ours that it trusts",
    ),
    "no SASL there": (
        lambda s: cluster(s, "mutual", **certified(s) | {"security_protocol": "SASL_SSL"} | dict(_login(WORKER))),
        AccessDenied,
        "the listener takes no SASL",
    ),
    "no SASL given": (
        lambda s: cluster(s, **TLS_ONLY),
        BrokerUnreachable,
        "hung up: security_protocol must be the listener's",
    ),
}


def _login(user: User) -> Options:
    return {"sasl_mechanism": user.mechanism, "sasl_username": user.name, "sasl_password": user.password}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_told_by_its_cause(secured_kafka: SecuredKafka, case: str) -> None:
    """The error says which of the things that can be wrong is wrong, and holds no password."""
    make, kind, message = REFUSALS[case]
    with pytest.raises(kind, match=message) as caught:
        make(secured_kafka).admin()
    assert "-secret" not in repr(caught.value)


def test_the_name_of_the_host_need_not_be_checked(secured_kafka: SecuredKafka) -> None:
    """With ssl_check_hostname off a certificate for another host will do."""
    with cluster(secured_kafka, "misnamed", ssl_check_hostname=False) as door:
        door.admin()


def test_each_client_hears_its_own_cause(secured_kafka: SecuredKafka) -> None:
    """Clients of one process that are refused at the same time do not mix up why."""
    kinds = ["unknown authority", "wrong password, PLAIN", "plain text to TLS", "another host"]

    def told(case: str) -> str:
        with pytest.raises(BrokerError) as caught:
            REFUSALS[case][0](secured_kafka).producer()
        return str(caught.value)

    with ThreadPoolExecutor() as pool:
        texts = dict(zip(kinds, pool.map(told, kinds), strict=True))
    for case, text in texts.items():
        assert [other for other in kinds if REFUSALS[other][2] in text] == [case]


def send(producer: Producer, topic: str) -> None:
    producer.send(topic, b"k", b"value")
    producer.flush(10)


def test_a_denied_record_is_told_with_the_right_it_lacks(secured_kafka: SecuredKafka, topics: Topics) -> None:
    """Whether the topic is hidden from us or only closed; the same producer goes on when the right is granted."""
    right = Right("WRITE", "TOPIC", topics.predictions)
    with cluster(secured_kafka) as door:
        for seen in ([], [Right("READ", "TOPIC", topics.predictions)]):
            producer = door.producer()
            with granted(secured_kafka, WORKER.name, seen), pytest.raises(DeliveryDenied, match=str(right)):
                send(producer, topics.predictions)
        with granted(secured_kafka, WORKER.name, [right]):
            send(producer, topics.predictions)


def login(secured: SecuredKafka, user: User, folder: Path, password: str | None = None) -> list[str]:
    """Return a program's options for a user, with the password in a file."""
    file = folder / f"{user.name}.password"
    file.write_text(password or user.password)
    file.chmod(0o600)
    return [
        *("--security-protocol", "SASL_SSL", "--ssl-ca-file", str(secured.authority.certificate)),
        *("--sasl-mechanism", user.mechanism, "--sasl-username", user.name, "--sasl-password-file", str(file)),
    ]


def command(secured: SecuredKafka, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", module, "--bootstrap-servers", secured.address("secure"), *words]
    return subprocess.run(whole, capture_output=True, text=True, timeout=120, check=False)


def hear(secured: SecuredKafka, topics: Topics, folder: Path) -> subprocess.CompletedProcess[str]:
    sound = ("--topic", topics.chunks, "--devices", "2", "--seconds", "12", "--speed", "0", "--scene", "park")
    return command(secured, "soundscene_worker.sensor", *sound, *login(secured, SENSOR, folder))


def audit(
    secured: SecuredKafka, topics: Topics, bundle: Bundle, folder: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    where = ("--chunks-topic", topics.chunks, "--predictions-topic", topics.predictions)
    words = (*where, "--dead-letters-topic", topics.dead_letters, "--bundle", str(bundle.directory), "--json", *more)
    return command(secured, "soundscene_worker.audit", *words, *login(secured, AUDITOR, folder))


@contextmanager
def worker(
    secured: SecuredKafka, topics: Topics, bundle: Bundle, folder: Path, *more: str, password: str | None = None
) -> Iterator[WorkerProcess]:
    log = folder / "worker.log"
    options = [*login(secured, WORKER, folder, password), "--bundle", str(bundle.directory), *more]
    process = WorkerProcess(secured.address("secure"), GROUP, topics, log, options=[*options, "--log-format", "json"])
    try:
        yield process
    finally:
        process.stop()


def worker_rights(topics: Topics) -> list[Right]:
    return of_worker(topics.chunks, topics.predictions, topics.dead_letters, GROUP)


def wait_for_event(process: WorkerProcess, event: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        events = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
        found = [fields for fields in events if fields["event"] == event]
        if found:
            return dict(found[-1])
        assert time.monotonic() < deadline, process.log.read_text()
        time.sleep(0.1)


def test_the_least_rights_are_enough_and_no_secret_gets_out(
    secured_kafka: SecuredKafka, topics: Topics, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Sensor, worker and auditor do their whole work with the rights the page lists; no output holds a password."""
    with (
        granted(secured_kafka, SENSOR.name, of_sensor(topics.chunks)),
        granted(secured_kafka, WORKER.name, worker_rights(topics)),
        granted(secured_kafka, AUDITOR.name, of_auditor(*topics.names)),
    ):
        heard = hear(secured_kafka, topics, tmp_path)
        assert heard.returncode == 0, heard.stderr
        with worker(secured_kafka, topics, tiny_bundle, tmp_path, "--log-level", "debug") as process:
            process.wait_until_ready()
            found = audit(secured_kafka, topics, tiny_bundle, tmp_path, "--wait-seconds", "60")
            pages = [urllib.request.urlopen(f"http://{process.address}{page}").read() for page in ("/", "/metrics")]
            assert process.stop() == 0
        assert found.returncode == 0, found.stderr + process.log.read_text()
        assert json.loads(found.stdout)["total"]["expected"] > 0
    everything = heard.stdout + heard.stderr + found.stdout + found.stderr + process.log.read_text() + repr(pages)
    assert [user.name for user in USERS if user.password in everything] == []


@pytest.mark.parametrize("index", range(4))
def test_each_right_that_a_worker_lacks_is_named(
    secured_kafka: SecuredKafka, topics: Topics, tiny_bundle: Bundle, tmp_path: Path, index: int
) -> None:
    """Without any one of them the worker says which, waits, and ends with exit code 3: none of the rights is idle."""
    rights = worker_rights(topics)
    lacking = rights.pop(index)
    patience = ("--access-patience-seconds", "0.1")
    with (
        granted(secured_kafka, WORKER.name, rights),
        worker(secured_kafka, topics, tiny_bundle, tmp_path, *patience) as process,
    ):
        assert process.child.wait(PATIENCE_SECONDS) == EXIT_BROKER
        assert wait_for_event(process, "access_missing")["missing"] == str(lacking)
        assert f"the broker denies this user {lacking}; grant it" in wait_for_event(process, "worker_failed")["error"]


def test_a_right_taken_away_while_it_works_loses_nothing(
    secured_kafka: SecuredKafka, topics: Topics, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """A worker that may no longer publish says so and commits nothing; granted again, it publishes every window."""
    publishing = Right("WRITE", "TOPIC", topics.predictions)
    rights = [right for right in worker_rights(topics) if right != publishing]
    with (
        granted(secured_kafka, SENSOR.name, of_sensor(topics.chunks)),
        granted(secured_kafka, WORKER.name, rights),
        granted(secured_kafka, AUDITOR.name, of_auditor(*topics.names)),
    ):
        secured_kafka.grant(WORKER.name, [publishing])
        with worker(secured_kafka, topics, tiny_bundle, tmp_path) as process:
            process.wait_until_ready()
            secured_kafka.revoke(WORKER.name, [publishing])
            assert hear(secured_kafka, topics, tmp_path).returncode == 0
            assert str(publishing) in wait_for_event(process, "delivery_failed")["error"]
            with granted(secured_kafka, WORKER.name, [publishing]):
                found = audit(secured_kafka, topics, tiny_bundle, tmp_path, "--wait-seconds", "60")
                assert process.stop() == 0
    assert found.returncode == 0, found.stdout + found.stderr + process.log.read_text()


def test_a_wrong_password_ends_each_program_with_its_cause_alone(
    secured_kafka: SecuredKafka, topics: Topics, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Exit code and message tell the cause; neither output nor help holds the password, right or wrong."""
    wrong = "wrong-secret"
    words = login(secured_kafka, WORKER, tmp_path, wrong)
    outcomes = [
        command(secured_kafka, "soundscene_worker.sensor", "--seconds", "1", *words),
        command(secured_kafka, "soundscene_worker", "--connect-timeout-seconds", "1.5", "--http-port", "0", *words),
        command(secured_kafka, "soundscene_worker", *words, "--help"),
    ]
    assert [outcome.returncode for outcome in outcomes] == [2, EXIT_BROKER, 0]
    for outcome in outcomes[:2]:
        assert "wrong user name or password" in outcome.stderr
    assert wrong not in "".join(outcome.stdout + outcome.stderr for outcome in outcomes)


def test_a_sensor_names_the_right_it_lacks(secured_kafka: SecuredKafka, topics: Topics, tmp_path: Path) -> None:
    """It ends with exit code 2 and says which, instead of sending in vain."""
    outcome = hear(secured_kafka, topics, tmp_path)
    assert outcome.returncode == 2
    assert f"the broker denies this user {of_sensor(topics.chunks)[0]}; grant it" in outcome.stderr


def test_an_auditor_names_the_rights_it_lacks(
    secured_kafka: SecuredKafka, topics: Topics, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Without any one of them it ends with exit code 2 and says which."""
    rights = of_auditor(*topics.names)
    for lacking in rights:
        with granted(secured_kafka, AUDITOR.name, [right for right in rights if right != lacking]):
            outcome = audit(secured_kafka, topics, tiny_bundle, tmp_path)
        assert outcome.returncode == 2
        assert f"the broker denies this user {lacking}; grant it" in outcome.stderr


def test_the_environment_is_a_way_for_passwords_too(secured_kafka: SecuredKafka) -> None:
    """A password in a variable is taken, and is not shown when the broker refuses it."""
    prefix = "SOUNDSCENE_WORKER_"
    given = {
        "BOOTSTRAP_SERVERS": secured_kafka.address("secure"),
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SSL_CA_FILE": str(secured_kafka.authority.certificate),
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": SENSOR.name,
        "SASL_PASSWORD": "wrong-secret",
        "CONNECT_TIMEOUT_SECONDS": "1.5",
        "HTTP_PORT": "0",
    }
    environment = os.environ | {f"{prefix}{name}": value for name, value in given.items()}
    words = [sys.executable, "-m", "soundscene_worker"]
    outcome = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert outcome.returncode == EXIT_BROKER
    assert "wrong user name or password" in outcome.stderr
    assert "wrong-secret" not in outcome.stdout + outcome.stderr
