"""What is served beside the loop: metrics, liveness, readiness, and the program's own source."""

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
from pathlib import Path
from typing import Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from soundscene_worker.http_server import HttpServer, Page, Protection

__all__ = ["About", "Checks", "HealthServer", "source_archive"]

_OPEN_PATHS: Final = ("/live", "/ready")
_PACKAGES: Final = ("soundscene", "soundscene_worker")

Check = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class About:
    """What the front page says.

    Parameters
    ----------
    program, version : str
        What answers here.
    knows : callable
        Returns what it can tell now; called from the server's threads.
    source_url : str or None
        Where the source of exactly this program is; None: this server hands it out itself.
    """

    program: str
    version: str
    knows: Callable[[], str]
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
    protection : Protection
        TLS and a password. `/live` and `/ready` ask for none: they tell no secret, and whoever restarts processes
        needs them.

    Raises
    ------
    SettingsError
        The address cannot be used.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> checks = Checks(live={"loop": lambda: True}, ready={"broker": lambda: True})
    >>> about = About("soundscene worker", "0.1.0", lambda: "ten sounds")
    >>> with HealthServer("127.0.0.1", 0, CollectorRegistry(), checks, about) as server:
    ...     urlopen(f"{server.url}/ready").read()
    b'{"status": "ok", "checks": {"broker": true}}\n'
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        checks: Checks,
        about: About,
        *,
        protection: Protection | None = None,
    ) -> None:
        pages = _Pages(registry, checks, about)
        self._server = HttpServer(host, port, pages.find, protection or Protection(), _OPEN_PATHS)

    @property
    def url(self) -> str:
        """Where it really listens."""
        return self._server.url

    def close(self) -> None:
        """Stop listening. May be called twice."""
        self._server.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class _Pages:
    """What is found at each path."""

    def __init__(self, registry: CollectorRegistry, checks: Checks, about: About) -> None:
        self._registry = registry
        self._about = about
        self._scrape = threading.Lock()  # one at a time: each costs time the loop could use
        self._paths: dict[str, Callable[[str], Page]] = {
            "/": lambda _: self._front(),
            "/metrics": self._metrics,
            "/live": lambda _: _verdict(checks.live),
            "/ready": lambda _: _verdict(checks.ready),
            "/source.tar.gz": lambda _: Page(source_archive(), "application/gzip"),
        }

    def find(self, path: str, accept: str) -> Page:
        page = self._paths.get(path)
        if page is None:
            return Page(b"there is / /metrics /live /ready /source.tar.gz\n", "text/plain", HTTPStatus.NOT_FOUND)
        return page(accept)

    def _metrics(self, accept: str) -> Page:
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no version
            encoder, content_type = choose_encoder("")
        with self._scrape:
            return Page(encoder(self._registry), content_type)

    def _front(self) -> Page:
        about = self._about
        program, version, knows = map(html.escape, (about.program, about.version, about.knows()))
        source = html.escape(about.source_url or "/source.tar.gz")
        links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in ("/metrics", "/live", "/ready"))
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{program}</title>'
            f"<h1>{program} {version}</h1><p>{knows}</p>"
            f"<ul>{links}</ul>"
            f'<p>Free software under the AGPL-3.0-or-later: <a href="{source}">its source</a>.</p></html>\n'
        )
        return Page(page.encode(), "text/html; charset=utf-8")


def _verdict(checks: Mapping[str, Check]) -> Page:
    results = {name: check() for name, check in checks.items()}
    well = all(results.values())
    body = json.dumps({"status": "ok" if well else "failing", "checks": results}) + "\n"
    return Page(body.encode(), "application/json", HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)


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
