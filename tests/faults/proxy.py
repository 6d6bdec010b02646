"""A TCP proxy that spoils connections: cuts, delays, throttles them, or leaves them half-open."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from scripts.processes import free_port

_BLOCK_BYTES = 16_384
_TICK_SECONDS = 1e-6


class Proxy:
    """Passes bytes between its own port and another of the loopback interface; a context manager.

    Parameters
    ----------
    upstream_port : int
        Who is served.

    Attributes
    ----------
    port : int
        Where clients connect.
    delay_seconds : float >= 0
        How much later bytes arrive, in each direction.
    bytes_per_second : float > 0
        Most that each direction of each connection carries.
    """

    def __init__(self, upstream_port: int) -> None:
        self.port = free_port()
        self.delay_seconds = 0.0
        self.bytes_per_second = float("inf")
        self._upstream_port = upstream_port
        self._is_refusing = False
        self._is_silent = False
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @property
    def connections(self) -> int:
        """How many connections are open, half-open ones too."""
        return len(self._links)

    def cut(self) -> None:
        """Close every connection and refuse new ones until `heal`."""
        self._is_refusing = True
        self._call(self._close_links)

    def silence(self) -> None:
        """Swallow every byte of every connection, present and to come, until `heal`; nobody is told."""
        self._is_silent = True
        self.strand()

    def strand(self) -> None:
        """Make the present connections half-open for ever, as a router that forgot them would; new ones work."""
        self._call(self._strand_links)

    def heal(self) -> None:
        """Serve new connections well again; stranded ones stay so."""
        self.delay_seconds, self.bytes_per_second = 0.0, float("inf")
        self._is_refusing = self._is_silent = False

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close everything."""
        self._server.close()
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call(self, work: Callable[[], None]) -> None:
        async def do() -> None:
            work()

        self._run(do())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_links(self) -> None:
        for link in self._links:
            link.close()

    def _strand_links(self) -> None:
        for link in self._links:
            link.is_stranded = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            writer.close()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.close()
            return
        link = _Link(writer, up_writer, self._is_silent)
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(link, reader, up_writer), self._pump(link, up_reader, writer))
        except asyncio.CancelledError:  # the proxy ends; asyncio would report it as an error
            pass
        finally:
            link.close()
            self._links.discard(link)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due = 0.0

        def deliver(data: bytes) -> None:
            if not link.is_stranded:
                writer.write(data)

        with contextlib.suppress(OSError):
            while data := await reader.read(_BLOCK_BYTES):
                await asyncio.sleep(len(data) / self.bytes_per_second)
                due = max(due + _TICK_SECONDS, self._loop.time() + self.delay_seconds)  # later, but in order
                self._loop.call_at(due, deliver, data)
                await writer.drain()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
        if not link.is_stranded:
            link.close()


class _Link:
    """One connection and its continuation."""

    def __init__(self, client: asyncio.StreamWriter, upstream: asyncio.StreamWriter, is_stranded: bool) -> None:
        self.is_stranded = is_stranded
        self._writers = (client, upstream)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
