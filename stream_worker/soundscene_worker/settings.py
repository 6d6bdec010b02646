"""The worker's settings: what there is, its bounds and its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic.fields import FieldInfo

from soundscene.errors import SettingsError
from soundscene_worker import defaults
from soundscene_worker.broker.connection import (
    ASSIGNORS,
    COMPRESSIONS,
    SECURITY_PROTOCOLS,
    ConsumerTuning,
    KafkaConnection,
    ProducerTuning,
)
from soundscene_worker.http_server import Protection
from soundscene_worker.logs import LogFormat, LogLevel
from soundscene_worker.messages.chunk import ChunkLimits
from soundscene_worker.messages.dead_letter import DeadLetterPolicy
from soundscene_worker.messages.limits import LARGEST_CHUNK_BYTES
from soundscene_worker.secret_files import read_secret

__all__ = ["ENVIRONMENT_PREFIX", "WorkerSettings", "is_secret"]

ENVIRONMENT_PREFIX: Final = "SOUNDSCENE_WORKER_"

_CONSUMING, _PRODUCING, _LIMITS, _LETTERS = ConsumerTuning(), ProducerTuning(), ChunkLimits(), DeadLetterPolicy()
_PROTECTION = Protection()
_CONNECTION = KafkaConnection(("127.0.0.1:9092",))

Topic = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class WorkerSettings(BaseModel):
    """Everything a worker can be told. Checked as a whole; never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    # Kafka
    bootstrap_servers: Name = Field(default="127.0.0.1:9092", description="brokers, host:port separated by commas")
    group_id: Name = Field(
        default="soundscene", description="consumer group: workers of one group share the partitions"
    )
    chunks_topic: Topic = Field(default=defaults.CHUNKS_TOPIC, description="topic the sensors publish to")
    predictions_topic: Topic = Field(default=defaults.PREDICTIONS_TOPIC, description="topic the predictions go to")
    dead_letters_topic: Topic = Field(
        default=defaults.DEAD_LETTERS_TOPIC, description="topic for word of what could not be used"
    )

    # What is heard
    bundle: Path | None = Field(
        default=None, description="folder of the networks; without it the demo bundle in the package"
    )
    bundle_check_seconds: float = Field(
        default=10.0, ge=0, description="time between two looks for a new bundle in its folder (s); 0: only at SIGHUP"
    )
    hold_back_seconds: float = Field(
        default=defaults.HOLD_BACK_SECONDS,
        ge=0,
        description="a chunk this far behind the end of its session is too late (s of its own sound)",
    )
    idle_seconds: float = Field(
        default=defaults.IDLE_SECONDS, gt=0, description="a session this far behind the log is closed (s of log time)"
    )
    sessions_per_device: int = Field(
        default=defaults.SESSIONS_PER_DEVICE,
        ge=1,
        description="open sessions of one device; the quietest is closed first",
    )
    devices_per_partition: int = Field(
        default=defaults.DEVICES_PER_PARTITION,
        ge=1,
        description="devices of a partition with open sessions; the quietest makes room for a new one",
    )
    device_bytes: int = Field(
        default=defaults.DEVICE_BYTES, ge=1, description="most memory the open windows of one device may hold (bytes)"
    )
    buffered_bytes: int = Field(
        default=2 * 1024**3, ge=1, description="most memory the open windows of all devices may hold (bytes)"
    )
    max_chunk_bytes: int = Field(
        default=_LIMITS.max_bytes,
        ge=1,
        le=LARGEST_CHUNK_BYTES,
        description="largest payload taken (bytes)",
    )
    max_chunk_seconds: float = Field(
        default=_LIMITS.max_seconds, gt=0, description="longest chunk taken, for a worker at most the hold-back (s)"
    )
    dead_letter_payload: bool = Field(
        default=_LETTERS.include_payload,
        description="keep refused sound in the dead letters, readable by who reads the topic",
    )
    dead_letter_burst: int = Field(
        default=_LETTERS.burst, ge=1, description="dead letters that may follow each other at once"
    )
    dead_letters_per_second: float = Field(
        default=_LETTERS.letters_per_second, gt=0, description="dead letters in the long run"
    )

    # Metrics and health
    http_host: Name = Field(default="127.0.0.1", description="address of /metrics, /live and /ready; 0.0.0.0 for all")
    http_port: int = Field(default=9464, ge=0, le=65535, description="port of the same; 0 picks a free one")
    http_certificate_file: Path | None = Field(default=None, description="serve TLS with this certificate (PEM)")
    http_key_file: Path | None = Field(default=None, description="and its key, without a password (PEM)")
    http_username: Name = Field(default=_PROTECTION.username, description="who may see all but /live and /ready")
    http_password_file: Path | None = Field(
        default=None, description="its first line is the password of that user; without it nobody is asked"
    )
    max_devices: int = Field(
        default=500, ge=0, description="devices with metrics of their own; more are counted together"
    )
    stuck_after_seconds: float = Field(
        default=180.0,
        gt=0,
        description="a loop that has not turned for so long is not alive (s): longer than a delivery may take",
    )
    source_url: str | None = Field(
        default=None, description="where this program's source is; without it /source.tar.gz has it"
    )
    log_format: LogFormat = Field(
        default="auto", description="text, json, logfmt; auto is text on a terminal, else json"
    )
    log_level: LogLevel = Field(default="info", description="debug, info, warning or error")

    # How records are taken and sent
    poll_seconds: float = Field(default=0.5, gt=0, le=10, description="longest wait for records (s)")
    poll_records: int = Field(default=_CONSUMING.poll_records, ge=1, description="most records taken at once")
    turn_seconds: float = Field(
        default=1.0, gt=0, description="work after which the group is polled again, partitions paused (s)"
    )
    commit_interval_seconds: float = Field(default=1.0, ge=0, description="least time between two commits (s)")
    assignor: str = Field(
        default=_CONSUMING.assignor, description=f"{' or '.join(ASSIGNORS)}; the same in the whole group"
    )
    group_instance_id: Name | None = Field(
        default=None, description="name that survives restarts: one within the session timeout then moves no partition"
    )
    session_timeout_seconds: float = Field(
        default=_CONSUMING.session_timeout_seconds,
        gt=0,
        description="silence after which the group gives partitions away (s)",
    )
    heartbeat_seconds: float = Field(
        default=_CONSUMING.heartbeat_seconds, gt=0, description="time between signs of life to the group (s)"
    )
    poll_interval_seconds: float = Field(
        default=_CONSUMING.poll_interval_seconds, gt=0, description="longest time between two polls (s)"
    )
    reconnect_seconds: float = Field(
        default=_CONSUMING.reconnect_seconds,
        gt=0,
        description="longest pause between attempts to reach a lost broker (s)",
    )
    linger_seconds: float = Field(
        default=_PRODUCING.linger_seconds, ge=0, description="how long a prediction may wait for company (s)"
    )
    compression: str = Field(
        default=_PRODUCING.compression, description=f"of predictions: {', '.join(COMPRESSIONS)}; readers need the codec"
    )
    delivery_timeout_seconds: float = Field(
        default=_PRODUCING.delivery_timeout_seconds, gt=0, description="how long the broker may take to acknowledge (s)"
    )

    # The connection
    client_id: Name = Field(default=_CONNECTION.client_id, description="name in the brokers' logs and quotas")
    connect_timeout_seconds: float = Field(
        default=_CONNECTION.connect_timeout_seconds, gt=0, description="how long to look for a broker at the start (s)"
    )
    access_patience_seconds: float = Field(
        default=60.0, ge=0, description="how long to wait at the start for rights that the broker denies us (s)"
    )
    request_timeout_seconds: float = Field(
        default=_CONNECTION.request_timeout_seconds,
        gt=0,
        description="how long a broker may take to answer a question (s)",
    )
    security_protocol: str = Field(default=_CONNECTION.security_protocol, description=", ".join(SECURITY_PROTOCOLS))
    ssl_ca_file: Path | None = Field(default=None, description="certificates of trusted authorities (PEM)")
    ssl_certificate_file: Path | None = Field(default=None, description="our certificate (PEM)")
    ssl_key_file: Path | None = Field(default=None, description="our private key (PEM)")
    ssl_key_password: SecretStr | None = Field(
        default=None, description="opens the private key; not on the command line"
    )
    ssl_key_password_file: Path | None = Field(default=None, description="its first line opens the private key")
    ssl_check_hostname: bool = Field(default=True, description="the broker's certificate must name its host")
    sasl_mechanism: str | None = Field(default=None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    sasl_username: str | None = Field(default=None, description="who we are")
    sasl_password: SecretStr | None = Field(default=None, description="our password; not on the command line")
    sasl_password_file: Path | None = Field(default=None, description="its first line is our password")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Let the parts that use the settings check them now, before anything starts."""
        _ = (self.connection, self.consuming, self.producing, self.limits, self.dead_letters, self.protection)
        if len(set(self.topics)) < 3:
            raise SettingsError("chunks_topic, predictions_topic and dead_letters_topic must be three different topics")
        return self

    @property
    def topics(self) -> tuple[str, str, str]:
        """Those of chunks, predictions and dead letters."""
        return self.chunks_topic, self.predictions_topic, self.dead_letters_topic

    @property
    def connection(self) -> KafkaConnection:
        """How to reach the brokers."""
        return KafkaConnection(
            bootstrap_servers=tuple(server.strip() for server in self.bootstrap_servers.split(",")),
            client_id=self.client_id,
            connect_timeout_seconds=self.connect_timeout_seconds,
            request_timeout_seconds=self.request_timeout_seconds,
            security_protocol=self.security_protocol,
            ssl_ca_file=self.ssl_ca_file,
            ssl_certificate_file=self.ssl_certificate_file,
            ssl_key_file=self.ssl_key_file,
            ssl_key_password=_secret(self, "ssl_key_password"),
            ssl_check_hostname=self.ssl_check_hostname,
            sasl_mechanism=self.sasl_mechanism,
            sasl_username=self.sasl_username,
            sasl_password=_secret(self, "sasl_password"),
        )

    @property
    def protection(self) -> Protection:
        """Who may see the metrics."""
        return Protection(
            certificate_file=self.http_certificate_file,
            key_file=self.http_key_file,
            username=self.http_username,
            password=_secret(self, "http_password"),
        )

    @property
    def consuming(self) -> ConsumerTuning:
        """How to be a member of the group."""
        return ConsumerTuning(
            poll_records=self.poll_records,
            session_timeout_seconds=self.session_timeout_seconds,
            heartbeat_seconds=self.heartbeat_seconds,
            poll_interval_seconds=self.poll_interval_seconds,
            assignor=self.assignor,
            group_instance_id=self.group_instance_id,
            reconnect_seconds=self.reconnect_seconds,
        )

    @property
    def producing(self) -> ProducerTuning:
        """How to send."""
        return ProducerTuning(
            linger_seconds=self.linger_seconds,
            compression=self.compression,
            delivery_timeout_seconds=self.delivery_timeout_seconds,
            reconnect_seconds=self.reconnect_seconds,
        )

    @property
    def limits(self) -> ChunkLimits:
        """What a chunk may be."""
        return ChunkLimits(max_bytes=self.max_chunk_bytes, max_seconds=self.max_chunk_seconds)

    @property
    def dead_letters(self) -> DeadLetterPolicy:
        """How many dead letters, and what is in them."""
        return DeadLetterPolicy(self.dead_letter_payload, self.dead_letter_burst, self.dead_letters_per_second)

    def shown(self) -> dict[str, Any]:
        """Return what differs from the defaults, for the log; secrets are hidden."""
        return {name: str(value) for name, value in self if value != type(self).model_fields[name].get_default()}


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a setting must not appear on a command line, which other users of the machine can read."""
    return "SecretStr" in str(field.annotation)


def _secret(settings: WorkerSettings, name: str) -> str | None:
    """Return a secret that is given directly or in a file."""
    secret: SecretStr | None = getattr(settings, name, None)
    file: Path | None = getattr(settings, f"{name}_file")
    if secret is not None and file is not None:
        raise SettingsError(f"{name} and {name}_file are both given; expected one of them")
    if file is not None:
        return read_secret(file)
    return None if secret is None else secret.get_secret_value()
