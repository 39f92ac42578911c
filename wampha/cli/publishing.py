"""`wampha pub`."""

from __future__ import annotations

from typing import Any, Final

import click
from twisted.internet import task

from wampha.cli.session import Session, wamp
from wampha.cli.target import Target, at_router
from wampha.cli.values import Printer, arguments, keywords
from wampha.cli.visiting import visit


@click.command()
@click.argument("topic")
@click.argument("args", nargs=-1)
@click.option("-k", "--kwarg", "kwargs", multiple=True, metavar="KEY=VALUE", help="a keyword argument; may be repeated")
@click.option("-a", "--acknowledge", is_flag=True, help="have the router confirm it, and print the publication's id")
@click.option("--retain", is_flag=True, help="keep the event for those who subscribe later")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1), help="how many events")
@click.option("--interval", default=0.0, type=click.FloatRange(0, 86400), help="seconds between them")
@at_router
def pub(
    target: Target,
    *,
    topic: str,
    args: tuple[str, ...],
    kwargs: tuple[str, ...],
    acknowledge: bool,
    retain: bool,
    count: int,
    interval: float,
) -> None:
    """Publish an event to TOPIC.

    \b
    ARGS are JSON where they parse, else text: 12 is a number, hello a text, '"12"' a text again.
    Without --acknowledge a router does not say when it refuses an event.

    \b
        wampha pub com.example.hello "hello world"
        wampha pub com.example.reading 21.5 --kwarg unit=celsius --kwarg 'tags=["a", "b"]'
        wampha pub --acknowledge --retain com.example.state on
        wampha pub --count 3 --interval 0.1 com.example.tick
        wampha pub -- com.example.temperature -12
    """
    given, named = arguments(args), keywords(kwargs)
    options = {"retain": True} if retain else {}

    async def errand(reactor: Any, session: Session) -> None:
        printer = Printer()
        for number in range(count):
            if number:
                # Even without a pause, so that what arrives is read, and Ctrl-C is heard.
                await task.deferLater(reactor, interval)
            if acknowledge:
                about = {"topic": topic, "args": given, "kwargs": named, "acknowledge": True, **options}
                published = (await session.request(wamp.Publish, **about)).publication
                printer.tell({"topic": topic, "publication": published}, f"published {published}")
            else:
                session.publish(topic, given, named, **options)

    visit(target, errand)


COMMANDS: Final = {"pub": pub}
