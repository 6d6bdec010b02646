"""The Prometheus that tests scrape with."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from scripts.processes import ServiceError
from scripts.prometheus_server import PrometheusServer

pytestmark = pytest.mark.integration


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"answer 42\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def target() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_scraped_value_can_be_queried(target: str, prometheus_installed: None) -> None:
    """A metric on a page comes back from a query within seconds, and a wrong expression is refused with a reason."""
    with PrometheusServer([target]) as server:
        assert server.wait_for("answer")[0]["value"][1] == "42"
        with pytest.raises(ServiceError, match="parse error"):
            server.query("answer{")
        with pytest.raises(TimeoutError, match="no_such_metric"):
            server.wait_for("no_such_metric", timeout_seconds=0.3)
