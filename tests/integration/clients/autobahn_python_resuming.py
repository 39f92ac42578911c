"""An Autobahn|Python session that loses its connection and resumes it; prints what it saw as JSON.

    python autobahn_python_resuming.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND [PORT-AFTERWARDS]

Autobahn carries the fields of HELLO and WELCOME and does no more about them. What a program must add is in `Resuming`:
ask for it, keep the token, and use the same session object over the next connection, so that its subscriptions,
registrations, open calls and request ids go on.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any, Final

from autobahn.twisted.rawsocket import WampRawSocketClientFactory
from autobahn.twisted.wamp import ApplicationSession
from autobahn.twisted.websocket import WampWebSocketClientFactory
from autobahn.wamp.message import Welcome
from autobahn.wamp.serializer import create_transport_serializer
from autobahn.wamp.types import PublishOptions
from twisted.internet import defer, endpoints, task

REALM: Final = "resumable"


class Resuming(ApplicationSession):
    """One session over several connections."""

    welcome: Welcome | None = None

    def __init__(self) -> None:
        super().__init__()
        self.joined: defer.Deferred[Welcome] = defer.Deferred()
        self.cut_off: defer.Deferred[None] = defer.Deferred()

    def onConnect(self) -> None:  # noqa: N802 - Autobahn's names
        """Ask for the session, or for a new one."""
        if self.welcome is None:
            self.join(REALM, resumable=True)
        else:
            self.join(
                REALM, resumable=True, resume_session=self.welcome.session, resume_token=self.welcome.resume_token
            )

    def onWelcome(self, welcome: Welcome) -> None:  # noqa: N802
        """The only place where Autobahn shows the token."""
        self.welcome = welcome

    def onJoin(self, details: Any) -> None:  # noqa: N802
        joined, self.joined = self.joined, defer.Deferred()
        joined.callback(self.welcome)

    def onLeave(self, details: Any) -> None:  # noqa: N802
        """Autobahn's own version would fail every open request."""

    def onDisconnect(self) -> None:  # noqa: N802
        cut_off, self.cut_off = self.cut_off, defer.Deferred()
        cut_off.callback(None)

    async def open(self, reactor: Any, transport: str, serializer: str, port: str) -> Welcome:
        """Connect, and join or resume."""
        made = create_transport_serializer(serializer)
        factory: Any
        if transport == "websocket":
            factory = WampWebSocketClientFactory(lambda: self, url=f"ws://127.0.0.1:{port}/ws", serializers=[made])
        else:
            factory = WampRawSocketClientFactory(lambda: self, serializer=made)
        joined = self.joined
        await endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", int(port)).connect(factory)
        return await joined

    async def cut(self) -> None:
        """Lose the connection without a word."""
        cut_off = self.cut_off
        self._transport.transport.abortConnection()
        await cut_off


async def conversation(reactor: Any, transport: str, serializer: str, first: str, second: str, *after: str) -> None:
    """Events and calls before, during and after the time without a connection."""
    prefix = f"test.n{uuid.uuid4().hex}"
    heard: defer.DeferredQueue[int] = defer.DeferredQueue()
    acknowledged = PublishOptions(acknowledge=True)
    session, other = Resuming(), Resuming()
    before = await session.open(reactor, transport, serializer, first)
    await other.open(reactor, transport, serializer, second)
    await session.subscribe(heard.put, f"{prefix}.topic")
    await session.register(lambda number: number + 1, f"{prefix}.plus_one")
    asked: defer.DeferredQueue[Any] = defer.DeferredQueue()

    def later() -> Any:
        answer: defer.Deferred[str] = defer.Deferred()
        asked.put(answer)
        return answer

    await other.register(later, f"{prefix}.later")
    await other.publish(f"{prefix}.topic", 1, options=acknowledged)
    got = [await heard.get()]
    waiting = session.call(f"{prefix}.later")
    answer = await asked.get()

    await session.cut()
    await task.deferLater(reactor, 0.2)  # until the router has noticed it
    await other.publish(f"{prefix}.topic", 2, options=acknowledged)
    called = other.call(f"{prefix}.plus_one", 41)
    answer.callback("in the end")

    welcome = await session.open(reactor, transport, serializer, *(after or (first,)))
    await other.publish(f"{prefix}.topic", 3, options=acknowledged)
    got += [await heard.get(), await heard.get()]
    seen = {
        "heard": got,
        "called": await called,
        "waited": await waiting,
        "resumed": welcome.resumed,
        "same": welcome.session == before.session,
        "new_token": welcome.resume_token != before.resume_token,
        "gap": sorted(welcome.custom["x_gap"]),
        "call": await session.call(f"{prefix}.plus_one", 1),
    }
    session.leave()
    other.leave()
    print(json.dumps(seen))


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(conversation(reactor, *sys.argv[1:])))
