"""`wampha status`: the cluster at a glance."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import click

from wampha.cli.asking import status_of
from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.overview import lines, problems
from wampha.cli.values import Printer, shown

_FIRST_RATES_S: Final = 1.0  # between the two looks that a rate takes; a node gives one overview again for 0.5 s
_CLEAR: Final = "\x1b[H\x1b[J"


@click.command()
@click.option(
    "--url",
    envvar="WAMPHA_MONITORING",
    show_envvar=True,
    default="http://127.0.0.1:9180",
    show_default=True,
    help="the monitoring port of any node",
)
@click.option("--json", "as_json", is_flag=True, help="print what the node answers, on one line")
@click.option("--watch", is_flag=True, help="go on until Ctrl-C")
@click.option(
    "--interval", default=2.0, show_default=True, type=click.FloatRange(0.5, 3600), help="seconds between two looks"
)
def status(url: str, as_json: bool, watch: bool, interval: float) -> None:
    """Show the cluster as any of its nodes sees it: leader, lag, sessions, rates, and what is wrong.

    \b
    The exit status is 0 if all is well, 1 if something is wrong, 3 if the node is not there, 5 if it does not answer.
    DROPPED counts events that slow clients did not get, CUT clients that were disconnected because they were slow or
    silent, both since the node started.

    \b
        wampha status
        wampha status --watch --interval 5
        wampha status --json --url http://127.0.0.1:9180
    """
    printer = Printer()
    try:
        if watch:
            _watch(printer, url, as_json, interval)
        found = status_of(url)
        earlier = None
        if not as_json:
            time.sleep(_FIRST_RATES_S)
            earlier, found = found, status_of(url)
        _show(printer, found, earlier, as_json)
    except KeyboardInterrupt:
        raise CommandFailed(Exit.DONE if watch else Exit.INTERRUPTED) from None
    if _read(found, earlier)[1]:
        raise CommandFailed(Exit.FAILED)


def _watch(printer: Printer, url: str, as_json: bool, interval: float) -> None:
    """Show it again and again; a node that is gone may come back."""
    earlier: Mapping[str, Any] | None = None
    while True:
        try:
            found = status_of(url)
        except CommandFailed as failed:
            if failed.status is Exit.USAGE:
                raise
            printer.line(shown({"error": failed.message}) if as_json else _framed(printer, [failed.message]))
        else:
            _show(printer, found, earlier, as_json, again=True)
            earlier = found
        time.sleep(interval)


def _read(found: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> tuple[list[str], bool]:
    """The overview, and whether something is wrong. Raises CommandFailed for what another version may have answered."""
    try:
        return lines(found, earlier), bool(problems(found))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        about = f"{type(error).__name__} {error}"
        raise CommandFailed(
            Exit.FAILED,
            f"the node answers in a form that this version does not know ({about}); --json shows it as it is",
        ) from None


def _show(
    printer: Printer, found: Mapping[str, Any], earlier: Mapping[str, Any] | None, as_json: bool, again: bool = False
) -> None:
    if as_json:
        printer.line(shown(found))
    else:
        text, _ = _read(found, earlier)
        printer.line(_framed(printer, text) if again else "\n".join(text))


def _framed(printer: Printer, text: list[str]) -> str:
    """On a terminal each look takes the place of the one before."""
    return (_CLEAR if printer.readable else "") + "\n".join([*text, ""])


COMMANDS: Final = {"status": status}
