"""A worker as its own process, and the topics around it: what demo, benchmark and live tests have in common."""

from __future__ import annotations

import contextlib
import sys
import time
import urllib.request
import uuid
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from scripts.processes import Child, ServiceError, free_port, spawn, stop

READY_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Topics:
    """Names of the three topics of a path."""

    chunks: str = "audio.chunks"
    predictions: str = "scene.predictions"
    dead_letters: str = "audio.dead-letters"

    @classmethod
    def unique(cls) -> Self:
        """Return names that nobody uses yet."""
        suffix = uuid.uuid4().hex[:8]
        return cls(f"audio.chunks-{suffix}", f"scene.predictions-{suffix}", f"audio.dead-letters-{suffix}")

    @property
    def names(self) -> tuple[str, str, str]:
        """Return all three."""
        return self.chunks, self.predictions, self.dead_letters


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
        options: tuple[str, ...] = (),
    ) -> None:
        """Start it, on one processor core if asked."""
        self.port = free_port()
        self.log = log
        command = [
            *(["taskset", "--cpu-list", str(core)] if core is not None else []),
            *(sys.executable, "-m", "soundscene_worker"),
            *("--bootstrap-servers", bootstrap, "--group-id", group),
            *("--chunks-topic", topics.chunks, "--predictions-topic", topics.predictions),
            *("--dead-letters-topic", topics.dead_letters, "--http-port", str(self.port)),
            *options,
        ]
        with log.open("wb") as output:
            self.child: Child = spawn(command, output=output, environment={"OMP_NUM_THREADS": "1"})

    @property
    def address(self) -> str:
        """`host:port` of its HTTP server."""
        return f"127.0.0.1:{self.port}"

    def wait_until_ready(self) -> None:
        """Return when the worker has joined its group and its networks are warm.

        Raises:
            ServiceError: it ended, or took too long; the message ends with its output.
        """
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.child.poll() is None:
            with contextlib.suppress(OSError), self._get("/ready"):
                return
            time.sleep(0.1)
        raise ServiceError(f"The worker did not get ready:\n{self.log.read_text()[-3000:]}")

    def samples(self) -> list[Sample]:
        """Return every sample of its metrics page; none while it does not answer."""
        with contextlib.suppress(OSError), self._get("/metrics") as page:
            families = text_string_to_metric_families(page.read().decode())
            return [sample for family in families for sample in family.samples]
        return []

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """Ask it to drain and leave; return its exit status."""
        return stop(self.child, timeout_seconds=timeout_seconds)

    def _get(self, path: str) -> HTTPResponse:
        response: HTTPResponse = urllib.request.urlopen(f"http://{self.address}{path}", timeout=2)
        return response
