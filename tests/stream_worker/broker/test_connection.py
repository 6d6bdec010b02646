"""Kafka settings are whole or do not exist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kafka
import pytest
from kafka.net.manager import KafkaConnectionManager

from soundscene.errors import SettingsError
from soundscene_worker.broker.connection import ATTEMPT_SETTINGS, ConsumerTuning, KafkaConnection, ProducerTuning

SERVERS = ("kafka-1:9092", "[::1]:9093")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KafkaConnection(()), "at least one"),
        (lambda: KafkaConnection(("kafka",)), "host:port"),
        (lambda: KafkaConnection(("kafka:99999",)), "host:port"),
        (lambda: KafkaConnection(("kafka:1", "http://kafka:9092")), "http://kafka:9092"),
        (lambda: KafkaConnection(SERVERS, connect_timeout_seconds=0), "above 0, got 0 and 10"),
        (lambda: KafkaConnection(SERVERS, security_protocol="TLS"), "one of PLAINTEXT.*got 'TLS'"),
        (lambda: KafkaConnection(SERVERS, security_protocol="SASL_SSL", sasl_mechanism="PLAIN"), "needs sasl_username"),
        (lambda: KafkaConnection(SERVERS, sasl_mechanism="PLAIN"), "needs security_protocol"),
        (lambda: KafkaConnection(SERVERS, security_protocol="SSL", ssl_ca_file=Path("/no/ca")), "no such file: /no/ca"),
        (lambda: KafkaConnection(SERVERS, ssl_ca_file=Path(__file__)), "ssl_.* need security_protocol"),
        (lambda: ConsumerTuning(poll_records=0), "poll_records.*got 0"),
        (lambda: ConsumerTuning(heartbeat_seconds=20), "third.*got 20 and 10"),
        (lambda: ConsumerTuning(assignor="best"), "assignor.*got 'best'"),
        (lambda: ConsumerTuning(reconnect_seconds=0), "above 0, got 300 and 0"),
        (lambda: ProducerTuning(compression="rar"), "compression.*got 'rar'"),
        (lambda: ProducerTuning(linger_seconds=-1), "linger_seconds.*got -1"),
        (lambda: ProducerTuning(delivery_timeout_seconds=0), "delivery_timeout_seconds.*got 0 and 0.005"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    """The message names the setting, what was expected and what was given."""
    with pytest.raises(SettingsError, match=message):
        make()


def test_the_client_library_knows_every_setting() -> None:
    """What we pass exists in kafka-python under this name: a misspelt one would be refused at the start."""
    connection = set(KafkaConnection(SERVERS).client_settings())
    assert connection | set(ConsumerTuning().client_settings()) <= set(kafka.KafkaConsumer.DEFAULT_CONFIG)
    assert connection | set(ProducerTuning().client_settings()) <= set(kafka.KafkaProducer.DEFAULT_CONFIG)
    assert connection <= set(kafka.KafkaAdminClient.DEFAULT_CONFIG)
    assert set(ATTEMPT_SETTINGS) <= set(KafkaConnectionManager.DEFAULT_CONFIG)


def test_the_dangerous_defaults_are_replaced() -> None:
    """A backlog is not skipped, nothing is committed by itself, brokers are looked for each second, polls are small."""
    consuming, producing = ConsumerTuning().client_settings(), ProducerTuning().client_settings()
    assert (consuming["auto_offset_reset"], consuming["enable_auto_commit"]) == ("earliest", False)
    assert consuming["reconnect_backoff_max_ms"] == producing["reconnect_backoff_max_ms"] == 1000
    assert (producing["acks"], producing["enable_idempotence"]) == ("all", True)
    assert consuming["allow_auto_create_topics"] is producing["allow_auto_create_topics"] is False
    lone = ConsumerTuning().client_settings(member=False)
    assert "session_timeout_ms" not in lone
    assert lone["auto_offset_reset"] == "earliest"
    assert lone["max_poll_records"] == consuming["max_poll_records"] == 64


def test_passwords_are_not_in_the_text() -> None:
    """Neither a traceback nor a log shows them."""
    connection = KafkaConnection(
        SERVERS,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="worker",
        sasl_password="hunter2",
        ssl_key_password="hunter2",
    )
    assert "hunter2" not in repr(connection)
    assert connection.client_settings()["sasl_plain_password"] == "hunter2"
