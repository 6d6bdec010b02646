"""The broker that tests and demo start."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.kafka_broker import KafkaBroker, answers, cluster_id
from scripts.processes import ServiceError

ROOT = Path(__file__).resolve().parents[2]


def test_cluster_id_is_one_that_kafka_accepts() -> None:
    """A cluster id is 22 characters of URL-safe base64 and never begins with "-"."""
    identifiers = {cluster_id() for _ in range(1000)}
    assert len(identifiers) == 1000
    assert all(len(identifier) == 22 and identifier[0] != "-" for identifier in identifiers)


def test_a_missing_java_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Java the broker says what is missing and which package has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match=r"needs `java`.*apt-get install openjdk-17-jre-headless"):
        KafkaBroker().start()


def test_a_port_with_nothing_behind_it_does_not_answer() -> None:
    """`answers` is false where nothing listens."""
    assert not answers(1)


@pytest.mark.integration
def test_records_survive_a_killed_broker(own_kafka_broker: KafkaBroker) -> None:
    """What a producer was told is written is still there after SIGKILL and a restart on the same port."""
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    from kafka.admin import NewTopic

    servers = own_kafka_broker.bootstrap_servers
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic("kept", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=servers)
    producer.send("kept", b"acknowledged").get(20)
    producer.close()
    own_kafka_broker.kill()
    assert not answers(own_kafka_broker.port)
    own_kafka_broker.start()
    consumer = KafkaConsumer("kept", bootstrap_servers=servers, auto_offset_reset="earliest", group_id=None)
    polled = consumer.poll(20_000)
    consumer.close()
    assert [record.value for records in polled.values() for record in records] == [b"acknowledged"]


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_command_ends(number: signal.Signals, kafka_bootstrap: str, tmp_path: Path) -> None:
    """However `python -m scripts.kafka_broker run` ends, the broker it started ends too."""
    command = [sys.executable, "-m", "scripts.kafka_broker", "run"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # a killed one cannot remove its data
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment, text=True) as keeper:
        try:
            assert keeper.stdout is not None
            port = int(keeper.stdout.readline().rpartition(":")[2])
            assert answers(port)
            keeper.send_signal(number)
            keeper.wait(20)
        finally:
            keeper.kill()
    deadline = time.monotonic() + 10
    while answers(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(port)
