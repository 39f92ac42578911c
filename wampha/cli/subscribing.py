"""`wampha sub`."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from wampha.cli.exits import Exit
from wampha.cli.running import run
from wampha.cli.session import Answered, Session, wamp
from wampha.cli.staying import Stay
from wampha.cli.target import Target, at_router
from wampha.cli.values import Printer, payload, say, shown

_DETAILS: Final = ("publisher", "publisher_authid", "publisher_authrole", "retained")


@click.command()
@click.argument("topic")
@click.option(
    "--match",
    type=click.Choice(["exact", "prefix", "wildcard"]),
    default="exact",
    show_default=True,
    help="how TOPIC is compared: as it is, as the beginning of topics, or with empty components for any",
)
@click.option("--count", type=click.IntRange(1), help="end after so many events")
@click.option("--retained", is_flag=True, help="begin with the event that was kept, if there is one")
@click.option("--reconnect/--no-reconnect", default=True, help="what to do when the connection is lost")
@at_router
def sub(target: Target, *, topic: str, match: str, count: int | None, retained: bool, reconnect: bool) -> None:
    """Subscribe to TOPIC, and print each event until Ctrl-C.

    \b
    On a terminal an event is shown for people; else as a line of JSON with topic, publication, args and kwargs.
    A lost connection is made again with growing pauses; events of the meantime are lost.

    \b
        wampha sub com.example.hello
        wampha sub --match prefix com.example.
        wampha sub --match wildcard com..hello
        wampha sub --count 1 --retained com.example.state
        wampha sub com.example.reading | jq '.args[0]'
    """
    events = _Events(count)

    async def settle(session: Session) -> None:
        session.on_event = events.heard
        try:
            await session.request(wamp.Subscribe, topic, match=match, get_retained=retained or None)
        except Answered as answered:
            raise answered.as_failure() from None
        say(f"subscribed to {shown(topic)[1:-1] or 'everything'}")

    async def work(reactor: Any) -> None:
        stay = Stay(reactor, target, settle, reconnect=reconnect)
        events.topic, events.on_enough = topic, stay.end
        await stay.run()

    run(work, interrupted=Exit.DONE)


class _Events:
    """Prints events until there were enough."""

    def __init__(self, count: int | None) -> None:
        self.topic = ""
        self.on_enough: Any = None
        self._left = count
        self._printer: Final = Printer()

    def heard(self, event: Any) -> None:
        if self._left == 0:
            return
        topic, args, kwargs = event.topic or self.topic, event.args or [], event.kwargs or {}
        details = {name: value for name in _DETAILS if (value := getattr(event, name)) is not None}
        facts = {"topic": topic, "publication": event.publication, "args": args, "kwargs": kwargs, **details}
        self._printer.tell(facts, f"{time.strftime('%H:%M:%S')}  {shown(topic)[1:-1]}  {payload(args, kwargs)}")
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.on_enough()


COMMANDS: Final = {"sub": sub}
