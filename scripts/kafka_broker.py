"""A real single-node Apache Kafka (KRaft) for tests and the demo.

`python -m scripts.kafka_broker run [--port N]` keeps one in the foreground; tests use `KafkaBroker`.
The jars come from Maven once, into `.cache/kafka`; Java 17 or newer runs them.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from scripts.processes import Child, ServiceError, fail, free_port, kill, require, spawn, stop, terminate_as_interrupt

ROOT = Path(__file__).resolve().parent.parent
POM = ROOT / "scripts" / "kafka-pom.xml"
CACHE = ROOT / ".cache" / "kafka"
START_TIMEOUT_SECONDS = 90.0  # 4 s on an idle machine
JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a broker that lives for minutes: compiled once and lightly, it starts with little more than half the work."""

LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def broker_jars() -> Path:
    """Return the folder of Kafka's jars, fetched by Maven when it is not there yet.

    Raises:
        ServiceError: Java or Maven is missing, or Maven failed.
    """
    require("java", needed_for="A Kafka broker", debian_package="openjdk-17-jre-headless")
    libs = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may want the jars at once
        if not libs.exists():
            _fetch_jars(libs)
    return libs


def _fetch_jars(libs: Path) -> None:
    maven = require("mvn", needed_for="Fetching Kafka's jars (once)", debian_package="maven")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}/libs"]
        words = [maven, "--batch-mode", "--quiet", "--file", str(POM), *goal]
        outcome = subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder)
        if outcome.returncode != 0:
            raise ServiceError(f"Maven could not fetch Kafka's jars:\n{outcome.stdout}{outcome.stderr}")
        (Path(folder) / "libs").rename(libs)


def cluster_id() -> str:
    """Return a new cluster id: 16 random bytes in URL-safe base64, never with the leading "-" that Kafka refuses."""
    while True:
        identifier = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        if not identifier.startswith("-"):
            return identifier


def answers(port: int, *, timeout_seconds: float = 1.0) -> bool:
    """Tell whether a Kafka broker on this loopback port answers an ApiVersions request."""
    request = struct.pack(">hhih", 18, 0, 1, -1)  # key, version, correlation id, no client id
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout_seconds) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        reply = connection.recv(10)
        return len(reply) == 10 and struct.unpack(">iih", reply)[1:] == (1, 0)
    return False


class KafkaBroker:
    """One broker with its data in a temporary folder; a context manager.

    `kill()` then `start()` is a crash and a restart on the same port with the same data.
    """

    def __init__(
        self, *, port: int | None = None, properties: Mapping[str, str] | None = None, format_words: Sequence[str] = ()
    ) -> None:
        """Choose the port (free by default) and settings that replace or add to the ones for a single small node.

        `format_words` go to Kafka's tool that formats the storage: users with passwords are put there.
        """
        self.port = port or free_port()
        self._controller_port = free_port()
        self._extra = dict(properties or {})
        self._format_words = format_words
        self._folder: Path | None = None
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, as every Kafka client takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def log(self) -> str:
        """What the broker has printed: warnings and errors."""
        return (self._folder / "broker.log").read_text(errors="replace") if self._folder else ""

    def start(self) -> None:
        """Start the broker and return when it answers.

        Raises:
            ServiceError: Java or Maven is missing, or the broker did not come up; the message ends with its log.
        """
        libs = broker_jars()
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="soundscene-kafka-"))
            self._format(libs)
        with (self._folder / "broker.log").open("ab") as log:
            self._child = spawn([*self._java(libs), "kafka.Kafka", self._properties_file], output=log)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not answers(self.port):
            if not self.running or time.monotonic() > deadline:
                message = f"The Kafka broker did not come up:\n{self.log[-4000:]}"
                self.stop()
                raise ServiceError(message)
            time.sleep(0.1)

    def kill(self) -> None:
        """End the broker as a power cut would (SIGKILL); its data stay for the next `start()`."""
        if self._child is not None:
            kill(self._child)
            self._child = None

    def shut_down(self) -> None:
        """End the broker in good order (SIGTERM); its data stay for the next `start()`."""
        if self._child is not None:
            stop(self._child, timeout_seconds=30)
            self._child = None

    def stop(self) -> None:
        """End the broker and remove its data."""
        if self._child is not None:
            stop(self._child)
            self._child = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> "KafkaBroker":
        """Start, unless it runs already."""
        if not self.running:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop and clean up."""
        self.stop()

    @property
    def _properties_file(self) -> Path:
        assert self._folder is not None
        return self._folder / "server.properties"

    def _java(self, libs: Path) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._properties_file.with_name('log4j2.properties')}"
        return ["java", *JVM, logging, "-cp", f"{libs}/*"]

    def _format(self, libs: Path) -> None:
        self._properties_file.with_name("log4j2.properties").write_text(LOGGING)
        lines = [f"{key}={value}" for key, value in self._settings().items()]
        self._properties_file.write_text("\n".join(lines) + "\n")
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id(), "-c", str(self._properties_file)]
        tool += self._format_words
        outcome = subprocess.run([*self._java(libs), *tool], check=False, capture_output=True, text=True)
        if outcome.returncode != 0:
            self.stop()
            raise ServiceError(f"Kafka's storage could not be formatted:\n{outcome.stdout}{outcome.stderr}")

    def _settings(self) -> dict[str, str]:
        controller = f"127.0.0.1:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "log.dirs": str(self._properties_file.with_name("data")),
            "auto.create.topics.enable": "false",  # a mistyped topic is an error, not a new topic
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "broker.session.timeout.ms": "4000",  # a killed broker cannot register again before this has passed
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024**2),
            **self._extra,
        }


def main() -> int:
    """Run the command line: keep one broker in the foreground until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kafka_broker", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, dest="command")
    run = commands.add_parser("run", help="start a broker and keep it until Ctrl-C")
    run.add_argument("--port", type=int, help="port on 127.0.0.1 (default: a free one)")
    commands.add_parser("fetch", help="only fetch the jars into .cache/kafka")
    arguments = parser.parse_args()
    try:
        with terminate_as_interrupt():
            if arguments.command == "fetch":
                print(broker_jars())
                return 0
            with KafkaBroker(port=arguments.port) as broker:
                print(f"KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}", flush=True)
                while broker.running:
                    time.sleep(0.5)
                raise ServiceError(f"The Kafka broker ended by itself:\n{broker.log[-4000:]}")
    except KeyboardInterrupt:
        return 0
    except ServiceError as error:
        return fail(error)


if __name__ == "__main__":
    sys.exit(main())
