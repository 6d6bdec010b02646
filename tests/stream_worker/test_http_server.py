"""No client can hold the server up, bring it down, or see what it should not."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scripts.certificates import Authority, Pair
from scripts.processes import ServiceError
from scripts.pytest_services import unavailable
from soundscene.errors import SettingsError
from soundscene_worker import http_server
from soundscene_worker.http_server import HttpServer, Page, Protection

Serve = Callable[..., HttpServer]
PATIENCE_SECONDS = 20.0


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Function of a protection that starts a server with one page, `/page`, and one open page, `/open`."""
    servers = []

    def start(protection: Protection | None = None) -> HttpServer:
        find = lambda path, accept: Page(f"{path} {accept}".encode(), "text/plain")  # noqa: E731
        servers.append(HttpServer("127.0.0.1", 0, find, protection or Protection(), ["/open"]))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    try:
        return Authority(tmp_path_factory.mktemp("authority"), "authority")
    except ServiceError as error:
        unavailable(error)


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


def connect(server: HttpServer) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname or "", address.port or 0), PATIENCE_SECONDS)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server has closed; a reset ends it too."""
    received = b""
    with connection:
        try:
            while data := connection.recv(4096):
                received += data
        except ConnectionError:
            pass
    return received


def exchange(server: HttpServer, request: bytes) -> bytes:
    """Send raw bytes and return all that comes back."""
    connection = connect(server)
    connection.sendall(request)
    return read_all(connection)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /page HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /" + b"x" * 2100 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /page HTTP/1.1\r\nA: " + b"x" * 15_000 + b"\r\n\r\n", b"200"),
        (b"GET /page HTTP/1.1\r\nA: " + b"x" * 17_000 + b"\r\n\r\n", b"431"),
        (b"GET /page HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /page HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"413"),
        (b"GET /page HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"413"),
        (b"DELETE /page HTTP/1.1\r\n\r\n", b"501"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    ],
)
def test_a_request_is_small_and_without_a_body(serve: Serve, request_bytes: bytes, status: bytes) -> None:
    """What exceeds a limit is answered by the status made for it, and never more than that."""
    received = exchange(serve(), request_bytes)
    assert (b" 200 " if status == b"200" else b"Error code: " + status) in received
    assert len(received) < 3000


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("pause", [0.05, None])
def test_a_slow_client_is_cut_off(
    serve: Serve, pair: Pair, monkeypatch: pytest.MonkeyPatch, is_tls: bool, pause: float | None
) -> None:
    """A byte now and then, or none at all, keeps a place for the time limit, before and after the TLS handshake."""
    monkeypatch.setattr(http_server._Server, "connection_seconds", 0.4)
    server = serve(Protection(pair.certificate, pair.key) if is_tls else None)
    connection = connect(server)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if pause is None:
                assert connection.recv(1) == b""
                break
            connection.sendall(b"G")
            time.sleep(pause)
        except ConnectionError:
            break
        assert time.monotonic() < deadline, "still served"
    connection.close()


def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody takes ends with the time limit too, and its place is free again."""
    monkeypatch.setattr(http_server._Server, "connection_seconds", 0.4)
    before = threading.active_count()
    server = HttpServer("127.0.0.1", 0, lambda *_: Page(bytes(50_000_000), "text/plain"), Protection())
    greedy = [connect(server) for _ in range(8)]
    for connection in greedy:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while threading.active_count() > before + 1:
        assert time.monotonic() < deadline, "still serving"
        time.sleep(0.05)
    for connection in greedy:
        assert len(read_all(connection)) < 50_000_000
    server.close()


@pytest.mark.parametrize("is_tls", [False, True])
def test_idle_connections_make_room(
    serve: Serve, authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch, is_tls: bool
) -> None:
    """Whatever number of clients says nothing, one that asks is answered long before they are cut off."""
    monkeypatch.setattr(http_server._Server, "connection_seconds", 10 * PATIENCE_SECONDS)
    server = serve(Protection(pair.certificate, pair.key) if is_tls else None)
    before = threading.active_count()
    idle = [connect(server) for _ in range(40)]
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    where = urlsplit(server.url).netloc
    asking = HTTPSConnection(where, context=trusting) if is_tls else HTTPConnection(where)
    asking.timeout = PATIENCE_SECONDS
    asking.request("GET", "/page")
    assert asking.getresponse().read() == b"/page "
    assert threading.active_count() <= before + http_server._CONNECTIONS
    asking.close()
    for connection in idle:
        connection.close()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        ("Basic", 401),
        ("Basic !!!", 401),
        ("Bearer dTpw", 401),
        ("Basic " + base64.b64encode(b"mic:wrong").decode(), 401),
        ("Basic " + base64.b64encode(b"other:p:w\xc3\xb6rd").decode(), 401),
        ("basic " + base64.b64encode(b"mic:p:w\xc3\xb6rd").decode(), 200),
    ],
)
def test_a_password_is_asked_for(serve: Serve, authorization: str | None, status: int) -> None:
    """Only the right name with the right password sees a page; the open one is seen by all."""
    server = serve(Protection(username="mic", password="p:wörd"))
    headers = {} if authorization is None else {"Authorization": authorization}
    for path, expected in (("/page", status), ("/open", 200), ("/open?x", 200), ("/open/../page", status)):
        connection = HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_SECONDS)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == expected
        assert (b"/page" in body) == (response.status == 200 and "page" in path)
        assert ("Basic realm" in response.headers.get("WWW-Authenticate", "")) == (expected == 401)
        connection.close()


def test_tls_is_spoken(serve: Serve, authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """Who trusts the authority is served; who does not, or speaks plainly, learns nothing."""
    server = serve(Protection(pair.certificate, pair.key))
    assert server.url.startswith("https://")
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    connection = HTTPSConnection(urlsplit(server.url).netloc, timeout=PATIENCE_SECONDS, context=trusting)
    connection.request("GET", "/page")
    assert connection.getresponse().read() == b"/page "
    connection.close()
    stranger = ssl.create_default_context(cafile=str(Authority(tmp_path, "stranger").certificate))
    connection = HTTPSConnection(urlsplit(server.url).netloc, timeout=PATIENCE_SECONDS, context=stranger)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/page")
    connection.close()
    assert b"page" not in exchange(server, b"GET /page HTTP/1.1\r\n\r\n")


def test_what_cannot_protect_is_refused(pair: Pair, tmp_path: Path) -> None:
    """A certificate without its key, a key that is none, a name that basic authentication cannot send."""
    with pytest.raises(SettingsError, match="go together"):
        Protection(certificate_file=pair.certificate)
    with pytest.raises(SettingsError, match=f"cannot serve TLS with .*{tmp_path}/nowhere"):
        Protection(pair.certificate, tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="expected a certificate and its key as PEM"):
        Protection(pair.key, pair.key)
    with pytest.raises(SettingsError, match="colon"):
        Protection(username="a:b")
    assert "hunter2" not in repr(Protection(password="hunter2"))
