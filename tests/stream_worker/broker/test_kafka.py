"""What only a real cluster can show: outages, refused passwords, and a group that goes on without a member."""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kafka
import kafka.errors
import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.metrics import MetricName

from scripts.kafka_broker import KafkaBroker
from scripts.processes import ServiceError, free_port
from scripts.pytest_services import unavailable
from soundscene.errors import MissingExtraError
from soundscene_worker.broker import reading
from soundscene_worker.broker.connection import ConsumerTuning, KafkaConnection, ProducerTuning
from soundscene_worker.broker.errors import BrokerError, BrokerUnreachable, CommitRefused, DeliveryFailed
from soundscene_worker.broker.kafka import KafkaCluster, KafkaConsumer
from soundscene_worker.broker.protocol import Commit, Consumer, Producer, Record, TopicPartition
from soundscene_worker.broker.translation import meaning, translate

# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

KNOWN_ERRORS = Path(__file__).with_name("kafka_errors.txt")
PATIENCE_SECONDS = 40.0

CreateTopics = Callable[..., list[str]]


def send_and_flush(producer: Producer, value: bytes) -> None:
    producer.send("chunks", b"k", value)
    producer.flush(5)


def send_until_stored(producer: Producer, value: bytes) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return send_and_flush(producer, value)
        except (DeliveryFailed, BrokerUnreachable):
            assert time.monotonic() < deadline


@pytest.fixture(autouse=True)
def _collect_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    caplog.get_records("call").clear()  # holds exceptions, whose frames hold the sockets
    gc.collect()


def connection(servers: str, **settings: object) -> KafkaConnection:
    return KafkaConnection((servers,), connect_timeout_seconds=3, request_timeout_seconds=3, **settings)  # type: ignore[arg-type]


def poll_until(consumer: Consumer, condition: Callable[[list[Record]], bool]) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition(records):
        assert time.monotonic() < deadline, f"waited in vain, with {len(records)} records"
        records += consumer.poll(0.1).records
    return records


def test_every_error_of_the_client_library_has_a_meaning() -> None:
    """The list says what each becomes; when the library gains a class, somebody has to decide and add it."""
    classes = {
        name: thing
        for name, thing in vars(kafka.errors).items()
        if isinstance(thing, type) and issubclass(thing, kafka.errors.KafkaError) and thing.__name__ == name
    }
    table = "".join(f"{name} {meaning(thing).__name__}\n" for name, thing in sorted(classes.items()))
    assert table == KNOWN_ERRORS.read_text()


def test_an_outage_met_half_way_through_a_poll_is_no_record() -> None:
    """The library lets some connection errors through; to a worker they are silence, and nothing else is."""

    class Client:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def poll(self, *_: object) -> None:
            raise self.error

    assert reading.poll(Client(kafka.errors.KafkaConnectionError("reset by peer")), 0.0, None) == {}
    with pytest.raises(BrokerError, match="polling"):
        reading.poll(Client(kafka.errors.TopicAuthorizationFailedError()), 0.0, None)


@pytest.mark.parametrize("answer", [None, kafka.errors.TopicAuthorizationFailedError()])
def test_a_lag_that_is_not_known_is_left_out(answer: Exception | None) -> None:
    """The library may know the end of a log before our place in it: what only a metric asks for ends nobody."""

    class Client:
        def metrics(self, raw: bool) -> dict[object, None]:
            return {MetricName("connection-count", "consumer-metrics"): None}

        def subscribe(self, topics: list[str], listener: kafka.ConsumerRebalanceListener) -> None:
            listener.on_partitions_assigned([kafka.TopicPartition("chunks", 0)])

        def poll(self, *_: object) -> dict[object, list[object]]:
            return {}

        def pause(self, *_: object) -> None:
            """Nothing to hold back."""

        def highwater(self, _: object) -> int:
            return 5

        def position(self, _: object, timeout_ms: int) -> None:
            if answer is not None:
                raise answer

    consumer = KafkaConsumer(Client(), ["chunks"], 1.0)
    assert consumer.poll(0.0).assigned == {TopicPartition("chunks", 0)}
    assert consumer.lag() == {}


