"""Write docs/cli.md, the manual of the `wampha` command, from the command itself: `make reference`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from wampha.cli import main
from wampha.cli.target import NAMES, at_router

PAGE: Final = Path(__file__).parent / "cli.md"
_BEGINNING: Final = """\
# The command line

`wampha` runs and checks nodes, tells how they are, and is a WAMP client with which one can try a router and write
scripts. `wampha COMMAND --help` has the same text as this page, which is written by `make reference`.

On a terminal it prints for people; anywhere else it prints one JSON object per line. What it has to say besides goes to
standard error. Ctrl-C ends everything in an orderly manner.
"""


def page() -> str:
    """The text of the manual."""
    return "\n".join([_BEGINNING, *_exits(), *_shared(), *(part for path in commands() for part in _chapter(path))])


def commands() -> Iterator[tuple[str, ...]]:
    """All commands, each as its words: `bench pub` comes after `bench`."""

    def below(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name in group.list_commands(click.Context(group)):
            yield (*path, name)
            inner = command_at((*path, name))
            if isinstance(inner, click.Group):
                yield from below(inner, (*path, name))

    yield from below(main, ())


def command_at(path: tuple[str, ...]) -> click.Command:
    """The command of these words."""
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None, path
        command = found
    return command


def examples(path: tuple[str, ...]) -> list[str]:
    """The lines of a command's help that show how it is used."""
    return [line[4:] for line in _help(command_at(path)).splitlines() if line.startswith("    ")]


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\b", "")


def _exits() -> list[str]:
    lines = _help(main).partition("Exit status:")[2].strip("\n").splitlines()
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines]
    return ["## Exit status\n", *_table(("status", "meaning"), [(f"`{code}`", meaning) for code, meaning in rows])]


def _shared() -> list[str]:
    @click.command()
    @at_router
    def anything() -> None:
        """Stand for each of them."""

    words = "`pub`, `sub`, `call`, `register` and `bench` take these, or environment variables instead:\n"
    return ["## Options of commands that talk to a router\n", words, *_options(anything, ())]


def _chapter(path: tuple[str, ...]) -> list[str]:
    command, title = command_at(path), " ".join(("wampha", *path))
    context = click.Context(command, info_name=title)
    usage = command.get_usage(context).removeprefix("Usage: ")
    return [
        f"{'#' * (len(path) + 1)} `{title}`\n",
        f"    {' '.join(usage.split())}\n",
        *_description(command),
        *_options(command, NAMES),
    ]


def _description(command: click.Command) -> Iterator[str]:
    """Paragraphs, and examples in blocks of their own."""
    for paragraph in re.split(r"\n\s*\n", _help(command)):
        lines = [line for line in paragraph.splitlines() if line.strip()]
        prose = [line.strip() for line in lines if not line.startswith("    ")]
        shown = [line[4:] for line in lines if line.startswith("    ")]
        if prose:
            yield " ".join(prose).replace("<", "&lt;") + "\n"
        if shown:
            yield "\n".join(["```console", *(f"$ {line}" for line in shown), "```\n"])


def _options(command: click.Command, left_out: tuple[str, ...]) -> list[str]:
    context = click.Context(command, show_default=False)
    given = [each for each in command.params if isinstance(each, click.Option) and each.name not in left_out]
    records = [option.get_help_record(context) for option in given]
    rows = [(f"`{option}`", meaning) for option, meaning in filter(None, records)]
    return _table(("option", "meaning"), rows) if rows else []


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    cells = [tuple(" ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;") for cell in row) for row in rows]
    return [f"| {head[0]} | {head[1]} |", "| --- | --- |", *(f"| {row[0]} | {row[1]} |" for row in cells), ""]


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE}")
