"""How a command ends that could not do what it was told: one sentence on standard error, and an exit status."""

from __future__ import annotations

from enum import IntEnum
from typing import IO, Any

import click


class Exit(IntEnum):
    """What the exit status means; `wampha --help` has the same list."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    TIMEOUT = 5
    INTERRUPTED = 130


class CommandFailed(click.ClickException):
    """Ends the command with a status; `message` may be empty."""

    def __init__(self, status: Exit, message: str = "") -> None:
        super().__init__(message)
        self.status = status

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # a constant of the class in click
        """The process's exit status."""
        return int(self.status)

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it on standard error."""
        if self.message:
            click.echo(f"wampha: {self.message}", err=True, file=file)