def test_an_error_that_holds_an_error_is_translated() -> None:
    """The library wraps the group's answer to a commit in another error: it is told, not tripped over."""
    wrapped = kafka.errors.CommitFailedError(kafka.errors.UnknownMemberIdError())
    assert isinstance(translate(wrapped, "committing"), CommitRefused)


def test_without_the_checksum_package_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """kafka-python falls back to a checksum that costs more than all inference; we refuse instead."""
    monkeypatch.delitem(sys.modules, "soundscene_worker.broker.kafka")
    real_import = builtins.__import__

    def without_crc32c(name: str, *arguments: object) -> object:
        if name == "crc32c":
            raise ModuleNotFoundError("No module named 'crc32c'", name=name)
        return real_import(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_crc32c)
    with pytest.raises(MissingExtraError, match=r"crc32c is not installed: pip install 'soundscene\[worker\]'"):
        importlib.import_module("soundscene_worker.broker.kafka")


@pytest.mark.parametrize("make", ["consumer", "producer", "admin", "read"])
def test_an_absent_broker_is_reported_within_the_time_limit(make: str) -> None:
    """Nobody listens at port 1: the error names the address, the limit, the cause and the way out.

    Within 0.5 s, a busy machine may not even learn that the connection was refused.
    """
    cluster = KafkaCluster(KafkaConnection(("127.0.0.1:1",), connect_timeout_seconds=2))
    calls: dict[str, Callable[[], object]] = {
        "consumer": lambda: cluster.consumer("group", ["topic"]),
        "producer": cluster.producer,
        "admin": cluster.admin,
        "read": lambda: list(cluster.read_to_end("topic")),
    }
    began = time.monotonic()
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 within 2 s.*ECONNREFUSED.*check that a broker"):
        calls[make]()
    assert time.monotonic() - began < 10


@pytest.mark.integration
class TestOutage:
    def test_a_restart_of_the_broker_is_survived(self, own_kafka_broker: KafkaBroker) -> None:
        """During the outage polls return nothing and commits say why; afterwards nothing is lost or repeated."""
        broker = own_kafka_broker
        tuning = ProducerTuning(delivery_timeout_seconds=2, block_seconds=1)
        with KafkaCluster(connection(broker.bootstrap_servers), producing=tuning) as cluster:
            cluster.admin().ensure_topics({"chunks": 1})
            partition = TopicPartition("chunks", 0)
            producer, consumer = cluster.producer(), cluster.consumer("group", ["chunks"])
            producer.send("chunks", b"k", b"before")
            producer.flush(10)
            poll_until(consumer, lambda records: len(records) == 1)
            consumer.commit({partition: Commit(1, "note")})
            assert consumer.reachable()

            broker.kill()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while consumer.reachable():
                assert time.monotonic() < deadline
                assert not consumer.poll(0.1).records
            with pytest.raises(BrokerUnreachable, match="committing chunks"):
                consumer.commit({partition: Commit(1)})
            with pytest.raises((DeliveryFailed, BrokerUnreachable)):
                send_and_flush(producer, b"lost")

            broker.start()
            poll_until(consumer, lambda _: consumer.reachable() and consumer.joined())
            assert consumer.committed(partition) == Commit(1, "note")
            send_until_stored(producer, b"after")
            records = poll_until(consumer, lambda records: bool(records) and records[-1].value == b"after")
            assert records[0].offset == 1
            assert next(cluster.read_to_end("chunks")).value == b"before"


