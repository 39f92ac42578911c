"""`wampha check` and `wampha schema`: what one asks about a configuration file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from wampha.config.load import examine
from wampha.config.schema import Settings, json_schema
from wampha.errors import ConfigError


@click.command()
@click.option("-c", "--config", "path", required=True, type=click.Path(path_type=Path), help="the configuration file")
def check(path: Path) -> None:
    """Tell all that is wrong with a configuration file.

    \b
    Prints one line per problem (file:line:column: key: sentence) and exits with 1; prints one line and
    exits with 0 if there is none, behind a line for each warning. Nothing is started; variables and files
    that it refers to are read.

    \b
        wampha check -c config.yaml
        WAMPHA_SECRET=0123456789abcdef wampha check -c node-0.yaml
    """
    try:
        loaded = examine(path)
    except ConfigError as error:
        click.echo(str(error))
        click.echo(f"{len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}", err=True)
        raise SystemExit(1) from None
    for warning in loaded.warnings:
        click.echo(warning)
    click.echo(f"{path}: OK, {describe(loaded.settings)}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of configuration files, for editors and charts.

    \b
        wampha schema > wampha.schema.json
        (first line of the file)  # yaml-language-server: $schema=wampha.schema.json
    """
    click.echo(schema_text(), nl=False)


def schema_text() -> str:
    """Return the JSON Schema as it is committed in `wampha/config/schema.json`."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def describe(settings: Settings) -> str:
    """Return what a node with these settings would be, in one line."""
    realms = ", ".join(realm.name for realm in settings.realms)
    places = ", ".join(listener.endpoint for listener in settings.listeners)
    return f"{_member(settings)}; realms: {realms}; listeners: {places}"


def _member(settings: Settings) -> str:
    name, cluster = settings.node.name, settings.cluster
    if cluster is None:
        return f"node {name} on its own"
    voters = [voter.name for voter in cluster.voters]
    place = f"voter {voters.index(name) + 1} of {len(voters)}" if name in voters else "an observer"
    return f"node {name}, {place} in cluster {cluster.name}"


COMMANDS: Final = {"check": check, "schema": schema}
