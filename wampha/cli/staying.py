"""To be there for long: join again, with growing pauses, whenever the connection is lost."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet import task

from wampha.cli.connecting import connect
from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.session import Lost, Session
from wampha.cli.target import Target
from wampha.cli.values import say

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 15.0
_GROWTH: Final = 2.0


class Pauses:
    """How long to wait before the next attempt: each time longer, and never the same for all clients."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """`chance` gives a number from 0 to 1."""
        self._chance: Final = chance
        self._next_s = FIRST_PAUSE_S

    def next_s(self) -> float:
        """From the half to the whole of a pause, in seconds."""
        pause, self._next_s = self._next_s, min(self._next_s * _GROWTH, LONGEST_PAUSE_S)
        return pause * (1 + self._chance()) / 2

    def reset(self) -> None:
        """All went well: begin with short ones again."""
        self._next_s = FIRST_PAUSE_S


class Stay:
    """Keeps a session, and `settle`s each new one (subscribes, registers) until it is told to end."""

    def __init__(
        self, reactor: Any, target: Target, settle: Callable[[Session], Awaitable[None]], *, reconnect: bool = True
    ) -> None:
        """`settle` may raise what a session's requests raise, or CommandFailed."""
        self._reactor: Final = reactor
        self._target = target
        self._settle: Final = settle
        self._reconnect: Final = reconnect
        self._pauses: Final = Pauses()
        self._session: Session | None = None
        self._ending = False

    async def run(self) -> None:
        """Stay until `end`, or until it is cancelled. Raises CommandFailed if the first attempt fails."""
        await self._begin()
        while True:
            assert self._session is not None
            try:
                why = await self._session.until_ended()
            finally:
                await self._session.leave(self._reactor)
            if self._ending:
                return
            if not self._reconnect:
                raise CommandFailed(Exit.UNREACHABLE, f"the connection is lost: {why}")
            say(f"connection lost: {why}")
            await self._again()

    def end(self) -> None:
        """Leave; `run` returns then."""
        self._ending = True
        if self._session is not None:
            self._session.goodbye()

    async def _begin(self) -> None:
        self._session = await connect(self._reactor, self._target)
        try:
            await self._settle(self._session)
        except Lost as lost:
            raise CommandFailed(Exit.UNREACHABLE, f"the connection is lost: {lost}") from None
        except BaseException:
            await self._session.leave(self._reactor)
            raise

    async def _again(self) -> None:
        """Join another time, beginning with the next URL; whoever is refused for good does not try again."""
        while True:
            await task.deferLater(self._reactor, self._pauses.next_s())
            self._target = self._target.beginning_with(1)
            try:
                await self._begin()
            except CommandFailed as failed:
                # Our own registration may stand until the router notices that its session is gone.
                if failed.status is Exit.REFUSED:
                    raise
                say(f"not connected: {failed.message}")
            else:
                self._pauses.reset()
                say("connected again")
                return
