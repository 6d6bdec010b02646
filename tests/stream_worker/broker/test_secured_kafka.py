"""On a broker that asks who is there the right ones get in, and everybody else is told why not."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scripts.kafka_security import USERS, SecuredKafka, User
from scripts.pipeline import Topics
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.errors import AccessDenied, BrokerError, BrokerUnreachable, DeliveryDenied
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.protocol import Producer
from soundscene_worker.broker.rights import Right, of_auditor, of_sensor
from tests.stream_worker.secured import WORKER, granted, make_topics

# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <(ssl|socket):ResourceWarning")]

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
    return make_topics(secured_kafka)


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
