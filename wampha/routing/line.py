"""The way out of a session that can be resumed: its connection, or what waits until it has one again.

    ATTACHED    messages go to the connection at once
    DETACHED    messages wait (`parking.py`)
    REPLAYING   there is a connection, but older messages still wait: new ones go behind them

A session that cannot be resumed has no line; its client is its way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from wampha.auth.steps import BrowserCookie, Certificate, no_channel
from wampha.messages.model import Event, Interrupt, Invocation
from wampha.routing.parking import Parking
from wampha.routing.ports import Cancellable, Client, Clock
from wampha.routing.slow import SlowPolicy

_REPLAYED_MAX: Final = 500  # messages per turn, some 5 ms
_SLOW_S: Final = 0.05  # until a client that does not read gets more of what waits for it


class _Unframed:
    """The group of who has no connection: what is delivered stays the message that it is (`Client.group`)."""

    def frame(self, message: Any) -> Any:
        return message


_UNFRAMED: Final = _Unframed()


class Keeper(Protocol):
    """Who grants the memory (`resumption.Resumption`)."""

    @property
    def room_bytes(self) -> int:
        """What the line may hold."""

    def held(self) -> None:
        """What the line holds has changed."""

    def overflowed(self) -> None:
        """The bound is passed and nothing can be dropped: the session ends, in a later turn."""


class Line:
    """One session's way out; what the core knows as `routing.ports.Client`."""

    __slots__ = ("_client", "_clock", "_keeper", "_parking", "_timer", "ended", "queue", "sent")

    def __init__(self, *, client: Client | None, policy: SlowPolicy, keeper: Keeper, clock: Clock) -> None:
        self.queue: Final[list[Any]] = []  # delivered in this turn: frames for the connection, or messages to be kept
        self.sent = 0  # messages handed to connections of this session, WELCOME not counted
        self._client = client
        self._parking: Final = Parking(policy)
        self._keeper: Final = keeper
        self._clock: Final = clock
        self._timer: Cancellable | None = None  # of the rest of a replay
        self.ended = False  # what comes from here on goes nowhere

    # ---- routing.ports.Client

    @property
    def group(self) -> Any:
        """That of the connection, as long as nothing older waits and it can still be sent to."""
        client = self._client
        if client is None or self._parking or self.ended or (self.queue and type(self.queue[-1]) is not bytes):
            return _UNFRAMED
        group = client.group
        return _UNFRAMED if group is None else group

    @property
    def slow(self) -> bool:
        """Who has no connection does not read either."""
        return self._client is None or self._client.slow

    def send(self, message: Any) -> None:
        """Queue one message behind all others."""
        if self.queue:
            self.flush()
        self._put(message)

    def _put(self, message: Any) -> None:
        client = self._client
        if self.ended:
            return
        if client is None or self._parking or client.group is None:
            self._keep(message)
        else:
            self.sent += 1
            client.send(message)

    def pass_on(self, frames: list[bytes]) -> None:
        """Nobody stands behind a line."""
        raise AssertionError("frames come to a line by its queue")

    def flush(self) -> None:
        """Hand on what was delivered in this turn."""
        if not self.queue:
            return
        frames = [item for item in self.queue if type(item) is bytes]
        messages = [item for item in self.queue if type(item) is not bytes]  # they stand behind the frames
        self.queue.clear()
        if frames and self._client is not None:
            self.sent += len(frames)
            self._client.pass_on(frames)
        for message in messages:
            self._put(message)

    def failed(self) -> None:
        """`flush` has raised: what the client will get is no longer known."""
        if self._client is not None:
            self._client.failed()
        self._overflow()

    def finish(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.finish()

    def certificate(self) -> Certificate | None:
        """What the present client has shown in its TLS handshake."""
        return None if self._client is None else self._client.certificate()

    def channel_id(self, binding: str) -> bytes:
        """What identifies the TLS channel of the present client."""
        return no_channel(binding) if self._client is None else self._client.channel_id(binding)

    def cookie(self) -> BrowserCookie | None:
        """The cookie of the present client."""
        return None if self._client is None else self._client.cookie()

    @property
    def kind(self) -> tuple[str, str]:
        """That of the connection, or that there is none."""
        return ("", "") if self._client is None else self._client.kind

    def describe(self) -> str:
        """The connection, or that there is none."""
        return "detached" if self._client is None else self._client.describe()

    # ---- coming and going of connections

    @property
    def held_bytes(self) -> int:
        """The memory that waits."""
        return self._parking.held_bytes

    @property
    def held(self) -> int:
        """The messages that wait."""
        return len(self._parking)

    @property
    def dropped(self) -> int:
        """Events that were dropped since the beginning."""
        return self._parking.dropped

    def unsent_invocations(self) -> set[int]:
        """The ids of the INVOCATIONs that wait."""
        return {message.request for message in self._parking if type(message) is Invocation}

    def take(self) -> Any:
        """Remove and return the oldest message that waits; there must be one."""
        message = self._parking.take()
        self._keeper.held()
        return message

    def forget_work(self) -> None:
        """Forget the INVOCATIONs that wait, and their INTERRUPTs: somebody else was told that they have ended."""
        self.flush()
        self._parking.forget((Invocation, Interrupt))
        self._keeper.held()

    def precede(self, messages: Iterable[Any]) -> None:
        """Put what waited elsewhere before what waits here, but for events that are here too."""
        self.flush()
        own = [self._parking.take() for _ in range(len(self._parking))]
        before = set()
        for message in messages:
            if type(message) is Event:
                before.add((message.subscription, message.publication))
            self._put(message)
        for message in own:
            if type(message) is not Event or (message.subscription, message.publication) not in before:
                self._put(message)

    def detach(self) -> None:
        """The connection is gone: what it was handed is not sent again, what comes from here on waits."""
        self.flush()
        self._client = None
        self._stop()

    def attach(self, client: Client) -> None:
        """There is a connection again: it gets what waits, in order, and then what comes."""
        self.flush()
        self._client = client
        self._replay()

    def shrink(self, room_bytes: int) -> None:
        """Hold no more than so many bytes, by the policy: the session may end."""
        if not self._parking.shrink(room_bytes):
            self._overflow()
        self._keeper.held()

    def end(self) -> None:
        """The session is over; what waits is forgotten."""
        self.flush()
        self.ended = True
        self._stop()
        self._parking.clear()
        self._keeper.held()

    def _keep(self, message: Any) -> None:
        if not self._parking.add(message, self._keeper.room_bytes):
            self._overflow()
        self._keeper.held()

    def _overflow(self) -> None:
        if not self.ended:
            self.ended = True
            self._stop()
            self._parking.clear()
            self._keeper.held()
            self._keeper.overflowed()

    def _replay(self) -> None:
        self._timer = None
        client = self._client
        if client is None:
            return
        for _ in range(_REPLAYED_MAX):
            if not self._parking or client.slow or client.group is None:
                break
            self.sent += 1
            client.send(self._parking.take())
        self._keeper.held()
        if self._parking and client.group is not None:
            self._timer = self._clock.call_later(_SLOW_S if client.slow else 0, self._replay)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
