"""What the small commands share: reaching the broker."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from soundscene_worker.broker.connection import SECURITY_PROTOCOLS, KafkaConnection
from soundscene_worker.broker.errors import AccessDenied
from soundscene_worker.broker.rights import Right, in_words
from soundscene_worker.secret_files import read_secret

if TYPE_CHECKING:
    from soundscene_worker.broker.protocol import Cluster

__all__ = [
    "Connect",
    "add_connection_options",
    "connect_kafka",
    "read_connection",
    "require_rights",
]

Connect = Callable[[KafkaConnection], "Cluster"]


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the broker is and who we are."""
    group = parser.add_argument_group("broker")
    group.add_argument(
        "--bootstrap-servers",
        metavar="HOST:PORT,...",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        help="some of the brokers (default: KAFKA_BOOTSTRAP_SERVERS, here %(default)s)",
    )
    group.add_argument(
        "--security-protocol", choices=SECURITY_PROTOCOLS, default="PLAINTEXT", help="default: %(default)s"
    )
    group.add_argument("--ssl-ca-file", type=Path, metavar="PEM", help="who is trusted")
    group.add_argument("--ssl-certificate-file", type=Path, metavar="PEM", help="who we are")
    group.add_argument("--ssl-key-file", type=Path, metavar="PEM", help="our key")
    group.add_argument("--sasl-mechanism", metavar="NAME", help="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    group.add_argument("--sasl-username", metavar="NAME", help="who we are")
    group.add_argument(
        "--sasl-password-file",
        type=Path,
        metavar="FILE",
        help="its first line is the password, so that no command line shows it",
    )


def read_connection(options: argparse.Namespace, client_id: str) -> KafkaConnection:
    """Return what the options say.

    Raises
    ------
    SettingsError
        They do not fit together, or a file cannot be read.
    """
    return KafkaConnection(
        bootstrap_servers=tuple(server.strip() for server in options.bootstrap_servers.split(",")),
        client_id=client_id,
        security_protocol=options.security_protocol,
        ssl_ca_file=options.ssl_ca_file,
        ssl_certificate_file=options.ssl_certificate_file,
        ssl_key_file=options.ssl_key_file,
        sasl_mechanism=options.sasl_mechanism,
        sasl_username=options.sasl_username,
        sasl_password=None if options.sasl_password_file is None else read_secret(options.sasl_password_file),
    )


def connect_kafka(connection: KafkaConnection) -> Cluster:
    """Return the real cluster; the client library loads only now."""
    from soundscene_worker.broker.kafka import KafkaCluster

    return KafkaCluster(connection)


def require_rights(cluster: Cluster, rights: Iterable[Right]) -> None:
    """Raise AccessDenied, which names them, when the broker denies this user some of the rights."""
    with contextlib.closing(cluster.admin()) as admin:
        missing = admin.missing_rights(rights)
    if missing:
        raise AccessDenied(in_words(missing))
