"""The `wampha` command. Each subcommand is imported when it is asked for, so that help is quick."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from wampha import __version__

_HELP: Final = """A highly available WAMP router, and a WAMP client for the command line.

\b
Run one node for development (127.0.0.1:8080, realm1), and try it:
    wampha run
    wampha sub com.example.hello
    wampha pub com.example.hello "hello world"
Run a node with a configuration, after checking it:
    wampha check -c config.yaml
    wampha run -c config.yaml

All commands that talk to a router take the same options (`wampha pub --help`), or environment variables:
WAMPHA_URL, WAMPHA_REALM, WAMPHA_AUTHID, WAMPHA_TICKET_FILE and so on.

\b
Exit status:
    0    done
    1    an error was answered, or something failed (status: something is wrong)
    2    the command line is wrong (convert: something has no counterpart)
    3    no connection, or it was lost
    4    the router refuses: who one is, or what one wants to do
    5    no answer in time
    130  interrupted
"""

# name -> its module, in the order of the help, and what the overview says of it.
COMMANDS: Final = {
    "run": ("starting", "Run one node, as `twistd wampha` does."),
    "check": ("configuration", "Tell all that is wrong with a configuration file."),
    "schema": ("configuration", "Print the JSON Schema of configuration files."),
    "convert": ("converting", "Turn another router's configuration into one of wampha's."),
    "status": ("watching", "Show the cluster at a glance, and what is wrong."),
    "drain": ("steering", "Have a node send its clients away, and end."),
    "reload": ("steering", "Have a node read its configuration again."),
    "log-level": ("steering", "Change what a running node logs."),
    "pub": ("publishing", "Publish an event."),
    "sub": ("subscribing", "Subscribe to a topic and print its events."),
    "call": ("calling", "Call a procedure and print what it answers."),
    "register": ("registering", "Offer a procedure: an echo, or a command of the shell."),
    "bench": ("benching", "Measure rate and latency of events or calls."),
    "keygen": ("keys", "Make a key pair for cryptosign, or a cluster's secret."),
    "certs": ("keys", "Make certificates, and an authority that signs them."),
    "hash": ("keys", "Print the argon2id hash of a ticket."),
    "completion": ("completing", "Print what makes a shell complete wampha's commands."),
}


class _Commands(click.Group):
    """The commands of a table, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"wampha.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.COMMANDS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=_Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "-V", "--version", prog_name="wampha", message="%(prog)s %(version)s")
def main() -> None:
    """Run the `wampha` command."""
