"""A balancer of TCP connections: a port of this machine's loopback that leads into the containers' namespace.

Each new connection goes to the next of the targets that there are at that moment, as through a Kubernetes Service; what
is connected stays where it is, whatever becomes of its target.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.namespaces import Host
from tests.support.wampclient import Session

_CHUNK: Final = 1 << 16
_DIAL_S: Final = 3.0


@dataclass(frozen=True)
class Target:
    """Where a connection may go: the name is for those who ask `Balancer.target_of`."""

    name: str
    address: str
    port: int


class Balancer:
    """Use as a context manager; `port` is where clients connect."""

    def __init__(self, host: Host, targets: Callable[[], Sequence[Target]]) -> None:
        """`host` is where targets are reached from; `targets()` tells at any time, in another thread, what they are."""
        self._host: Final = host
        self._targets: Final = targets
        self._turns: Final = itertools.count()
        self._went: Final[dict[int, str]] = {}  # the client's port -> name of the target
        self._listening: Final = socket.create_server(("127.0.0.1", 0), backlog=512)  # here, not inside
        self._listening.setblocking(False)
        self.port: Final[int] = self._listening.getsockname()[1]
        self._loop: Final = asyncio.new_event_loop()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._thread: Final = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Balancer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()
        self._listening.close()

    def session(self, transport: str = "rawsocket", serializer: str = "json", realm: str = "realm1") -> Session:
        """A new session, wherever it comes to be."""
        return Session(self.port, transport, serializer, realm)

    def target_of(self, session: Session) -> str:
        """The name of the target that a session is connected to."""
        return self._went[session.connection.socket.getsockname()[1]]

    def _run(self) -> None:
        with self._host.inside():  # sockets that this thread makes belong there
            self._spawn(self._accept())
            self._loop.run_forever()
        self._loop.close()

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.call_later(0.05, self._loop.stop)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        while True:
            client, address = await self._loop.sock_accept(self._listening)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._serve(client, address[1]))

    async def _serve(self, client: socket.socket, port: int) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(client)
            targets = self._targets()
            if not targets:
                return
            target = targets[next(self._turns) % len(targets)]
            self._went[port] = target.name
            server = stack.enter_context(socket.socket())
            server.setblocking(False)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.wait_for(self._loop.sock_connect(server, (target.address, target.port)), _DIAL_S)
            except (OSError, TimeoutError):
                return
            ways = [self._loop.create_task(self._copy(*pair)) for pair in ((client, server), (server, client))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := await self._loop.sock_recv(source, _CHUNK):
                await self._loop.sock_sendall(target, data)
