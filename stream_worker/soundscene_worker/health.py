"""A small HTTP server beside the loop: metrics, liveness, readiness, and the program's own source.

It has threads of its own and only reads; a slow or hostile client can hold up at most itself.
"""

from __future__ import annotations

import functools
import html
import io
import json
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from typing_extensions import override

from soundscene.errors import SettingsError

__all__ = ["About", "Checks", "HealthServer", "source_archive"]

_REQUEST_SECONDS: Final = 5.0  # to send a request or take an answer; a scrape usually times out after 10 s
_CONCURRENT_REQUESTS: Final = 8
_PACKAGES: Final = ("soundscene", "soundscene_worker")

Check = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class About:
    """What the front page says.

    Parameters
    ----------
    version : str
        Of the program.
    bundle : str
        What the worker can tell apart.
    source_url : str or None
        Where the source of exactly this program is; None: this server hands it out itself.
    """

    version: str
    bundle: str
    source_url: str | None = None


@dataclass(frozen=True, slots=True)
class Checks:
    """What must hold, by name. Called from the server's threads: must not block.

    Parameters
    ----------
    live : mapping of str to callable
        When one fails the process should be restarted. An outage of the broker must not be among them.
    ready : mapping of str to callable
        When one fails the worker does no work at the moment.
    """

    live: Mapping[str, Check]
    ready: Mapping[str, Check]


class HealthServer:
    r"""Serves `/`, `/metrics`, `/live`, `/ready` and `/source.tar.gz` from its construction until `close`.

    Parameters
    ----------
    host : str
        Loopback unless told otherwise: metrics name every device.
    port : int
        0 picks a free one.
    registry : CollectorRegistry
        The metrics.
    checks : Checks
        What `/live` and `/ready` answer.
    about : About
        The front page.

    Raises
    ------
    SettingsError
        The address cannot be used.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> checks = Checks(live={"loop": lambda: True}, ready={"broker": lambda: True})
    >>> with HealthServer("127.0.0.1", 0, CollectorRegistry(), checks, About("0.1.0", "ten sounds")) as server:
    ...     urlopen(f"{server.url}/ready").read()
    b'{"status": "ok", "checks": {"broker": true}}\n'
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, checks: Checks, about: About) -> None:
        pages = _Pages(registry, checks, about)
        try:
            self._server = _Server((host, port), functools.partial(_Handler, pages))
        except (OSError, OverflowError) as error:
            raise SettingsError(f"cannot listen at {host}:{port}: {error}; choose another http_host or port") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it really listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


@dataclass(frozen=True, slots=True)
class _Page:
    body: bytes
    content_type: str
    status: HTTPStatus = HTTPStatus.OK


class _Pages:
    """What is found at each path."""

    def __init__(self, registry: CollectorRegistry, checks: Checks, about: About) -> None:
        self._registry = registry
        self._about = about
        self._scrape = threading.Lock()  # one at a time: each costs time the loop could use
        self._paths: dict[str, Callable[[str], _Page]] = {
            "/": lambda _: self._front(),
            "/metrics": self._metrics,
            "/live": lambda _: _verdict(checks.live),
            "/ready": lambda _: _verdict(checks.ready),
            "/source.tar.gz": lambda _: _Page(source_archive(), "application/gzip"),
        }

    def find(self, path: str, accept: str) -> _Page:
        page = self._paths.get(path.partition("?")[0])
        if page is None:
            return _Page(b"there is / /metrics /live /ready /source.tar.gz\n", "text/plain", HTTPStatus.NOT_FOUND)
        return page(accept)

    def _metrics(self, accept: str) -> _Page:
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no version
            encoder, content_type = choose_encoder("")
        with self._scrape:
            return _Page(encoder(self._registry), content_type)

    def _front(self) -> _Page:
        source = html.escape(self._about.source_url or "/source.tar.gz")
        links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in ("/metrics", "/live", "/ready"))
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>soundscene worker</title>'
            f"<h1>soundscene worker {html.escape(self._about.version)}</h1><p>{html.escape(self._about.bundle)}</p>"
            f"<ul>{links}</ul>"
            f'<p>Free software under the AGPL-3.0-or-later: <a href="{source}">its source</a>.</p></html>\n'
        )
        return _Page(page.encode(), "text/html; charset=utf-8")


def _verdict(checks: Mapping[str, Check]) -> _Page:
    results = {name: check() for name, check in checks.items()}
    well = all(results.values())
    body = json.dumps({"status": "ok" if well else "failing", "checks": results}) + "\n"
    return _Page(body.encode(), "application/json", HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)


@functools.cache
def source_archive() -> bytes:
    """Return the source of the running program, changes included, as a gzip-compressed tar file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in _PACKAGES:
            folder = Path(str(__import__(name).__file__)).parent
            for file in sorted(folder.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    tar.add(file, f"{name}/{file.relative_to(folder)}")
    return archive.getvalue()


class _Server(ThreadingHTTPServer):
    """Answers a few requests at once and turns the others away."""

    daemon_threads = True
    request_queue_size = 64
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self._places = threading.BoundedSemaphore(_CONCURRENT_REQUESTS)
        super().__init__(address, handler)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is no event."""


class _Handler(BaseHTTPRequestHandler):
    """One request, one answer, and the connection is closed."""

    timeout = _REQUEST_SECONDS
    server_version = "soundscene"
    sys_version = ""

    def __init__(self, pages: _Pages, *arguments: Any) -> None:
        self._pages = pages
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer."""
        page = self._pages.find(self.path, self.headers.get("Accept", ""))
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - http.server finds it by this name

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Leave the log to events."""
