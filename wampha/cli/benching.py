"""`wampha bench`: rate and latency of events and calls, with sessions of its own."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import click

from wampha.cli.connecting import connect
from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.measure import Measure
from wampha.cli.running import run
from wampha.cli.session import Answered, Lost, Session, wamp
from wampha.cli.target import Target, at_router
from wampha.cli.values import Printer

EXACT: Final = "exact"


@click.group()
def bench() -> None:
    """Measure rate and latency of events or calls.

    \b
    All sessions run in this one process, which is often what limits the rate; compare runs, and trust no single one.
    With several URLs the sessions are spread over them, so that messages travel from node to node.

    \b
        wampha bench pub
        wampha bench call --count 2000 --size 100
        wampha bench pub --url ws://127.0.0.1:8081/ws,ws://127.0.0.1:8082/ws
    """


_COUNT: Final = click.option(
    "--count", default=10_000, show_default=True, type=click.IntRange(1, 10_000_000), help="how many messages"
)
_SIZE: Final = click.option(
    "--size", default=16, show_default=True, type=click.IntRange(0, 10_000_000), help="characters of payload in each"
)
_WINDOW: Final = click.option(
    "--window", default=64, show_default=True, type=click.IntRange(1, 10_000), help="messages on their way at once"
)


@bench.command()
@_COUNT
@_SIZE
@_WINDOW
@click.option(
    "--subscribers", default=1, show_default=True, type=click.IntRange(1, 1000), help="how many sessions listen"
)
@at_router
def pub(target: Target, *, count: int, size: int, window: int, subscribers: int) -> None:
    """Publish events to subscribers of one's own, and measure how long each takes to the last of them.

    \b
        wampha bench pub
        wampha bench pub --count 1000 --subscribers 10 --size 1000
    """
    topic, text = f"com.example.bench.{secrets.token_hex(4)}", "x" * size
    measure = Measure("events", count, window, receivers=subscribers, progress=sys.stderr.isatty())

    async def errand(sessions: list[Session]) -> None:
        publisher, *listeners = sessions
        for each in listeners:
            each.on_event = lambda event: measure.arrived(event.args[0])
            await each.request(wamp.Subscribe, topic, match=EXACT)
        await measure.run(lambda number: publisher.publish(topic, [number, text], {}))

    _measure(target, 1 + subscribers, measure, errand)
    _report(measure, {"bench": "pub", "size": size, "subscribers": subscribers})


@bench.command()
@_COUNT
@_SIZE
@_WINDOW
@click.option("--procedure", help="what to call with (number, text); else an echo of one's own")
@at_router
def call(target: Target, *, count: int, size: int, window: int, procedure: str | None) -> None:
    """Call a procedure again and again, and measure how long each answer takes.

    \b
        wampha bench call
        wampha bench call --window 1 --count 1000
    """
    name, text = procedure or f"com.example.bench.{secrets.token_hex(4)}", "x" * size
    measure = Measure("calls", count, window, progress=sys.stderr.isatty())

    async def errand(sessions: list[Session]) -> None:
        caller, *callees = sessions
        for callee in callees:
            callee.on_invocation = partial(_echo, callee)
            await callee.request(wamp.Register, name, match=EXACT)

        def ask(number: int) -> None:
            caller.call(name, [number, text], {}).addCallbacks(lambda _: measure.arrived(number), measure.failed)

        await measure.run(ask)

    _measure(target, 2 if procedure is None else 1, measure, errand)
    _report(measure, {"bench": "call", "size": size, "window": window})


def _echo(callee: Session, invocation: Any) -> None:
    callee.send(wamp.Yield(invocation.request, args=invocation.args))


Errand = Callable[[list[Session]], Coroutine[Any, Any, None]]


def _measure(target: Target, number: int, measure: Measure, errand: Errand) -> None:
    """Run the errand with so many sessions, spread over the target's URLs; a lost one ends the measurement."""

    async def work(reactor: Any) -> None:
        sessions: list[Session] = []
        try:
            for index in range(number):
                sessions.append(await connect(reactor, target.beginning_with(index % len(target.urls))))
                sessions[-1].until_ended().addCallbacks(lambda why: measure.failed(Lost(why)), measure.failed)
            await errand(sessions)
        except Lost as error:
            raise CommandFailed(Exit.UNREACHABLE, f"the connection was lost: {error}") from None
        except Answered as answered:
            raise answered.as_failure() from None
        finally:
            for session in sessions:
                session.goodbye()
            for session in sessions:
                await session.leave(reactor)

    run(work)


def _report(measure: Measure, about: dict[str, Any]) -> None:
    figures = measure.figures()
    latency = "  ".join(f"{name} {value:.2f} ms" for name, value in figures["latency_ms"].items())
    readable = (
        f"{figures['count']} {measure.unit} in {figures['seconds']:.2f} s: {figures['per_second']:.0f}/s\n{latency}"
    )
    Printer().tell({**about, **figures}, readable)


COMMANDS: Final = {"bench": bench}
