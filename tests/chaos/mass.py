"""Thousands of clients in one thread: sessions over RawSocket and JSON on asyncio, a few kilobytes each."""

from __future__ import annotations

import asyncio
import itertools
import resource
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec

from tests.chaos.nodes import CLIENT_PORT, HostCluster, HostNode
from tests.support.rawclients import RAW_JSON, RAW_MESSAGE, RAW_PING, RAW_PONG, raw_frame
from tests.support.wampclient import (
    ERROR,
    EVENT,
    GOODBYE,
    HELLO,
    INVOCATION,
    REPLIES,
    ROLES,
    WELCOME,
    YIELD,
    AnsweredError,
    ConnectionEndedError,
)

GREETING: Final = bytes((0x7F, 0xF0 | RAW_JSON, 0, 0))
Result = TypeVar("Result")
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder().decode


class MassSession(asyncio.Protocol):
    """One session; it answers its INVOCATIONs with what came, and hands its EVENTs to `on_event`."""

    def __init__(self, on_event: Callable[[list[Any]], None] | None = None) -> None:
        self.id = 0
        self.joined: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self.ended: Final[asyncio.Future[float]] = asyncio.get_running_loop().create_future()  # when
        self.goodbye = ""  # reason of the router's GOODBYE
        self._on_event: Final = on_event
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._greeted = False
        self._numbers: Final = itertools.count(1)
        self._waiting: Final[dict[int, asyncio.Future[list[Any]]]] = {}  # request -> its answer

    def request(self, code: int, *rest: Any) -> asyncio.Future[list[Any]]:
        """Send a request; the future is its answer, AnsweredError or ConnectionEndedError."""
        number = next(self._numbers)
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if self.ended.done():
            answer.set_exception(ConnectionEndedError())
            return answer
        self._waiting[number] = answer
        self._send([code, number, *rest])
        return answer

    def tell(self, code: int, *rest: Any) -> None:
        """Send a request that has no answer."""
        self._send([code, next(self._numbers), *rest])

    async def leave(self) -> None:
        """Say GOODBYE, wait for the answer, and close."""
        if not self.ended.done():
            self._send([GOODBYE, {}, "wamp.close.close_realm"])
            await asyncio.wait([self.ended], timeout=5)
        self.drop()

    def drop(self) -> None:
        """Close without a word."""
        self._transport.close()

    def _send(self, message: list[Any]) -> None:
        self._transport.write(raw_frame(_ENCODE(message)))

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._greeted:
            if len(self._buffer) < len(GREETING):
                return
            del self._buffer[: len(GREETING)]
            self._greeted = True
            self._send([HELLO, "realm1", {"roles": ROLES}])
        while len(self._buffer) >= 4:
            size = 4 + int.from_bytes(self._buffer[1:4], "big")
            if len(self._buffer) < size:
                return
            kind, payload = self._buffer[0], bytes(self._buffer[4:size])
            del self._buffer[:size]
            if kind == RAW_MESSAGE:
                self._received(_DECODE(payload))
            elif kind == RAW_PING:
                self._transport.write(raw_frame(payload, RAW_PONG))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    # ---- WAMP

    def _received(self, message: list[Any]) -> None:
        code = message[0]
        if code == EVENT:
            if self._on_event:
                self._on_event(message)
        elif code == INVOCATION:
            self._send([YIELD, message[1], {}, *message[4:]])
        elif code in REPLIES or code == ERROR:
            self._answered(message)
        elif code == WELCOME:
            self.id = message[1]
            self.joined.set_result(None)
        else:  # GOODBYE or ABORT
            self.goodbye = message[2]
            self._end()
            self._transport.close()

    def _answered(self, message: list[Any]) -> None:
        answer = self._waiting.pop(message[2] if message[0] == ERROR else message[1])
        if answer.done():
            return  # nobody waits any longer
        if message[0] == ERROR:
            answer.set_exception(AnsweredError(message))
        else:
            answer.set_result(message)

    def _end(self) -> None:
        if self.ended.done():
            return
        self.ended.set_result(time.monotonic())
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for answer in [*waiting, self.joined]:
            if not answer.done():
                answer.set_exception(ConnectionEndedError())
                answer.exception()  # whoever waits will see it, and nobody need


async def join(node: HostNode, limit_s: float, on_event: Callable[[list[Any]], None] | None = None) -> MassSession:
    """A session on a node; raises OSError, ConnectionEndedError or TimeoutError, within the limit."""
    session: MassSession | None = None
    try:
        async with asyncio.timeout(limit_s):
            _, session = await asyncio.get_running_loop().create_connection(
                lambda: MassSession(on_event), node.host.address, CLIENT_PORT
            )
            await session.joined
    except BaseException:
        if session:
            session.drop()
        raise
    return session


def run_on_clients_host(cluster: HostCluster, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` in a loop whose sockets belong to the host of the clients."""
    with cluster.clients.inside():
        return asyncio.run(work)


def allow_descriptors(count: int) -> None:
    """Let this process and those that it starts have so many files open; raises ValueError where that is forbidden."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
