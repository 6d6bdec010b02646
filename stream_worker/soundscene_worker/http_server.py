"""A small HTTP server for pages that are made at once, with limits on what a client may cost.

It has threads of its own; a slow or hostile client can hold up at most itself.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Final

from typing_extensions import override

from soundscene.errors import SettingsError

__all__ = ["HttpServer", "Page", "Protection"]

_CONNECTION_SECONDS: Final = 5.0
"""From a connection's begin to its end: a scrape usually times out after 10 s."""
_CONNECTIONS: Final = 8
_LINE_BYTES: Final = 2048
_HEADER_BYTES: Final = 16_384
_ROOM_SECONDS: Final = 0.2

_BASIC: Final = 'Basic realm="soundscene", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    body: bytes
    content_type: str
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Protection:
    """TLS and a password, each if wanted.

    Parameters
    ----------
    certificate_file, key_file : Path or None
        PEM files, the key without a password; with them only TLS 1.2 and later is spoken.
    username : str
        Asked for with the password; without a colon.
    password : str or None
        Asked for by HTTP basic authentication, for all pages that are not open.

    Raises
    ------
    SettingsError
        One of the two files is missing or cannot be used, or the user's name holds a colon.
    """

    certificate_file: Path | None = None
    key_file: Path | None = None
    username: str = "soundscene"
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that it can be used."""
        if (self.certificate_file is None) != (self.key_file is None):
            raise SettingsError("http_certificate_file and http_key_file go together; only one is given")
        if ":" in self.username:
            raise SettingsError("http_username must not hold a colon")
        self.tls()

    def tls(self) -> ssl.SSLContext | None:
        """Return the server's side of TLS; None without a certificate."""
        if self.certificate_file is None or self.key_file is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # OpenSSL would ask for the password of a key at the terminal.
            context.load_cert_chain(self.certificate_file, self.key_file, password="")
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"cannot serve TLS with {self.certificate_file} and {self.key_file}: {error}; "
                "expected a certificate and its key as PEM, the key without a password"
            ) from None
        return context

    def admits(self, authorization: str) -> bool:
        """Tell whether a request with this header may see what is not open. Takes equally long for all wrong ones."""
        if self.password is None:
            return True
        expected = base64.b64encode(f"{self.username}:{self.password}".encode())
        scheme, _, given = authorization.partition(" ")
        return hmac.compare_digest(given.strip().encode(), expected) and scheme.lower() == "basic"


_UNAUTHORIZED: Final = Page(b"expected a user's name and a password\n", "text/plain", HTTPStatus.UNAUTHORIZED)


class HttpServer:
    """Serves pages from its construction until `close`.

    A connection takes one request without a body, and lives for at most 5 s. At most 8 are open at once: for another
    one the oldest that is still sending its request makes room.

    Parameters
    ----------
    host, port : str, int
        Where; port 0 picks a free one.
    find : callable
        Of a path and the `Accept` header; returns the page. Called from the server's threads.
    protection : Protection
        Who may see it.
    open_paths : collection of str
        What needs no password.

    Raises
    ------
    SettingsError
        The address cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        find: Callable[[str, str], Page],
        protection: Protection,
        open_paths: Collection[str] = (),
    ) -> None:
        self._tls = protection.tls()

        def answer(path: str, accept: str, authorization: str) -> Page:
            return find(path, accept) if path in open_paths or protection.admits(authorization) else _UNAUTHORIZED

        try:
            self._server = _Server((host, port), functools.partial(_Handler, answer), self._tls)
        except (OSError, OverflowError) as error:
            raise SettingsError(f"cannot listen at {host}:{port}: {error}; choose another http_host or port") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it really listens."""
        host, port = self._server.server_address[:2]
        return f"{'https' if self._tls else 'http'}://{host!s}:{port}"

    def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Answers a few connections at once, and ends those that last too long, whatever they are doing."""

    daemon_threads = True
    request_queue_size = 64
    block_on_close = False
    connection_seconds = _CONNECTION_SECONDS

    def __init__(self, address: tuple[str, int], handler: Any, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._lock = threading.Lock()  # guards the next two, and that nothing in them is closed meanwhile
        self._ends_at: dict[socket.socket, float] = {}  # oldest first
        self._asking: set[socket.socket] = set()
        super().__init__(address, handler)

    @override
    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(self.connection_seconds)
        if self._tls is not None:  # the handshake is part of the first reading, on the connection's own thread
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self._end(self._oldest_asking())
            if not self._places.acquire(timeout=_ROOM_SECONDS):
                self.shutdown_request(request)
                return
        with self._lock:
            self._ends_at[request] = time.monotonic() + self.connection_seconds
            self._asking.add(request)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._places.release()
            raise

    def asked(self, request: Any) -> None:
        """Take note that a request is complete: its answer makes room for nobody."""
        with self._lock:
            self._asking.discard(request)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._ends_at.pop(request, None)
            self._asking.discard(request)
        super().shutdown_request(request)

    @override
    def service_actions(self) -> None:
        now = time.monotonic()
        with self._lock:
            overdue = [connection for connection, ends_at in self._ends_at.items() if ends_at < now]
        self._end(overdue)

    def _oldest_asking(self) -> list[socket.socket]:
        with self._lock:
            return [connection for connection in self._ends_at if connection in self._asking][:1]

    def _end(self, connections: list[socket.socket]) -> None:
        """Let the threads of connections find them closed."""
        with self._lock:
            for connection in connections:
                if connection in self._ends_at:
                    with contextlib.suppress(
                        OSError
                    ):  # not SSLSocket's own, after which the thread would speak plainly
                        socket.socket.shutdown(connection, socket.SHUT_RDWR)
                    self._asking.discard(connection)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is no event."""


class _Handler(BaseHTTPRequestHandler):
    """One request, one answer, and the connection is closed."""

    server: _Server
    server_version = "soundscene"
    sys_version = ""

    def __init__(self, answer: Callable[[str, str, str], Page], *arguments: Any) -> None:
        self._answer = answer
        super().__init__(*arguments)

    @override
    def parse_request(self) -> bool:
        line: bytes = self.raw_requestline  # type: ignore[attr-defined]  # http.server sets it
        if len(line) > _LINE_BYTES:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return False
        everything, self.rfile = self.rfile, _Limited(self.rfile, _HEADER_BYTES)  # type: ignore[assignment]
        try:
            is_request = super().parse_request()
        finally:
            self.rfile = everything
        if is_request and (self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers):
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, explain="A request must have no body.")
            return False
        self.server.asked(self.connection)
        return is_request

    def do_GET(self) -> None:
        """Answer."""
        path, _, _ = self.path.partition("?")
        page = self._answer(path, self.headers.get("Accept", ""), self.headers.get("Authorization", ""))
        self.send_response(page.status)
        if page.status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", _BASIC)
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


class _Limited:
    """The lines of a stream, as far as their bytes go."""

    def __init__(self, stream: BinaryIO | Any, most_bytes: int) -> None:
        self._stream, self._left = stream, most_bytes

    def readline(self, size: int) -> bytes:
        """Return a line; HTTPException, which http.server answers, when there were too many bytes."""
        line: bytes = self._stream.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise HTTPException(f"at most {_HEADER_BYTES} bytes are taken")
        return line
