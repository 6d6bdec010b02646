"""A real Prometheus that scrapes given targets, for tests: its data in a temporary folder, gone when stopped."""

import json
import shutil
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from scripts.processes import Child, ServiceError, free_port, require, spawn, stop

START_TIMEOUT_SECONDS = 30.0

CONFIGURATION = """\
global:
  scrape_interval: {interval}
  scrape_timeout: {interval}
  evaluation_interval: {interval}
rule_files: {rules}
scrape_configs:
  - job_name: soundscene-worker
    static_configs:
      - targets: {targets}
"""


class PrometheusServer:
    """Debian's Prometheus with one job, `soundscene-worker`; a context manager."""

    def __init__(self, targets: Sequence[str], *, rules: Sequence[Path] = (), scrape_interval: str = "1s") -> None:
        """Take the `host:port` of each target and files of rules to evaluate."""
        self.port = free_port()
        self._configuration = CONFIGURATION.format(
            interval=scrape_interval,
            rules=json.dumps([str(path.resolve()) for path in rules]),
            targets=json.dumps(list(targets)),
        )
        self._folder: Path | None = None
        self._child: Child | None = None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate a PromQL expression now and return its samples or series.

        Raises:
            ServiceError: Prometheus refuses the expression; the message carries its reason.
        """
        address = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(address, timeout=10) as reply:
                result: list[dict[str, Any]] = json.load(reply)["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise ServiceError(f"Prometheus refuses {expression!r}: {error.read().decode()}") from None
        return result

    def wait_for(self, expression: str, *, timeout_seconds: float = 30.0) -> list[dict[str, Any]]:
        """Return the result of `expression` as soon as it is not empty.

        Raises:
            TimeoutError: it stayed empty.
        """
        deadline = time.monotonic() + timeout_seconds
        while not (result := self.query(expression)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expression} gave nothing within {timeout_seconds:g} s")
            time.sleep(0.2)
        return result

    def start(self) -> None:
        """Start Prometheus and return when it serves queries.

        Raises:
            ServiceError: it is not installed or did not come up; the message ends with its log.
        """
        program = require("prometheus", needed_for="A scrape", debian_package="prometheus")
        self._folder = Path(tempfile.mkdtemp(prefix="soundscene-prometheus-"))
        configuration = self._folder / "prometheus.yml"
        configuration.write_text(self._configuration)
        options = [
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        log = self._folder / "prometheus.log"
        with log.open("wb") as output:
            self._child = spawn([program, *options], output=output)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._ready():
            if self._child.poll() is not None or time.monotonic() > deadline:
                message = f"Prometheus did not come up:\n{log.read_text()[-4000:]}"
                self.stop()
                raise ServiceError(message)
            time.sleep(0.05)

    def stop(self) -> None:
        """End Prometheus and remove its data."""
        if self._child is not None:
            stop(self._child)
            self._child = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> "PrometheusServer":
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop and clean up."""
        self.stop()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                return True
        except OSError:  # not listening yet, or 503 while it starts
            return False
