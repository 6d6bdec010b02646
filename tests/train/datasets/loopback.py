"""A server of archives that behaves as badly as it is told to."""

import hashlib
import io
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from soundscene_train.datasets.download import Archive

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server:
    """Files on the loopback, and how badly they are served."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_after: list[int] = []  # bytes of the body until the connection breaks, one for each answer to come
        self.statuses: list[int] = []  # answered first, one by one
        self.knows_ranges = True
        self.tells_length = True
        self.asked: list[str] = []  # the Range of each request
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        content = self.files.get(request.path.rpartition("/")[2])
        if self.statuses or content is None:
            request.send_error(self.statuses.pop(0) if self.statuses else 404)
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.knows_ranges else 0
        if first >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if first else 200)
        if self.tells_length:
            request.send_header("Content-Length", str(len(content) - first))
        request.end_headers()
        body = content[first:]
        request.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)
        request.close_connection = True


def describe(content: bytes, name: str = "sound.zip") -> Archive:
    return Archive(name, len(content), hashlib.md5(content, usedforsecurity=False).hexdigest())


def pack(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
