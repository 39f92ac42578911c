"""A short visit to a router: join, do something, leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from wampha.cli.connecting import connect
from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.running import run
from wampha.cli.session import Answered, Lost, Session
from wampha.cli.target import Target


def visit(target: Target, errand: Callable[[Any, Session], Awaitable[None]]) -> None:
    """Run `errand(reactor, session)` in a session of its own. Raises CommandFailed."""

    async def work(reactor: Any) -> None:
        session = await connect(reactor, target)
        try:
            await errand(reactor, session)
        except Lost as lost:
            raise CommandFailed(Exit.UNREACHABLE, f"the connection is lost: {lost}") from None
        except Answered as answered:
            raise answered.as_failure() from None
        finally:
            await session.leave(reactor)

    run(work)
