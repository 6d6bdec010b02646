"""A worker as its own process, and the topics around it: what demo, benchmark and live tests have in common."""

from __future__ import annotations

import contextlib
import sys
import time
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from scripts.processes import Child, ServiceError, free_port, spawn, stop
from soundscene_worker.defaults import CHUNKS_TOPIC, DEAD_LETTERS_TOPIC, PREDICTIONS_TOPIC

READY_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Topics:
    """Names of the three topics of a path."""

    chunks: str = CHUNKS_TOPIC
    predictions: str = PREDICTIONS_TOPIC
    dead_letters: str = DEAD_LETTERS_TOPIC

    @classmethod
    def unique(cls) -> Self:
        """Return names that nobody uses yet."""
        suffix = uuid.uuid4().hex[:8]
        return cls(*(f"{name}-{suffix}" for name in cls().names))

    @property
    def names(self) -> tuple[str, str, str]:
        """Return all three."""
        return self.chunks, self.predictions, self.dead_letters


def worker_arguments(topics: Topics, group: str, port: int) -> list[str]:
    """Return the options of a worker, but for where its broker is."""
    return [
        *("--group-id", group, "--http-port", str(port)),
        *("--chunks-topic", topics.chunks, "--predictions-topic", topics.predictions),
        *("--dead-letters-topic", topics.dead_letters),
    ]


def answers(address: str, path: str) -> bool:
    """Tell whether the server at `host:port` says under this path that all is well."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}{path}", timeout=2):
        return True
    return False


def scrape(address: str) -> list[Sample]:
    """Return every sample of a metrics page; none while the server at `host:port` does not answer."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as page:
        families = text_string_to_metric_families(page.read().decode())
        return [sample for family in families for sample in family.samples]
    return []


class WorkerProcess:
    """`soundscene-worker` with its own port for metrics; its output goes to a file."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Topics,
        log: Path,
        *,
        core: int | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, on one processor core if asked, with more options and variables."""
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.log = log
        pinning = ["taskset", "--cpu-list", str(core)] if core is not None else []
        program = [sys.executable, "-m", "soundscene_worker", "--bootstrap-servers", bootstrap]
        with log.open("wb") as output:
            self.child: Child = spawn(
                [*pinning, *program, *worker_arguments(topics, group, port), *options],
                output=output,
                environment={"OMP_NUM_THREADS": "1", **(environment or {})},
            )

    def wait_until_ready(self) -> None:
        """Return when the worker has joined its group and its networks are warm.

        Raises:
            ServiceError: it ended, or took too long; the message ends with its output.
        """
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.child.poll() is None:
            if answers(self.address, "/ready"):
                return
            time.sleep(0.1)
        raise ServiceError(f"The worker did not get ready:\n{self.log.read_text()[-3000:]}")

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """Ask it to drain and leave; return its exit status."""
        return stop(self.child, timeout_seconds=timeout_seconds)
