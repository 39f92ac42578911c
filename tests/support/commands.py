"""The `wampha` command as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.nodes import eventually

LIMIT_S: Final = 60.0  # a command takes less than a second; two cores may be shared by a whole test run
WAMPHA: Final = (sys.executable, "-m", "wampha")


def environment(**variables: str) -> dict[str, str]:
    """That of the tests, without what would tell commands where the router is."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WAMPHA_")}
    return {**ours, **variables}


class Done:
    """How a command ended."""

    def __init__(self, arguments: Sequence[str], code: int, out: str, err: str) -> None:
        self.code: Final = code
        self.out: Final = out
        self.err: Final = err
        assert "Traceback" not in err and "Unhandled" not in err, f"wampha {' '.join(arguments)}:\n{err}"

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output: each line is a JSON object."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """A command that runs."""

    def __init__(self, arguments: Sequence[str], folder: Path, variables: dict[str, str]) -> None:
        self._arguments: Final = arguments
        self._folder: Final = folder
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self._process: Final = subprocess.Popen(
                [*WAMPHA, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(**variables),
                cwd=folder,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it has printed."""
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        """What it has said on standard error."""
        return (self._folder / "err").read_text()

    def wait_for(self, pattern: str) -> None:
        """Wait until it has printed or said something that matches; fails if it ends before."""

        def found() -> bool:
            ended = self._process.poll() is not None
            if re.search(pattern, self.out + self.err):
                return True
            assert not ended, f"it ended without {pattern!r}:\n{self.out}{self.err}"
            return False

        eventually(found, LIMIT_S, f"{pattern!r} from wampha {' '.join(self._arguments)}", lambda: self.out + self.err)

    def end(self, number: int = signal.SIGINT) -> Done:
        """Interrupt it, as Ctrl-C does, and wait for the end."""
        self._process.send_signal(number)
        return self.done()

    def done(self) -> Done:
        """Wait until it ends by itself."""
        code = self._process.wait(LIMIT_S)
        return Done(self._arguments, code, self.out, self.err)

    def kill(self) -> None:
        """As a clean-up."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(LIMIT_S)


class Commands:
    """Starts commands in folders of their own, with variables that all of them get."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._folder: Final = folder
        self._variables: Final = variables
        self._started: Final[list[Command]] = []

    def start(self, *arguments: str, **variables: str) -> Command:
        """Start one, and return at once."""
        folder = self._folder / f"command{len(self._started)}"
        folder.mkdir()
        self._started.append(Command(arguments, folder, {**self._variables, **variables}))
        return self._started[-1]

    def __call__(self, *arguments: str, **variables: str) -> Done:
        """Run one to its end."""
        return self.start(*arguments, **variables).done()

    def kill_all(self) -> None:
        """As a clean-up."""
        for command in self._started:
            command.kill()


@contextmanager
def commands(folder: Path, **variables: str) -> Iterator[Commands]:
    """Commands that are ended with the test."""
    made = Commands(folder, **variables)
    try:
        yield made
    finally:
        made.kill_all()
