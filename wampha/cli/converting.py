"""`wampha convert`: configurations of other routers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.values import say
from wampha.config.crossbar.node import convert as converted
from wampha.config.crossbar.transports import relocation
from wampha.config.document import FILE_BYTES_MAX, read
from wampha.errors import ConfigError


@click.group()
def convert() -> None:
    """Turn the configuration of another router into one of wampha's.

    \b
        wampha convert crossbar-config .crossbar/config.json -o config.yaml
    """


@convert.command("crossbar-config")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), help="the file to write; else standard output"
)
def crossbar_config(source: Path, target: Path | None) -> None:
    """Convert the node configuration of Crossbar.io in IN, JSON or YAML.

    \b
    Realms, roles, permissions, transports and all static and dynamic authentication have a counterpart. What has
    none is listed by its path on standard error: exit status 2. With nothing of that kind it is 0, and 1 if the
    file is none, or has nothing of use. Secrets come along, so the output is for its owner's eyes only. An output
    that is there already is not overwritten. See what it became: wampha check -c OUTPUT.

    \b
        wampha convert crossbar-config .crossbar/config.json -o config.yaml
        wampha convert crossbar-config .crossbar/config.yaml | less
    """
    try:
        conversion = converted(_data(source), relocation(source, target))
    except ConfigError as error:
        raise CommandFailed(Exit.FAILED, "\n".join(f"{source}: {problem}" for problem in error.problems)) from None
    text = conversion.text(source.name)
    if target is None:
        click.echo(text, nl=False)
    else:
        _write(target, text)
    for line in conversion.left:
        say(line)
    if conversion.left:
        raise CommandFailed(Exit.USAGE, f"{len(conversion.left)} of it without a counterpart, or done otherwise here")


def _data(source: Path) -> Any:
    """The content of the file: strict JSON may have tabs where YAML has none."""
    try:
        text = source.read_bytes()[: FILE_BYTES_MAX + 1]
        if len(text) <= FILE_BYTES_MAX and text.lstrip()[:1] == b"{":
            return json.loads(text)
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{source} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        pass  # it may be YAML, and if it is not, that reader says where it is wrong
    document = read(source, {})
    document.raise_problems()
    return document.data


def _write(target: Path, text: str) -> None:
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except FileExistsError:
        raise CommandFailed(Exit.FAILED, f"{target} is there already; delete it, or choose another name") from None
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{target} cannot be written: {error.strerror}") from None


COMMANDS: Final = {"convert": convert}
