"""The `wampha` command: what one asks about a configuration. The router itself is started by `twistd wampha`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import click

from wampha import __version__
from wampha.auth.ticket import hashed
from wampha.certs import CA, Authority, write
from wampha.config.load import examine
from wampha.config.schema import Settings, json_schema
from wampha.errors import ConfigError

_HELP: Final = """A highly available WAMP router.

\b
Run one node for development (127.0.0.1:8080, realm1):
    twistd -n wampha
Run a node with a configuration, after checking it:
    wampha check -c config.yaml
    twistd -n wampha -c config.yaml
Let an editor complete and check keys:
    wampha schema > wampha.schema.json
    (first line of the file)  # yaml-language-server: $schema=wampha.schema.json
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="wampha", message="%(prog)s %(version)s")
def main() -> None:
    """Run the `wampha` command."""


@main.command()
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


@main.command("hash")
@click.option("--ticket", prompt=True, hide_input=True, confirmation_prompt=True, help="asked for if it is left out")
def hash_ticket(ticket: str) -> None:
    """Print the argon2id hash of a ticket, for `ticket_hash` in a configuration.

    \b
        wampha hash
    """
    click.echo(hashed(ticket, os.urandom(16)))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, required=True)
@click.option("--host", "hosts", multiple=True, help="a further name or address of each; default: localhost, 127.0.0.1")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650), help="how long they are valid")
def certs(folder: Path, names: tuple[str, ...], hosts: tuple[str, ...], days: int) -> None:
    """Make certificates for NAMES in FOLDER, and an authority (ca.pem, ca.key) if there is none.

    \b
    For trying out, and for clusters of one's own. Who has ca.key can be anybody: keep it elsewhere.
        wampha certs tls/ node-0 node-1 node-2
        wampha certs tls/ router.example.org --host 192.0.2.7
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / f"{CA}.pem").exists():
            authority = Authority.new(days)
            write(folder, CA, authority.key, authority.certificate)
        authority = Authority.load(folder)
        for name in names:
            write(folder, name, *authority.sign(name, hosts or ("localhost", "127.0.0.1"), days))
            click.echo(f"{folder / name}.pem, {folder / name}.key")
    except FileExistsError as error:
        raise click.ClickException(f"{error.filename} is there already; delete it, or choose another name") from None
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
def schema() -> None:
    """Print the JSON Schema of configuration files, for editors and charts.

    \b
        wampha schema > wampha.schema.json
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
