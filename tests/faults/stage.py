"""What a fault needs around it: topics, sensors that never stop, workers, a clock and the auditor."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from scripts.pipeline import Topics, WorkerProcess
from scripts.processes import Child, kill, spawn, stop
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.protocol import Cluster
from tests.faults.predictions import Predictions

DEVICES = 7  # as many as it takes to reach every partition
PARTITIONS = 3
SPEED = 2.0
COUNTS = ("expected", "missing", "differing", "unexpected", "repeated")
PATIENCE_SECONDS = 60.0
BROKER_LIMIT_SECONDS = 10.0
WORKER_LIMIT_SECONDS = 15.0


@dataclass(frozen=True)
class Outcome:
    """What a fault did.

    Parameters
    ----------
    expected, missing, differing, unexpected, repeated : int
        The auditor's counts of windows and predictions.
    untold : mapping of cause to int
        Windows without their sound, which no worker could tell.
    recovery_seconds, limit_seconds : float or None
        The longest time until every partition had a new prediction, and what is allowed.
    recoveries : int
        How many were measured.
    """

    expected: int
    missing: int
    differing: int
    unexpected: int
    repeated: int
    untold: Mapping[str, int]
    recovery_seconds: float | None
    limit_seconds: float | None
    recoveries: int


class Stage:
    """One path through a real broker.

    Parameters
    ----------
    bootstrap : str
        The broker, for sensors, auditor and workers.
    folder : Path
        For what programs print.
    """

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.topics = Topics.unique()
        self.group = f"faults-{self.topics.chunks[-8:]}"
        self.workers: list[WorkerProcess] = []
        self.recoveries: list[float] = []
        self._limit_seconds: float | None = None
        self._folder = folder
        self._sensors: Child | None = None
        self._numbers = itertools.count()
        self._create_topics()
        self.predictions = Predictions(self.connect, self.topics.predictions)

    def connect(self) -> contextlib.AbstractContextManager[Cluster]:
        """Return a connection that gives up soon."""
        return KafkaCluster(KafkaConnection((self.bootstrap,), connect_timeout_seconds=2, request_timeout_seconds=5))

    def start_sensors(self, faults: Collection[str] = ()) -> None:
        """Let devices send for ever, faster than time; `faults` are those of `soundscene-sensor`."""
        words = [sys.executable, "-m", "soundscene_worker.sensor", "--bootstrap-servers", self.bootstrap]
        sound = ("--devices", str(DEVICES), "--speed", str(SPEED), "--topic", self.topics.chunks, "--seed", "7")
        spoilt = [word for fault in faults for word in ("--fault", fault)]
        with (self._folder / "sensors.log").open("wb") as output:
            self._sensors = spawn([*words, *sound, *spoilt], output=output)

    def start_worker(
        self,
        *options: str,
        bootstrap: str | None = None,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> WorkerProcess:
        """Start one more worker; it need not be ready yet."""
        log = log or self._folder / f"worker-{next(self._numbers)}.log"
        where = bootstrap or self.bootstrap
        worker = WorkerProcess(where, self.group, self.topics, log, options=options, environment=environment)
        self.workers.append(worker)
        return worker

    def play(self, *options: str, workers: int = 1, bootstrap: str | None = None, faults: Collection[str] = ()) -> None:
        """Start sensors and workers, and return when every partition has predictions."""
        self.start_sensors(faults)
        for _ in range(workers):
            self.start_worker(*options, bootstrap=bootstrap)
        self.wait(lambda: len(self.predictions.partitions) == PARTITIONS)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Read predictions until `condition` holds; fail when it takes more than a minute."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        self.predictions.read_on()
        while not condition():
            self._assert_alive()
            assert time.monotonic() < deadline, self.complaints()
            time.sleep(0.3)
            self.predictions.read_on()

    def wait_for_more(self, windows: int) -> None:
        """Return when so many windows more are published."""
        self.predictions.read_on()
        enough = self.predictions.windows + windows
        self.wait(lambda: self.predictions.windows >= enough)

    def wait_until_logged(self, event: str) -> None:
        """Return when a worker has logged this event."""
        self.wait(lambda: bool(self.logged(event)))

    def kill_worker(self) -> None:
        """End the youngest worker as a power cut would."""
        kill(self.workers.pop().child)

    def stop_worker(self) -> float:
        """Let the oldest worker leave in good order; return when it was asked to (s since 1970)."""
        worker = self.workers.pop(0)
        asked_at = time.time()
        assert worker.stop() == 0, worker.log.read_text()[-3000:]
        self.predictions.read_on()
        return asked_at

    def recover(self, since: float, limit_seconds: float) -> None:
        """Measure how long after `since` (s since 1970) every partition has its first new prediction.

        Where what was sent before may arrive later, call `predictions.read_on` first: what it has read is not new.
        """
        waiting = set(self.predictions.partitions)
        last = since
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waiting:
            self._assert_alive()
            assert time.monotonic() < deadline, f"no new prediction in partitions {waiting}\n{self.complaints()}"
            arrived = self.predictions.read_on(since)
            last = max([last, *(at for p, at in arrived.items() if p in waiting)])
            waiting -= arrived.keys()
            time.sleep(0.2)
        self.recoveries.append(last - since)
        self._limit_seconds = limit_seconds

    def set_topic(self, topic: str, **settings: str) -> None:
        """Change settings of a topic."""
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])

    def committed(self) -> dict[int, int]:
        """Return the group's commits: partition to offset."""
        from kafka import KafkaConsumer, TopicPartition

        reader = KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.group, enable_auto_commit=False)
        with contextlib.closing(reader):
            return {p: reader.committed(TopicPartition(self.topics.chunks, p)) or 0 for p in range(PARTITIONS)}

    def logged(self, event: str) -> list[dict[str, object]]:
        """Return every line with this event from all workers' logs."""
        lines = [line for log in self._logs() for line in log.read_text().splitlines()]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    def audit(self, excused: Collection[str] = ()) -> Outcome:
        """Stop the sensors, let workers finish, and return what the auditor finds; fail where it is not good.

        `excused` are the causes for which windows lack their sound: all of them, and no other.
        """
        assert self._sensors is not None
        assert stop(self._sensors, timeout_seconds=45) == 0, (self._folder / "sensors.log").read_text()
        verdict = self._ask_auditor()
        counts = {name: verdict["total"][name] for name in COUNTS}
        untold = sum((Counter(causes) for causes in verdict["untold"].values()), start=Counter[str]())
        longest = max(self.recoveries, default=None)
        outcome = Outcome(
            **counts,
            untold=dict(untold),
            recovery_seconds=longest,
            limit_seconds=self._limit_seconds,
            recoveries=len(self.recoveries),
        )
        assert outcome.expected > 0
        assert (outcome.missing, outcome.differing, outcome.unexpected) == (0, 0, 0), f"{outcome}\n{self.complaints()}"
        assert untold.keys() == set(excused), outcome
        has_machine_to_itself = "PYTEST_XDIST_WORKER" not in os.environ  # as in `make faults`; else times mean little
        if longest is not None and self._limit_seconds is not None and has_machine_to_itself:
            assert longest <= self._limit_seconds, f"{asdict(outcome)} {self.recoveries}\n{self.complaints()}"
        return outcome

    def _ask_auditor(self) -> dict[str, Any]:
        names = ("--chunks-topic", "--predictions-topic", "--dead-letters-topic")
        topics = [word for pair in zip(names, self.topics.names, strict=True) for word in pair]
        words = [sys.executable, "-m", "soundscene_worker.audit", "--bootstrap-servers", self.bootstrap, *topics]
        told = subprocess.run(
            [*words, "--json", "--wait-seconds", "60"], capture_output=True, text=True, timeout=200, check=False
        )
        assert told.stdout, told.stderr
        verdict: dict[str, Any] = json.loads(told.stdout)
        return verdict

    def complaints(self) -> str:
        """Return the ends of what workers printed."""
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in self._logs())

    def _assert_alive(self) -> None:
        statuses = [worker.child.poll() for worker in self.workers]
        assert not any(statuses), f"workers ended with {statuses}\n{self.complaints()}"

    def _logs(self) -> list[Path]:
        return sorted(self._folder.glob("worker-*.log"))

    def close(self) -> None:
        """End whatever still runs."""
        for child in [*(worker.child for worker in self.workers), *([self._sensors] if self._sensors else [])]:
            kill(child)

    def _create_topics(self) -> None:
        by_broker = {"message.timestamp.type": "LogAppendTime"}
        predictions = NewTopic(self.topics.predictions, PARTITIONS, 1, topic_configs=by_broker)
        others = [NewTopic(name, PARTITIONS, 1) for name in (self.topics.chunks, self.topics.dead_letters)]
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.create_topics([predictions, *others])
