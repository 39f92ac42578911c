"""`wampha call`."""

from __future__ import annotations

from typing import Any, Final

import click
from twisted.internet import defer

from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.session import Session
from wampha.cli.target import Target, at_router
from wampha.cli.values import Printer, arguments, keywords, payload
from wampha.cli.visiting import visit


@click.command()
@click.argument("procedure")
@click.argument("args", nargs=-1)
@click.option("-k", "--kwarg", "kwargs", multiple=True, metavar="KEY=VALUE", help="a keyword argument; may be repeated")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.001, 86400), help="seconds after which the call is cancelled"
)
@click.option("--progress/--no-progress", default=True, help="whether results on the way are asked for")
@at_router
def call(
    target: Target,
    *,
    procedure: str,
    args: tuple[str, ...],
    kwargs: tuple[str, ...],
    timeout_s: float | None,
    progress: bool,
) -> None:
    """Call PROCEDURE, and print what it answers; results on the way (progressive ones) as they come.

    \b
    ARGS are JSON where they parse, else text. An answer is shown for people on a terminal; else it is a line of
    JSON with args and kwargs, and "progress": true if more follows. An error goes to standard error: exit status
    1, or 4 if the call is not allowed, 5 if it took too long.

    \b
        wampha call com.example.add 2 3
        wampha call --timeout 5 com.example.search --kwarg 'query=red shoes'
        wampha call wamp.session.count
    """
    given, named = arguments(args), keywords(kwargs)

    async def errand(reactor: Any, session: Session) -> None:
        printer = Printer()
        called = session.call(procedure, given, named, (lambda part: _tell(printer, part)) if progress else None)
        if timeout_s is not None:
            called.addTimeout(timeout_s, reactor)
        try:
            _tell(printer, await called)
        except defer.TimeoutError:
            raise CommandFailed(Exit.TIMEOUT, f"{procedure} did not answer within {timeout_s:g} s") from None

    visit(target, errand)


def _tell(printer: Printer, result: Any) -> None:
    args, kwargs = result.args or [], result.kwargs or {}
    more = {"progress": True} if result.progress else {}
    printer.tell({"args": args, "kwargs": kwargs, **more}, payload(args, kwargs))


COMMANDS: Final = {"call": call}
