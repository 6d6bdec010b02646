"""The server tells what is, and no client can hold it up or bring it down."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter

import soundscene_worker.health
from soundscene.errors import SettingsError
from soundscene_worker.health import About, Checks, HealthServer
from soundscene_worker.http_server import Protection

ABOUT = About("soundscene worker", "0", str)


class State:
    """What the checks look at."""

    loop = True
    broker = True


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def server(state: State) -> Iterator[HealthServer]:
    registry = CollectorRegistry()
    Counter("soundscene_test", "A count.", registry=registry).inc()
    checks = Checks(
        live={"loop": lambda: state.loop}, ready={"loop": lambda: state.loop, "broker": lambda: state.broker}
    )
    with HealthServer(
        "127.0.0.1", 0, registry, checks, About("soundscene worker", "0.1.0", lambda: "dog & rain")
    ) as server:
        yield server


def get(server: HealthServer, path: str, accept: str = "*/*", method: str = "GET") -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path, headers={"Accept": accept})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_an_outage_of_the_broker_fails_readiness_only(server: HealthServer, state: State) -> None:
    """Restarting a worker does not bring a broker back: it stays alive and says which check fails."""
    assert [get(server, path)[0].status for path in ("/live", "/ready")] == [200, 200]
    state.broker = False
    assert [get(server, path)[0].status for path in ("/live", "/ready")] == [200, 503]
    assert json.loads(get(server, "/ready")[1]) == {"status": "failing", "checks": {"loop": True, "broker": False}}


def test_a_stuck_loop_is_not_alive(server: HealthServer, state: State) -> None:
    """When the loop stops turning, liveness fails."""
    state.loop = False
    assert get(server, "/live")[0].status == 503


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=no.version", "text/plain"),
        ("," * 10_000, "text/plain"),
    ],
)
def test_metrics_speak_the_format_that_is_asked_for(server: HealthServer, accept: str, expected: str) -> None:
    """Prometheus' text and OpenMetrics are negotiated; a senseless request gets the text."""
    response, body = get(server, "/metrics", accept)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith(expected)
    assert b"soundscene_test_total 1.0" in body


def test_the_front_page_offers_the_source(server: HealthServer) -> None:
    """Everybody who can reach the worker is offered its source, as its licence demands, with what was changed in it."""
    _, page = get(server, "/")
    assert b"soundscene worker 0.1.0" in page
    assert b"dog &amp; rain" in page
    assert b'href="/source.tar.gz"' in page
    _, archive = get(server, "/source.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
        mine = tar.extractfile("soundscene_worker/health.py")
        assert mine is not None
        assert mine.read() == Path(soundscene_worker.health.__file__).read_bytes()
    assert "soundscene/windows.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_an_operator_may_point_to_the_source() -> None:
    """A source_url takes the place of the archive."""
    about = About("soundscene worker", "0.1.0", lambda: "dog", source_url="https://example.org/?a=1&b=2")
    with HealthServer("127.0.0.1", 0, CollectorRegistry(), Checks({}, {}), about) as server:
        assert b'href="https://example.org/?a=1&amp;b=2"' in get(server, "/")[1]


def test_other_paths_and_methods_are_refused(server: HealthServer) -> None:
    """An unknown path names the known ones; nothing can be written; HEAD has no body."""
    response, body = get(server, "/../../etc/passwd")
    assert response.status == 404
    assert b"/metrics" in body
    assert get(server, "/metrics", method="POST")[0].status == 501
    response, body = get(server, "/metrics?x=1", method="HEAD")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


def test_scrapes_side_by_side_are_all_answered(server: HealthServer) -> None:
    """As many requests at once as there are places all get the whole page."""
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(get(server, "/metrics")[1])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 6
    assert len(set(bodies)) == 1


def test_a_password_guards_all_but_the_probes(state: State) -> None:
    """Metrics name every device and ask for the password; who restarts processes needs none."""
    checks = Checks({"loop": lambda: True}, {"loop": lambda: True})
    guarded = Protection(password="hunter2")
    with HealthServer("127.0.0.1", 0, CollectorRegistry(), checks, ABOUT, protection=guarded) as server:
        statuses = {
            path: get(server, path)[0].status for path in ("/", "/metrics", "/source.tar.gz", "/x", "/live", "/ready")
        }
    assert statuses == {"/": 401, "/metrics": 401, "/source.tar.gz": 401, "/x": 401, "/live": 200, "/ready": 200}


def test_an_address_in_use_is_named(server: HealthServer) -> None:
    """The message says which address and what to change."""
    address = urlsplit(server.url)
    with pytest.raises(SettingsError, match=f"127.0.0.1:{address.port}.*choose another"):
        HealthServer("127.0.0.1", address.port or 0, CollectorRegistry(), Checks({}, {}), ABOUT)


def test_closing_twice_is_harmless_and_frees_the_port() -> None:
    """After closing, nobody answers and the port can be taken again."""
    first = HealthServer("127.0.0.1", 0, CollectorRegistry(), Checks({}, {}), ABOUT)
    port = urlsplit(first.url).port or 0
    first.close()
    first.close()
    with HealthServer("127.0.0.1", port, CollectorRegistry(), Checks({}, {}), ABOUT) as second:
        assert get(second, "/live")[0].status == 200
