"""Three nodes and four clients on different nodes: what crosses, and what the loss of a node does. `make run`

    publisher @ node1   ->   subscriber @ node2
    caller    @ node1   ->   callee     @ node3, which is killed

The clients are ordinary Autobahn components. Each has a home node and knows the other two as a way out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

import txaio

txaio.use_twisted()

from autobahn.twisted.component import Component  # noqa: E402 - txaio comes first
from autobahn.wamp.exception import ApplicationError, TransportLost  # noqa: E402
from autobahn.wamp.types import PublishOptions  # noqa: E402
from twisted.internet import defer, reactor, task  # noqa: E402

from examples.nodes import CLIENT_PORTS, REALM, Nodes, NotStartedError, PortTakenError, page  # noqa: E402

TOPIC: Final = "com.example.counter"
PROCEDURE: Final = "com.example.square"
PUBLISH_EVERY_S: Final = 1.0
CALL_EVERY_S: Final = 1.0
KILL_AFTER_S: Final = 5.0  # from the first session of all clients
VICTIM: Final = "node3"
AGAIN_S: Final = 0.5  # between attempts to register what the dead node's client still owns
LEAVE_S: Final = 2.0

NODE_COLOURS: Final = {"node1": "36", "node2": "33", "node3": "35"}
GREY, RED, GREEN, BOLD = "90", "31;1", "32", "1"


class Screen:
    """Lines of one shape: time, who, where, what. Colours only where somebody looks."""

    def __init__(self) -> None:
        self._began: Final = time.monotonic()
        self._colours: Final = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def paint(self, text: str, code: str) -> str:
        """`text` in a colour, or as it is."""
        return f"\033[{code}m{text}\033[0m" if self._colours else text

    def say(self, text: str = "") -> None:
        """A line of its own."""
        print(text, flush=True)

    def tell(self, role: str, node: str, what: str, detail: str, code: str = "0") -> None:
        """What one client did or saw."""
        seconds = self.paint(f"{time.monotonic() - self._began:6.1f} s", GREY)
        place = self.paint(f"{role:<10} @ {node}", NODE_COLOURS.get(node, "0"))
        self.say(f"  {seconds}   {place}   {self.paint(f'{what:<10} {detail}', code)}")

    def headline(self, text: str, code: str = BOLD) -> None:
        """Something that changes the scene."""
        self.say(f"\n  {self.paint(text, code)}\n")


class Client:
    """A client with a home node; when that is gone it goes to another."""

    role = "client"

    def __init__(self, home: str, screen: Screen) -> None:
        others = [name for name in CLIENT_PORTS if name != home]
        self.node = home
        self.screen: Final = screen
        self.joined: Final[defer.Deferred[None]] = defer.Deferred()
        self.component: Final = Component(
            transports=[
                {
                    "type": "websocket",
                    "url": f"ws://127.0.0.1:{CLIENT_PORTS[name]}/ws",
                    "endpoint": {"type": "tcp", "host": "127.0.0.1", "port": CLIENT_PORTS[name]},
                    "initial_retry_delay": 0.2,
                    "max_retry_delay": 1.0,
                    "max_retries": -1,
                }
                for name in (home, *others)
            ],
            realm=REALM,
        )
        self.component.on("connect", self._connected)
        self.component.on("join", self._joined)
        self.component.on("leave", self._left)

    def start(self) -> None:
        """Connect, and stay connected."""
        self.component.start(reactor).addErrback(lambda failure: None)  # told by the screen already

    def tell(self, what: str, detail: str, code: str = "0") -> None:
        """A line about this client."""
        self.screen.tell(self.role, self.node, what, detail, code)

    async def work(self, session: Any) -> None:
        """What the client does in a new session."""
        raise NotImplementedError

    def pause(self) -> None:
        """The session is gone."""

    def _connected(self, session: Any, transport: Any) -> None:
        ports = {port: name for name, port in CLIENT_PORTS.items()}
        self.node = ports[transport.transport.getPeer().port]

    async def _joined(self, session: Any, details: Any) -> None:
        self.tell("joined", "", GREEN)
        try:
            await self.work(session)
        except TransportLost:
            return
        if not self.joined.called:
            self.joined.callback(None)

    def _left(self, session: Any, details: Any) -> None:
        self.pause()
        if details.reason == "wamp.close.transport_lost":
            self.tell("lost", "the connection; going to another node", RED)


class Subscriber(Client):
    """Hears the counter, and notices what is missing or comes twice."""

    role = "subscriber"

    def __init__(self, home: str, screen: Screen) -> None:
        super().__init__(home, screen)
        self.heard: Final[list[int]] = []
        self.delays_ms: Final[list[float]] = []

    async def work(self, session: Any) -> None:
        await session.subscribe(self._event, TOPIC)

    def _event(self, number: int, sent: float, source: str) -> None:
        self.heard.append(number)
        self.delays_ms.append((time.monotonic() - sent) * 1000)
        self.tell("event", f"{number}, published at {source} {self.delays_ms[-1]:.1f} ms ago")


class Worker(Client):
    """Does one thing again and again while it has a session."""

    def __init__(self, home: str, screen: Screen, every_s: float) -> None:
        super().__init__(home, screen)
        self._every_s: Final = every_s
        self._loop: task.LoopingCall | None = None

    async def work(self, session: Any) -> None:
        self._loop = task.LoopingCall(lambda: defer.ensureDeferred(self.step(session)))
        self._loop.start(self._every_s, now=False)

    def pause(self) -> None:
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    async def step(self, session: Any) -> None:
        """The one thing."""
        raise NotImplementedError


class Publisher(Worker):
    """Counts."""

    role = "publisher"

    def __init__(self, home: str, screen: Screen) -> None:
        super().__init__(home, screen, PUBLISH_EVERY_S)
        self.published = 0
        self._numbers: Final[Iterator[int]] = count(1)

    async def step(self, session: Any) -> None:
        number = next(self._numbers)
        self.tell("publish", str(number))
        await session.publish(TOPIC, number, time.monotonic(), self.node, options=PublishOptions(acknowledge=True))
        self.published += 1


class Callee(Client):
    """Offers the procedure, and takes it along when it has to go to another node."""

    role = "callee"

    async def work(self, session: Any) -> None:
        told = False
        while session.is_attached():
            try:
                await session.register(self._square, PROCEDURE)
            except ApplicationError as error:
                if not told:
                    self.tell("tries", f"{error.error}, until the dead node is given up", GREY)
                    told = True
                await task.deferLater(reactor, AGAIN_S, lambda: None)
            else:
                self.tell("registered", PROCEDURE, GREEN)
                return

    def _square(self, number: int) -> list[Any]:
        self.tell("invocation", f"{number}")
        return [number * number, self.node]


class Caller(Worker):
    """Calls, and tells who answered."""

    role = "caller"

    def __init__(self, home: str, screen: Screen) -> None:
        super().__init__(home, screen, CALL_EVERY_S)
        self.results = 0
        self.errors = 0
        self._numbers: Final[Iterator[int]] = count(1)

    async def step(self, session: Any) -> None:
        number, began = next(self._numbers), time.monotonic()
        try:
            square, node = await session.call(PROCEDURE, number)
        except ApplicationError as error:
            self.errors += 1
            self.tell("error", error.error, RED)
            return
        self.results += 1
        milliseconds = (time.monotonic() - began) * 1000
        self.tell("result", f"{number} * {number} = {square}, by the callee at {node} in {milliseconds:.1f} ms")


class Demo:
    """The play: everybody comes, a node dies, the rest go on."""

    def __init__(self, nodes: Nodes, screen: Screen) -> None:
        self._nodes: Final = nodes
        self._screen: Final = screen
        self._subscriber: Final = Subscriber("node2", screen)
        self._publisher: Final = Publisher("node1", screen)
        self._callee: Final = Callee(VICTIM, screen)
        self._caller: Final = Caller("node1", screen)
        self._clients: Final[list[Client]] = [self._subscriber, self._callee, self._publisher, self._caller]

    def start(self) -> None:
        """Let the clients in, and plan the rest."""
        for client in self._clients:
            client.start()
        together = defer.gatherResults([client.joined for client in self._clients])
        together.addCallback(lambda _: reactor.callLater(KILL_AFTER_S, self._kill))

    def _kill(self) -> None:
        self._screen.headline(f"kill -9 {self._nodes.pid(VICTIM)}   {VICTIM} is dead", RED)
        self._nodes.kill(VICTIM)

    def stop(self) -> Any:
        """Let the clients leave; fires when they have, or after LEAVE_S."""
        for client in self._clients:
            client.pause()
        leaving = defer.DeferredList(
            [defer.maybeDeferred(client.component.stop) for client in self._clients], consumeErrors=True
        )
        leaving.addTimeout(LEAVE_S, reactor).addErrback(lambda failure: failure.trap(defer.TimeoutError))
        return leaving

    def sum_up(self) -> None:
        """What the play has shown."""
        heard, published = self._subscriber.heard, self._publisher.published
        missing = published - len(set(heard))
        doubled = len(heard) - len(set(heard))
        self._screen.headline(
            f"{published} published, {len(heard)} heard at the other node: {missing} missing, {doubled} doubled"
            f"\n  {self._caller.results} calls with a result, {self._caller.errors} with an error:"
            f" those between the death of {VICTIM} and the callee's return"
        )
        if self._subscriber.delays_ms:
            self._screen.say(f"  node to node: {statistics.median(self._subscriber.delays_ms):.1f} ms (median)\n")


def main() -> int:
    """Run the play until Ctrl-C; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds")
    seconds = parser.parse_args().seconds
    try:
        with Nodes() as nodes:
            screen = Screen()
            introduce(nodes, screen)
            nodes.wait_until_serving()
            play(Demo(nodes, screen), seconds)
    except (PortTakenError, NotStartedError) as error:
        print(f"wampha: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the play began; afterwards the reactor hears it
        return 130
    return 0


def introduce(nodes: Nodes, screen: Screen) -> None:
    """Say what runs and where."""
    screen.headline("wampha: three nodes, one router")
    for name, port in CLIENT_PORTS.items():
        where = f"ws://127.0.0.1:{port}/ws   pid {nodes.pid(name)}"
        screen.say(f"  {screen.paint(name, NODE_COLOURS[name])}   {where}")
    screen.say(f"\n  the cluster in your browser: {page('node1')}")
    screen.say(f"  logs in {nodes.folder}; Ctrl-C ends all\n")


def play(demo: Demo, seconds: float | None) -> None:
    """Run the reactor until Ctrl-C or for so many seconds."""
    stop: Callable[[], None] = reactor.stop
    reactor.callWhenRunning(demo.start)
    reactor.addSystemEventTrigger("before", "shutdown", demo.stop)
    if seconds is not None:
        reactor.callLater(seconds, stop)
    reactor.run()
    demo.sum_up()


if __name__ == "__main__":
    sys.exit(main())
