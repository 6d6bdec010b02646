"""Run the demo: `python -m scripts.demo --seconds 60`, or `make demo`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from rich.console import Console

from scripts.demo.board import Board
from scripts.demo.sensors import plan_sensors
from scripts.demo.stage import Stage, open_stage
from scripts.pipeline import Topics, answers, scrape, worker_arguments
from scripts.processes import ServiceError, fail, free_port, terminate_as_interrupt
from soundscene.bundle import load_bundle
from soundscene_worker.audit.auditor import Auditor
from soundscene_worker.audit.geometry import Geometry

WORKERS = 2
PARTITIONS = 6
READY_SECONDS = 60.0
DRAIN_SECONDS = 30.0
REFRESH_SECONDS = 0.5


@dataclass
class Demo:
    """One run: what is started, and what is seen."""

    stage: Stage
    console: Console
    topics: Topics = field(default_factory=Topics.unique)
    workers: dict[str, str] = field(default_factory=dict)  # name to host:port
    devices: list[str] = field(default_factory=list)

    def run(self, seconds: float) -> int:
        """Start everything, show it for so long, stop it, and return the auditor's exit status."""
        self._say(f"Broker: {self.stage.description}")
        with self.stage.cluster() as cluster, closing(cluster.admin()) as admin:
            admin.ensure_topics(dict.fromkeys(self.topics.names, PARTITIONS))
        self._start_workers()
        self._start_sensors(seconds)
        self._watch()
        return self._verdict()

    def _start_workers(self) -> None:
        for number in range(1, WORKERS + 1):
            name, port = f"worker-{number}", free_port()
            self.stage.start(name, "soundscene_worker", *worker_arguments(self.topics, "soundscene-demo", port))
            self.workers[name] = f"127.0.0.1:{port}"
        deadline = time.monotonic() + READY_SECONDS
        for name, address in self.workers.items():
            while not answers(address, "/ready"):
                if self.stage.has_ended(name) or time.monotonic() > deadline:
                    raise ServiceError(f"{name} did not get ready:\n{self.stage.complaint(name)}")
                time.sleep(0.1)
        for name, address in self.workers.items():
            self._say(f"Metrics of {name}: http://{address}/metrics")

    def _start_sensors(self, seconds: float) -> None:
        heard, plans = plan_sensors()
        self._say(f"Sensors: {len(plans)}, one of them faulty; they hear {heard}")
        for plan in plans:
            where = ("--topic", self.topics.chunks, "--device", plan.device, "--seconds", f"{seconds:g}")
            self.stage.start(plan.device, "soundscene_worker.sensor", *where, *plan.options)
            self.devices.append(plan.device)

    def _watch(self) -> None:
        started = time.monotonic()
        with Board(self.devices, self.console) as board:
            for prediction in self._predictions():
                board.prediction(prediction) if prediction else board.coverage(self._coverage())
                passed = time.monotonic() - started
                board.show(f"{passed:.0f} s, {board.windows} predictions")
                if all(self.stage.has_ended(device) for device in self.devices):
                    break
                self._check_workers()

    def _predictions(self) -> Iterator[bytes | None]:
        """Yield each prediction as it is published, and None at least every `REFRESH_SECONDS`."""
        with self.stage.cluster() as cluster:
            consumer = cluster.consumer("soundscene-demo-board", [self.topics.predictions])
            with closing(consumer):
                while True:
                    for record in consumer.poll(REFRESH_SECONDS).records:
                        yield record.value
                    yield None

    def _coverage(self) -> dict[str, float]:
        samples = [sample for address in self.workers.values() for sample in scrape(address)]
        return {s.labels["device"]: s.value for s in samples if s.name == "soundscene_device_coverage_ratio"}

    def _check_workers(self) -> None:
        for name in self.workers:
            if self.stage.has_ended(name):
                raise ServiceError(f"{name} ended by itself:\n{self.stage.complaint(name)}")

    def _verdict(self) -> int:
        self._say("\nThe sensors are silent. The workers finish what is in the log ...")
        with self.stage.cluster() as cluster:
            Auditor(cluster, self.topics.chunks, self.topics.predictions, Geometry.of_bundle(None)).audit(DRAIN_SECONDS)
        for name in self.workers:
            self.stage.stop(name)
        self._say("Everything is stopped. The auditor has seen nothing but the two topics:\n")
        chunks, predictions = self.topics.chunks, self.topics.predictions
        names = (
            "--chunks-topic",
            chunks,
            "--predictions-topic",
            predictions,
            "--dead-letters-topic",
            self.topics.dead_letters,
        )
        return self.stage.run("soundscene_worker.audit", *names)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


def main() -> int:
    """Run the command line; 0 only when no window was lost."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description="Sensors, Kafka, workers, a verdict.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the sensors send (default: 60)")
    arguments = parser.parse_args()
    if not sys.stdout.isatty():
        os.environ.setdefault("COLUMNS", "120")  # a file is as wide as it needs to be
    console = Console()
    bundle = load_bundle(None)
    console.print(f"Bundle: {bundle.name} {bundle.version}: {bundle.description}", highlight=False, soft_wrap=True)
    try:
        with terminate_as_interrupt(), open_stage() as stage:
            return Demo(stage, console).run(arguments.seconds)
    except KeyboardInterrupt:
        console.print("Interrupted; everything is stopped.")
        return 130
    except ServiceError as error:
        return fail(error)


if __name__ == "__main__":
    sys.exit(main())
