"""Where the demo's programs run: as processes on a real broker, or as threads on a broker in memory.

Either way they are the programs that users start, called with the same arguments.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from scripts.kafka_broker import KafkaBroker
from scripts.processes import Child, ServiceError, spawn, stop
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.broker.protocol import Cluster
from soundscene_worker.logs import EventLog
from soundscene_worker.service import WorkerService
from soundscene_worker.settings_sources import read_settings


class Stage(Protocol):
    """Runs programs of ours against one broker."""

    description: str

    def cluster(self) -> contextlib.AbstractContextManager[Cluster]:
        """Return a connection of the demo itself."""

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start a program in the background."""

    def run(self, module: str, *arguments: str) -> int:
        """Run a program to its end on our own output; return its exit status."""

    def has_ended(self, name: str) -> bool:
        """Tell whether a program has ended by itself."""

    def stop(self, name: str) -> None:
        """Ask a program to end, and see to it."""

    def complaint(self, name: str) -> str:
        """Return the end of what a program has printed."""


class ProcessStage:
    """Each program is a process; what it prints goes to a file."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        """Use the broker at this address, and this folder for output."""
        self.description = f"Kafka at {bootstrap_servers}"
        self._bootstrap_servers = bootstrap_servers
        self._folder = folder
        self._children: dict[str, Child] = {}

    def cluster(self) -> contextlib.AbstractContextManager[Cluster]:
        """Return a connection of the demo itself."""
        return KafkaCluster(KafkaConnection(tuple(self._bootstrap_servers.split(","))))

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start a program in the background."""
        with (self._folder / name).open("wb") as output:
            self._children[name] = spawn(
                self._command(module, arguments), output=output, environment={"OMP_NUM_THREADS": "1"}
            )

    def run(self, module: str, *arguments: str) -> int:
        """Run a program to its end on our own output; return its exit status."""
        child = spawn(self._command(module, arguments))
        try:
            return child.wait()
        finally:
            stop(child)

    def has_ended(self, name: str) -> bool:
        """Tell whether a program has ended by itself."""
        return self._children[name].poll() is not None

    def stop(self, name: str) -> None:
        """Send SIGTERM, give it time to drain, then see to it."""
        stop(self._children[name], timeout_seconds=20)

    def complaint(self, name: str) -> str:
        """Return the end of what a program has printed."""
        return (self._folder / name).read_text(errors="replace")[-2000:]

    def stop_all(self) -> None:
        """End whatever still runs: everybody is told first, then waited for."""
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()
        for child in self._children.values():
            stop(child)

    def _command(self, module: str, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", module, "--bootstrap-servers", self._bootstrap_servers, *arguments]


class ThreadStage:
    """Each program is a thread of this process, and the broker is one of its objects."""

    def __init__(self, reason: str, errors: io.StringIO) -> None:
        """Say why there is no real broker, and where standard error goes meanwhile."""
        self.description = f"in memory, everything in one process, for there is no real one. {reason}"
        self._errors = errors
        self._cluster = MemoryCluster()
        self._threads: dict[str, threading.Thread] = {}
        self._workers: dict[str, WorkerService] = {}

    def cluster(self) -> contextlib.AbstractContextManager[Cluster]:
        """Return the one cluster; leaving it closes nothing, for others use it."""
        return contextlib.nullcontext(self._cluster)

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start a program in the background; it ends with this process at the latest."""
        if module == "soundscene_worker":
            settings = read_settings(["--bootstrap-servers", "memory:1", *arguments], {})
            self._workers[name] = WorkerService(settings, self._cluster, EventLog(level="warning"))
            program = threading.Thread(target=self._workers[name].run, name=name, daemon=True)
        else:
            program = threading.Thread(target=self.run, args=(module, *arguments), name=name, daemon=True)
        self._threads[name] = program
        program.start()

    def run(self, module: str, *arguments: str) -> int:
        """Run a program to its end; return its exit status."""
        main = importlib.import_module(f"{module}.__main__").main
        return cast("int", main(list(arguments), connect=lambda _: self.cluster()))

    def has_ended(self, name: str) -> bool:
        """Tell whether a program has ended by itself."""
        return not self._threads[name].is_alive()

    def stop(self, name: str) -> None:
        """Let a worker end after its current turn; sensors end by themselves."""
        if name in self._workers:
            self._workers[name].stop()
            self._threads[name].join(20)
            self._workers[name].close()

    def stop_all(self) -> None:
        """End the workers; the threads of sensors end with this process."""
        for name in self._workers:
            self.stop(name)

    def complaint(self, name: str) -> str:
        """Return the end of what all programs have printed."""
        return self._errors.getvalue()[-2000:]


@contextlib.contextmanager
def open_stage() -> Iterator[Stage]:
    """Yield the best stage there is: the user's broker, one of our own, or memory; clean up after it."""
    with tempfile.TemporaryDirectory(prefix="soundscene-demo-") as folder, contextlib.ExitStack() as stack:
        servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        if not servers:
            try:
                servers = stack.enter_context(KafkaBroker()).bootstrap_servers
            except ServiceError as error:
                errors = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
                threads = ThreadStage(str(error), errors)
                stack.callback(threads.stop_all)
                yield threads
                return
        stage = ProcessStage(servers, Path(folder))
        stack.callback(stage.stop_all)
        yield stage
