"""A reactor for one process of the simulation: time, TCP and names, as far as `Node` and clients need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import (
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
)
from zope.interface import implementer

from tests.simulation.nodes.network import Network
from tests.simulation.nodes.sockets import Connector, Port, Socket
from tests.simulation.nodes.timeline import Process


@implementer(IDelayedCall)
class DelayedCall:
    """Twisted's handle of a `callLater`."""

    __slots__ = ("_args", "_call", "_due", "_reactor", "_time", "called", "cancelled")

    def __init__(self, reactor: SimReactor, time: float, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._reactor, self._call, self._args = reactor, call, args
        self.called = self.cancelled = False
        self._schedule(time)

    def _schedule(self, time: float) -> None:
        self._time = time
        self._due = self._reactor.at(time, self._fire)

    def _fire(self) -> None:
        if not self.cancelled and not self.called:
            self.called = True
            del self._reactor.timers[self]
            self._call(*self._args)

    def getTime(self) -> float:  # noqa: N802 - Twisted's name
        return self._time

    def active(self) -> bool:
        return not (self.called or self.cancelled)

    def cancel(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled
        self.cancelled = True
        self._due[2] = None
        del self._reactor.timers[self]

    def reset(self, seconds: float) -> None:
        self._move(self._reactor.seconds() + seconds)

    def delay(self, seconds: float) -> None:
        self._move(self._time + seconds)

    def _move(self, time: float) -> None:
        if not self.active():
            raise AlreadyCalled if self.called else AlreadyCancelled
        self._due[2] = None
        self._schedule(time)


@implementer(IReactorTime, IReactorTCP, IReactorPluggableNameResolver)
class SimReactor:
    """Of one process. Its clock is wrong by a constant rate, and counts from its own beginning."""

    def __init__(self, network: Network, process: Process, rate: float = 1.0, origin: float = 0.0) -> None:
        self.network, self.process = network, process
        self.timers: dict[DelayedCall, None] = {}
        self.dirty: list[Socket] = []
        self.nameResolver = _Names(network)
        self._timeline = network.timeline
        self._rate, self._began, self._origin = rate, network.timeline.time, origin
        process.turned.append(self._flush)

    def _flush(self) -> None:
        while self.dirty:
            dirty = self.dirty[:]
            self.dirty.clear()
            for socket in dirty:
                socket.flush()

    # ---- IReactorTime

    def seconds(self) -> float:
        return self._origin + (self._timeline.now() - self._began) * self._rate

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:  # noqa: N802
        assert delay >= 0, delay
        if kw:
            given, kw_given = callable, kw

            def callable(*positional: Any) -> Any:
                return given(*positional, **kw_given)

        now = self._origin + (self._timeline.time - self._began) * self._rate
        timer = DelayedCall(self, now + delay, callable, args)
        self.timers[timer] = None
        return timer

    def at(self, time: float, call: Callable[[], None]) -> list[Any]:
        """Enter the process when its clock shows `time`."""
        real = self._began + (time - self._origin) / self._rate
        return self._timeline.after(real - self._timeline.time, self._enter_timer, call)

    def _enter_timer(self, call: Callable[[], None]) -> None:
        self.process.enter(call, timer=True)

    def getDelayedCalls(self) -> Sequence[DelayedCall]:  # noqa: N802 - Twisted's name
        return list(self.timers)

    # ---- IReactorTCP

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:  # noqa: N802
        listening = Port(self.network, self.process, port, factory, self.dirty)
        listening.startListening()
        return listening

    def connectTCP(  # noqa: N802 - Twisted's name
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,  # noqa: N803
    ) -> Connector:
        connector = Connector(self, host, port, factory, timeout)
        connector.connect()
        return connector

    def installNameResolver(self, resolver: Any) -> Any:  # noqa: N802 - Twisted's name
        former, self.nameResolver = self.nameResolver, resolver
        return former


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Names are found at once."""


@implementer(IHostnameResolver)
class _Names:
    """DNS: machine names, resolved to the address of this moment."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def resolveHostName(  # noqa: N802 - Twisted's name
        self,
        resolutionReceiver: Any,  # noqa: N803 - Twisted's name
        hostName: str,  # noqa: N803 - Twisted's name
        portNumber: int = 0,  # noqa: N803 - Twisted's name
        **_: Any,
    ) -> _Resolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        address = self._network.addresses.get(hostName)
        if address is not None:
            resolutionReceiver.addressResolved(IPv4Address("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution
