"""`wampha completion`: what makes a shell complete commands and options."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete wampha's commands and options.

    \b
    For bash 4.4 or newer, in ~/.bashrc:    eval "$(wampha completion bash)"
    For zsh, in ~/.zshrc:                   eval "$(wampha completion zsh)"
    For fish:
        wampha completion fish > ~/.config/fish/completions/wampha.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "wampha", "_WAMPHA_COMPLETE").source())


COMMANDS: Final = {"completion": completion}
