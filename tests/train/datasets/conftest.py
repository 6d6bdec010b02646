"""Data sets that are fetched."""

import threading
from collections.abc import Iterator

import pytest

from soundscene_train.datasets import download
from tests.train.datasets.loopback import CONTENT, Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "_BLOCK_BYTES", 10_000)
    served = Server()
    served.files["sound.zip"] = CONTENT
    thread = threading.Thread(target=served.http.serve_forever)
    thread.start()
    yield served
    served.http.shutdown()
    served.http.server_close()
    thread.join()
