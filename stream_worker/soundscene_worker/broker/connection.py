"""How to reach a Kafka cluster and how to behave towards it; plain settings, no client library."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from soundscene.errors import SettingsError

__all__ = [
    "ASSIGNORS",
    "ATTEMPT_SETTINGS",
    "COMPRESSIONS",
    "LARGEST_RECORD_BYTES",
    "SECURITY_PROTOCOLS",
    "ConsumerTuning",
    "KafkaConnection",
    "ProducerTuning",
]

SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
ASSIGNORS: Final = ("cooperative-sticky", "range")
COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")

ATTEMPT_SETTINGS: Final = {"socket_connection_setup_timeout_ms": 4000, "socket_connection_setup_timeout_max_ms": 4000}
"""How long one attempt to connect may take, under the names of the client library's network layer.

Its own 10 s, doubled at each failure, would wait for a connection that died at birth long after the broker is back.
"""

LARGEST_RECORD_BYTES: Final = 1024**2
"""A producer sends no larger record; a topic with default settings would take 12 bytes more."""

_BATCH_BYTES: Final = 65_536

_SERVER: Final = re.compile(r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})$")


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Where the brokers are and how they know us.

    Parameters
    ----------
    bootstrap_servers : tuple of str
        `host:port` of some brokers; one that answers is enough.
    client_id : str
        Name in the brokers' logs and quotas.
    connect_timeout_seconds, request_timeout_seconds : float > 0
        How long to wait for the first answer of all, and for the answer to one request.
    security_protocol : str
        One of `SECURITY_PROTOCOLS`.
    ssl_ca_file, ssl_certificate_file, ssl_key_file : Path or None
        PEM files: who is trusted, and who we are.
    ssl_key_password : str or None
        Opens the key file.
    ssl_check_hostname : bool
        Whether the broker's certificate must name its host.
    sasl_mechanism : str or None
        `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    sasl_username, sasl_password : str or None

    Raises
    ------
    SettingsError
        A value is outside its range, or one that belongs to another is missing.
    """

    bootstrap_servers: tuple[str, ...]
    client_id: str = "soundscene"
    connect_timeout_seconds: float = 10.0
    request_timeout_seconds: float = 10.0
    security_protocol: str = "PLAINTEXT"
    ssl_ca_file: Path | None = None
    ssl_certificate_file: Path | None = None
    ssl_key_file: Path | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check every range."""
        if not self.bootstrap_servers:
            raise SettingsError("bootstrap_servers needs at least one host:port")
        for server in self.bootstrap_servers:
            match = _SERVER.match(server)
            if not match or not 0 < int(match[2]) < 65536:
                raise SettingsError(f"bootstrap_servers takes host:port, separated by commas; got {server!r}")
        if self.connect_timeout_seconds <= 0 or self.request_timeout_seconds <= 0:
            raise SettingsError(
                "connect_timeout_seconds and request_timeout_seconds must be above 0, got "
                f"{self.connect_timeout_seconds:g} and {self.request_timeout_seconds:g}"
            )
        if self.security_protocol not in SECURITY_PROTOCOLS:
            expected = ", ".join(SECURITY_PROTOCOLS)
            raise SettingsError(f"security_protocol must be one of {expected}, got {self.security_protocol!r}")
        self._check_security()

    def _check_security(self) -> None:
        if self.security_protocol.startswith("SASL"):
            missing = [name for name in ("sasl_mechanism", "sasl_username", "sasl_password") if not getattr(self, name)]
            if missing:
                raise SettingsError(f"security_protocol {self.security_protocol} needs {', '.join(missing)}")
        elif self.sasl_mechanism:
            raise SettingsError("sasl_mechanism needs security_protocol SASL_SSL or SASL_PLAINTEXT")
        files = self._files().values()
        for file in files:
            if file is not None and not file.is_file():
                raise SettingsError(f"no such file: {file}")
        if any(files) and not self.security_protocol.endswith("SSL"):
            raise SettingsError("ssl_* files need security_protocol SSL or SASL_SSL")

    def client_settings(self) -> dict[str, Any]:
        """Return the same under the client library's names."""
        text = {name: None if path is None else str(path) for name, path in self._files().items()}
        return {
            "bootstrap_servers": list(self.bootstrap_servers),
            "client_id": self.client_id,
            "bootstrap_timeout_ms": round(1000 * self.connect_timeout_seconds),
            "security_protocol": self.security_protocol,
            **text,
            "ssl_password": self.ssl_key_password,
            "ssl_check_hostname": self.ssl_check_hostname,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
        }

    def _files(self) -> dict[str, Path | None]:
        return {
            "ssl_cafile": self.ssl_ca_file,
            "ssl_certfile": self.ssl_certificate_file,
            "ssl_keyfile": self.ssl_key_file,
        }

    @property
    def servers_text(self) -> str:
        """The servers as a message names them."""
        return ", ".join(self.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class ConsumerTuning:
    """How a group member behaves.

    Parameters
    ----------
    poll_records : int > 0
        Most records one poll returns, to a lone reader too: with 1 s chunks of 16-bit sound, 64 are 5.6 MB, and
        576 MiB at worst.
    session_timeout_seconds, heartbeat_seconds : float > 0
        After how much silence the group gives the partitions to others, and how often we speak. A member hears of
        a rebalance when it speaks: often, so that a dead worker's partitions are served again within 15 s.
    poll_interval_seconds : float > 0
        Longest time between two polls before the member counts as stuck.
    assignor : str
        `cooperative-sticky` moves only the partitions that must move; `range` stops all members at each change.
        All members of a group must use the same one.
    group_instance_id : str or None
        A name that survives restarts: a restart within the session timeout then moves no partition.
    reconnect_seconds : float > 0
        Longest pause between attempts to reach a broker that is away.
    """

    poll_records: int = 64
    session_timeout_seconds: float = 10.0
    heartbeat_seconds: float = 1.0
    poll_interval_seconds: float = 300.0
    assignor: str = "cooperative-sticky"
    group_instance_id: str | None = None
    reconnect_seconds: float = 1.0

    def __post_init__(self) -> None:
        """Check every range."""
        if self.poll_records < 1:
            raise SettingsError(f"poll_records must be at least 1, got {self.poll_records}")
        if not 0 < self.heartbeat_seconds <= self.session_timeout_seconds / 3:
            raise SettingsError(
                "heartbeat_seconds must be above 0 and at most a third of session_timeout_seconds, got "
                f"{self.heartbeat_seconds:g} and {self.session_timeout_seconds:g}"
            )
        if self.poll_interval_seconds <= 0 or self.reconnect_seconds <= 0:
            raise SettingsError(
                "poll_interval_seconds and reconnect_seconds must be above 0, got "
                f"{self.poll_interval_seconds:g} and {self.reconnect_seconds:g}"
            )
        if self.assignor not in ASSIGNORS:
            raise SettingsError(f"assignor must be one of {', '.join(ASSIGNORS)}, got {self.assignor!r}")

    def client_settings(self, member: bool = True) -> dict[str, Any]:
        """Return the same under the client library's names, for a member of a group or for a lone reader."""
        reader = {
            "auto_offset_reset": "earliest",  # the library's default skips what is already there
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "fetch_max_bytes": 16 * 1024**2,
            "max_poll_records": self.poll_records,
            "reconnect_backoff_max_ms": round(1000 * self.reconnect_seconds),
        }
        if not member:
            return reader
        # A connection that died without a word is found out, and another one made, before the group forgets us.
        answer_ms = round(1000 * max(1.0, 0.5 * self.session_timeout_seconds))
        return {
            **reader,
            "request_timeout_ms": answer_ms,
            "group_instance_id": self.group_instance_id,
            "max_poll_interval_ms": round(1000 * self.poll_interval_seconds),
            "session_timeout_ms": round(1000 * self.session_timeout_seconds),
            "heartbeat_interval_ms": round(1000 * self.heartbeat_seconds),
        }


@dataclass(frozen=True, slots=True)
class ProducerTuning:
    """How records are sent: idempotent and acknowledged by all replicas in sync, always.

    Parameters
    ----------
    linger_seconds : float >= 0
        How long a batch may wait for company.
    compression : str
        One of `COMPRESSIONS`; with anything but `none` and `gzip` every reader needs the codec.
    delivery_timeout_seconds : float > 0
        After how long a record that nobody acknowledged has failed.
    block_seconds : float > 0
        How long a send may wait for room or for a broker.
    reconnect_seconds : float > 0
        Longest pause between attempts to reach a broker that is away.
    """

    linger_seconds: float = 0.005
    compression: str = "none"
    delivery_timeout_seconds: float = 30.0
    block_seconds: float = 10.0
    reconnect_seconds: float = 1.0

    def __post_init__(self) -> None:
        """Check every range."""
        if self.linger_seconds < 0:
            raise SettingsError(f"linger_seconds must not be negative, got {self.linger_seconds:g}")
        if self.compression not in COMPRESSIONS:
            raise SettingsError(f"compression must be one of {', '.join(COMPRESSIONS)}, got {self.compression!r}")
        if self.delivery_timeout_seconds <= self.linger_seconds:
            raise SettingsError(
                "delivery_timeout_seconds must exceed linger_seconds, got "
                f"{self.delivery_timeout_seconds:g} and {self.linger_seconds:g}"
            )
        if min(self.block_seconds, self.reconnect_seconds) <= 0:
            raise SettingsError(
                "block_seconds and reconnect_seconds must be above 0, got "
                f"{self.block_seconds:g} and {self.reconnect_seconds:g}"
            )

    def client_settings(self) -> dict[str, Any]:
        """Return the same under the client library's names."""
        second_attempt = 0.5 * self.delivery_timeout_seconds
        return {
            "acks": "all",
            "enable_idempotence": True,
            "allow_auto_create_topics": False,
            "linger_ms": round(1000 * self.linger_seconds),
            "batch_size": _BATCH_BYTES,
            "max_request_size": LARGEST_RECORD_BYTES,
            "compression_type": None if self.compression == "none" else self.compression,
            "delivery_timeout_ms": round(1000 * self.delivery_timeout_seconds),
            "request_timeout_ms": round(1000 * min(5.0, second_attempt)),
            "max_block_ms": round(1000 * self.block_seconds),
            "reconnect_backoff_max_ms": round(1000 * self.reconnect_seconds),
        }
