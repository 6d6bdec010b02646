"""On a broker that asks who is there each program does with the least rights, and lets no secret out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.kafka_security import USERS, SecuredKafka, User
from scripts.pipeline import Topics, WorkerProcess
from soundscene.bundle import Bundle
from soundscene_worker.__main__ import EXIT_BROKER
from soundscene_worker.broker.rights import Right, of_auditor, of_replay, of_sensor, of_worker
from tests.stream_worker.secured import AUDITOR, SENSOR, WORKER, granted, make_topics

pytestmark = pytest.mark.integration

GROUP = "secured"
PATIENCE_SECONDS = 60.0


@pytest.fixture
def topics(secured_kafka: SecuredKafka) -> Topics:
    return make_topics(secured_kafka)


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
    whole = [sys.executable, "-m", module, *words, "--bootstrap-servers", secured.address("secure")]
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


@pytest.mark.parametrize("index", [0, 1])
def test_a_right_to_read_taken_away_while_it_works_is_named(
    secured_kafka: SecuredKafka, topics: Topics, tiny_bundle: Bundle, tmp_path: Path, index: int
) -> None:
    """A worker that may no longer read the topic or join the group ends with exit code 3 and says why."""
    rights = worker_rights(topics)
    lost = rights[index]
    with (
        granted(secured_kafka, WORKER.name, rights),
        worker(secured_kafka, topics, tiny_bundle, tmp_path) as process,
    ):
        process.wait_until_ready()
        secured_kafka.revoke(WORKER.name, [lost])
        assert process.child.wait(PATIENCE_SECONDS) == EXIT_BROKER
        assert f"the broker denies this user {lost}; grant it" in wait_for_event(process, "worker_failed")["error"]


def test_replay_does_with_its_rights_and_names_those_it_lacks(
    secured_kafka: SecuredKafka, topics: Topics, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """With all of them it scores the log again; without any one it ends with exit code 2 and says which."""
    where = ("--chunks-topic", topics.chunks, "--predictions-topic", topics.predictions)
    bundle = ("--dead-letters-topic", topics.dead_letters, "--bundle", str(tiny_bundle.directory))
    words = ("--since", "2020-01-01T00:00:00Z", *where, *bundle, *login(secured_kafka, WORKER, tmp_path))
    rights = of_replay(*topics.names)
    with granted(secured_kafka, SENSOR.name, of_sensor(topics.chunks)):
        assert hear(secured_kafka, topics, tmp_path).returncode == 0
    with granted(secured_kafka, WORKER.name, rights[:2]):
        outcome = command(secured_kafka, "soundscene_worker", "replay", *words, "--json")
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["published"] > 0
    for lacking in rights:
        with granted(secured_kafka, WORKER.name, [right for right in rights if right != lacking]):
            outcome = command(secured_kafka, "soundscene_worker", "replay", *words, "--dead-letters")
        assert outcome.returncode == 2
        assert f"the broker denies this user {lacking}; grant it" in outcome.stderr


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
