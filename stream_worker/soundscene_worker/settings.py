"""The worker's settings: from the command line, the environment, a TOML file and defaults, in this order."""

from __future__ import annotations

import argparse
import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, model_validator
from pydantic.fields import FieldInfo

from soundscene.errors import SettingsError
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
from soundscene_worker.secret_files import read_secret

__all__ = ["ENVIRONMENT_PREFIX", "WorkerSettings", "is_secret", "make_parser", "read_settings", "settings_from"]

ENVIRONMENT_PREFIX: Final = "SOUNDSCENE_WORKER_"

_CONSUMING, _PRODUCING, _LIMITS, _LETTERS = ConsumerTuning(), ProducerTuning(), ChunkLimits(), DeadLetterPolicy()
_PROTECTION = Protection()
_CONNECTION = KafkaConnection(("127.0.0.1:9092",))

Topic = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class WorkerSettings(BaseModel):
    """Everything a worker can be told. Checked as a whole; never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    # Kafka
    bootstrap_servers: Name = Field(default="127.0.0.1:9092", description="brokers, host:port separated by commas")
    group_id: Name = Field(
        default="soundscene", description="consumer group: workers of one group share the partitions"
    )
    chunks_topic: Topic = Field(default="audio.chunks", description="topic the sensors publish to")
    predictions_topic: Topic = Field(default="scene.predictions", description="topic the predictions go to")
    dead_letters_topic: Topic = Field(
        default="audio.dead-letters", description="topic for word of what could not be used"
    )

    # What is heard
    bundle: Path | None = Field(
        default=None, description="folder of the networks; without it the demo bundle in the package"
    )
    bundle_check_seconds: float = Field(
        default=10.0, ge=0, description="time between two looks for a new bundle in its folder (s); 0: only at SIGHUP"
    )
    hold_back_seconds: float = Field(
        default=10.0,
        ge=0,
        description="a chunk this far behind the end of its session is too late (s of its own sound)",
    )
    idle_seconds: float = Field(
        default=120.0, gt=0, description="a session this far behind the log is closed (s of log time)"
    )
    sessions_per_device: int = Field(
        default=4, ge=1, description="open sessions of one device; the quietest is closed first"
    )
    devices_per_partition: int = Field(
        default=500,
        ge=1,
        description="devices of a partition with open sessions; the quietest makes room for a new one",
    )
    device_bytes: int = Field(
        default=32 * 1024**2, ge=1, description="most memory the open windows of one device may hold (bytes)"
    )
    buffered_bytes: int = Field(
        default=2 * 1024**3, ge=1, description="most memory the open windows of all devices may hold (bytes)"
    )
    max_chunk_bytes: int = Field(default=_LIMITS.max_bytes, ge=1, description="largest payload taken (bytes)")
    max_chunk_seconds: float = Field(default=_LIMITS.max_seconds, gt=0, description="longest chunk taken (s)")
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
        if len({self.chunks_topic, self.predictions_topic, self.dead_letters_topic}) < 3:
            raise SettingsError("chunks_topic, predictions_topic and dead_letters_topic must be three different topics")
        return self

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


def read_settings(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, version: str = "unknown"
) -> WorkerSettings:
    """Read the settings of `soundscene-worker`.

    Parameters
    ----------
    arguments : sequence of str
        The command line, without the program's name.
    environment : mapping of str to str
        `SOUNDSCENE_WORKER_<NAME>` are read; the process's own by default.
    version : str
        What `--version` prints.

    Raises
    ------
    SettingsError
        A value is unknown, malformed or outside its range, or the file cannot be read. The message is one line.
    SystemExit
        After `--help` or `--version`.
    """
    return settings_from(vars(make_parser(version).parse_args(list(arguments))), environment)


def settings_from(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> WorkerSettings:
    """Return what was given on the command line, and else in the environment or the file; see `read_settings`."""
    environment = os.environ if environment is None else environment
    given = dict(given)
    file = given.pop("config", None) or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    values = _from_file(Path(file)) if file else {}
    values |= {
        name: environment[key]
        for name in WorkerSettings.model_fields
        if (key := f"{ENVIRONMENT_PREFIX}{name.upper()}") in environment
    }
    try:
        return WorkerSettings(**values | given)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a setting must not appear on a command line, which other users of the machine can read."""
    return "SecretStr" in str(field.annotation)


class _Parser(argparse.ArgumentParser):
    """Raises our error where argparse would print its usage and exit."""

    def error(self, message: str) -> Any:
        """Raise."""
        raise SettingsError(f"{message}; see --help")


_ABOUT: Final = "Hears chunks of audio in Kafka and publishes which scene each device hears."
_EPILOG: Final = (
    f"Every option is also read from the environment ({ENVIRONMENT_PREFIX}GROUP_ID) and from the file "
    "(group_id = ...); the command line counts most, then the environment, then the file. "
    "ssl_key_password and sasl_password are read from there only, or from files of their own."
)


def make_parser(
    version: str, program: str = "soundscene-worker", description: str = _ABOUT, epilog: str = _EPILOG
) -> argparse.ArgumentParser:
    """Return a parser of all settings that may stand on a command line; it raises SettingsError."""
    parser = _Parser(
        prog=program,
        usage=f"{program} [OPTION ...]",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter if "\n" in epilog else argparse.HelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action="version", version=f"soundscene-worker {version}")
    parser.add_argument("--config", metavar="FILE.toml", help="settings file")
    for name, field in WorkerSettings.model_fields.items():
        if is_secret(field):
            continue
        flag, default = f"--{name.replace('_', '-')}", field.get_default()
        text = f"{field.description} (default: {'none' if default is None else default})".replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(flag, metavar=_metavar(name, field), help=text)
    return parser


def _metavar(name: str, field: FieldInfo) -> str:
    if "Path" in str(field.annotation):
        return "DIR" if name == "bundle" else "FILE"
    return "N" if field.annotation in {int, float} else "TEXT"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {error}") from error
    for name in values:
        if name not in WorkerSettings.model_fields:
            close = difflib.get_close_matches(name, WorkerSettings.model_fields, 1)
            hint = f"; did you mean {close[0]!r}?" if close else "; see --help for what there is"
            raise SettingsError(f"{path}: there is no setting {name!r}{hint}")
    return values


def _one_line(error: ValidationError) -> str:
    """Return the first fault, by the name and the value the user wrote; never a secret."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    field = WorkerSettings.model_fields.get(name)
    got = "" if field is None or is_secret(field) else f", got {first['input']!r}"
    return f"{name}: {message[:1].lower()}{message[1:]}{got}"


def _secret(settings: WorkerSettings, name: str) -> str | None:
    """Return a secret that is given directly or in a file."""
    secret: SecretStr | None = getattr(settings, name, None)
    file: Path | None = getattr(settings, f"{name}_file")
    if secret is not None and file is not None:
        raise SettingsError(f"{name} and {name}_file are both given; expected one of them")
    if file is not None:
        return read_secret(file)
    return None if secret is None else secret.get_secret_value()
