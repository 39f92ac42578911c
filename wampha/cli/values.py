"""Arguments of messages: how they are written on a command line, and how they are shown."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click

from wampha.cli.exits import CommandFailed, Exit

# What would change how a terminal shows the rest; JSON escapes only what is below the space.
_UNSEEN: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def argument(text: str) -> Any:
    """The value of an argument: JSON if it parses, else the text itself; `'"12"'` is the text 12."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.UsageError("an argument is not UTF-8") from None
    return parsed(text)


def parsed(text: str) -> Any:
    """What a text stands for if it is JSON, else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def arguments(texts: Iterable[str]) -> list[Any]:
    """The values of positional arguments."""
    return [argument(text) for text in texts]


def keywords(pairs: Iterable[str]) -> dict[str, Any]:
    """The values of `--kwarg` options, each `key=value`; click.UsageError for anything else."""
    given: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(f'--kwarg should be key=value, not "{pair}"')
        if key in given:
            raise click.UsageError(f"--kwarg {key} is given twice")
        given[key] = argument(text)
    return given


def shown(value: Any) -> str:
    """`value` as one line of JSON, harmless on a terminal; bytes as WAMP has them in JSON (a zero and base64)."""
    text = json.dumps(value, ensure_ascii=False, default=_foreign)
    text = text.encode(errors="backslashreplace").decode()  # lone surrogates
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _foreign(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return "\0" + base64.b64encode(bytes(value)).decode()
    return str(value)  # CBOR has dates and more


def payload(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """A payload for people: its arguments, and then its keyword arguments as `key=value`."""
    return "  ".join((*map(shown, args), *(f"{shown(key)[1:-1]}={shown(value)}" for key, value in kwargs.items())))


class Printer:
    """Standard output: one JSON object per line, or on a terminal something to read."""

    def __init__(self) -> None:
        self.readable: Final = sys.stdout.isatty()

    def tell(self, facts: Mapping[str, Any], readable: str) -> None:
        """Print a line; CommandFailed (without a word) when nobody reads any more, as behind `| head`."""
        self.line(readable if self.readable else shown(facts))

    def line(self, text: str) -> None:
        """Print a text at once; CommandFailed likewise."""
        try:
            print(text, flush=True)
        except BrokenPipeError:
            # Python would complain when it flushes at the end.
            sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - it stays open
            raise CommandFailed(Exit.DONE) from None


def say(sentence: str) -> None:
    """Tell how things go, on standard error."""
    click.echo(sentence, err=True)