@pytest.mark.integration
def test_a_refused_password_is_told_from_an_outage() -> None:
    """A broker that closes the connection is there: the error points to the credentials, and the right ones work."""
    port, controller = free_port(), free_port()
    jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    properties = {
        "listeners": f"SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"SASL_PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "inter.broker.listener.name": "SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{jaas} username="w" password="right" user_w="right";',
    }
    try:
        broker = KafkaBroker(port=port, properties=properties)
        broker.start()
    except ServiceError as error:
        unavailable(error)
    secure = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "w"}
    with broker:
        for wrong in (secure | {"sasl_password": "wrong"}, {}):
            with pytest.raises(BrokerError, match=r"hung up: security_protocol|wrong user name"):
                KafkaCluster(connection(broker.bootstrap_servers, **wrong)).producer()
        with KafkaCluster(connection(broker.bootstrap_servers, **secure, sasl_password="right")) as cluster:
            cluster.admin().ensure_topics({"chunks": 1})
            send_and_flush(cluster.producer(), b"value")
            assert [record.value for record in cluster.read_to_end("chunks")] == [b"value"]


@pytest.mark.integration
def test_a_member_that_was_silent_for_too_long_learns_that_it_has_lost_its_partitions(
    kafka_bootstrap: str, create_topics: CreateTopics
) -> None:
    """A member that did not poll in time is put out; its next polls say so, and it begins again at its commit."""
    (topic,) = create_topics("silent")
    partition = TopicPartition(topic, 0)
    tuning = ConsumerTuning(poll_interval_seconds=1, session_timeout_seconds=6, heartbeat_seconds=0.2)
    with KafkaCluster(connection(kafka_bootstrap), tuning) as cluster:
        producer, consumer = cluster.producer(), cluster.consumer(f"group-{topic}", [topic])
        for index in range(3):
            producer.send(topic, b"k", b"%d" % index)
        producer.flush(10)
        poll_until(consumer, lambda records: len(records) == 3)
        consumer.commit({partition: Commit(2)})
        time.sleep(2.5)  # longer than the poll interval
        taken, again = set[TopicPartition](), list[Record]()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not again:
            assert time.monotonic() < deadline
            polled = consumer.poll(0.2)
            taken |= polled.lost | polled.revoked
            again += polled.records
        assert taken == {partition}
        assert [record.offset for record in again] == [2]


@pytest.mark.integration
def test_a_delivery_that_is_given_up_leaves_nothing_behind(own_kafka_broker: KafkaBroker) -> None:
    """The thread that would send it behind our back ends, and the next record gets through."""
    with KafkaCluster(connection(own_kafka_broker.bootstrap_servers)) as cluster:
        cluster.admin().ensure_topics({"chunks": 1})
        producer = cluster.producer()
        send_and_flush(producer, b"before")
        own_kafka_broker.kill()
        producer.send("chunks", b"k", b"given up")
        with pytest.raises(DeliveryFailed):
            producer.flush(0.5)
        assert not [thread.name for thread in threading.enumerate() if "network-thread" in thread.name]
        own_kafka_broker.start()
        send_until_stored(producer, b"after")
        assert [record.value for record in cluster.read_to_end("chunks")] == [b"before", b"after"]


@pytest.mark.integration
def test_one_refused_record_does_not_spoil_the_next(kafka_bootstrap: str, create_topics: CreateTopics) -> None:
    """The library's producer is of no use after a refusal; ours is."""
    [topic] = create_topics("small")
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "200"})
    with contextlib.closing(kafka.KafkaAdminClient(bootstrap_servers=kafka_bootstrap)) as admin:
        admin.alter_configs([resource])
    with KafkaCluster(connection(kafka_bootstrap)) as cluster:
        producer = cluster.producer()
        producer.send(topic, b"k", bytes(1000))
        with pytest.raises(DeliveryFailed):
            producer.flush(5)
        producer.send(topic, b"k", b"fits")
        producer.flush(5)
        assert [record.value for record in cluster.read_to_end(topic)] == [b"fits"]


def test_a_compressed_topic_is_read(kafka_bootstrap: str, create_topics: CreateTopics) -> None:
    """Every codec that can be chosen for sending can be read."""
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        (topic,) = create_topics(codec)
        with KafkaCluster(connection(kafka_bootstrap), producing=ProducerTuning(compression=codec)) as cluster:
            producer = cluster.producer()
            producer.send(topic, b"k", b"scene " * 1000)
            producer.flush(10)
            assert [record.value for record in cluster.read_to_end(topic)] == [b"scene " * 1000]
