"""What a bad line does, for kernels that cannot: a TCP proxy that delays, trickles, or swallows all and says nothing.

It stands between nodes: each node dials its peers through a listener on its own host.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.namespaces import Host

CHUNK: Final = 16 * 1024
HELD_BYTES_MAX: Final = 1024 * 1024  # in one direction; then the proxy reads no further, as a full line would not


@dataclass(frozen=True)
class Weather:
    """How a line behaves, in each direction."""

    delay_s: float = 0.0
    jitter_s: float = 0.0  # added to the delay, evenly distributed; the order is kept
    bytes_per_s: float = 0.0  # 0: no bound
    swallows: bool = False  # all bytes, and the end of a connection: half-open


FAIR: Final = Weather()


class Line:
    """From a listener on one host to an address; its weather may change at any time, also for open connections."""

    def __init__(self, source: Host, target: tuple[str, int], seed: int) -> None:
        """`source` is the host of the node that dials."""
        self.weather = FAIR
        self._source: Final = source
        self._target: Final = target
        self._chance: Final = random.Random(seed)
        with source.inside():
            self._socket: Final = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._socket.getsockname()[1]
        self._connections: Final[set[asyncio.Task[None]]] = set()

    async def open(self) -> None:
        """Accept from now on."""
        self._server = await asyncio.start_server(self._accepted, sock=self._socket)

    async def close(self) -> None:
        """Accept no more, and end all connections."""
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._carry(reader, writer)
        self._connections.discard(task)
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._source.inside():
            connection = socket.socket()
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, self._target)
        except BaseException:
            connection.close()
            raise
        onward, back = await asyncio.open_connection(sock=connection)
        for each in (writer, back):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, back))
                both.create_task(self._pump(onward, writer))
        except* OSError:
            pass
        finally:
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its end; what was read waits in a queue for its time."""
        loop = asyncio.get_running_loop()
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_BYTES_MAX // CHUNK)
        sender = asyncio.create_task(self._send(held, writer))
        due = 0.0
        try:
            while not sender.done():
                data = await reader.read(CHUNK)
                weather = self.weather
                if weather.swallows:
                    if not data:
                        await asyncio.Event().wait()  # nobody is told
                    continue
                delay_s = weather.delay_s + self._chance.uniform(0.0, weather.jitter_s)
                due = max(due, loop.time() + delay_s)
                if weather.bytes_per_s:
                    due += len(data) / weather.bytes_per_s
                await held.put((due, data))
                if not data:
                    break
            await sender
        finally:
            sender.cancel()

    async def _send(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await held.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if self.weather.swallows:
                continue
            if not data:
                raise ConnectionResetError  # one direction has ended: so does the other
            writer.write(data)
            await writer.drain()


class Proxy:
    """All lines of a cluster, in a thread of its own. Use as a context manager."""

    def __init__(self) -> None:
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.lines: Final[dict[tuple[str, str], Line]] = {}  # (dials, is dialled) -> line
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self.lines.values():
            self._run(line.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add(self, pair: tuple[str, str], source: Host, target: tuple[str, int]) -> Line:
        """A line from a host to an address."""
        line = self.lines[pair] = Line(source, target, seed=len(self.lines))
        self._run(line.open())
        return line

    def set(self, weather: Weather, *names: str) -> None:
        """Let all lines between these nodes (none: all nodes) have this weather."""
        for pair, line in self.lines.items():
            if not names or set(pair) <= set(names):
                line.weather = weather

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
