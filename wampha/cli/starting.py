"""`wampha run`: a node in the foreground, by Twisted's own runner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
from twisted.scripts import twistd


@click.command()
@click.option("-c", "--config", "path", type=click.Path(path_type=Path), help="the configuration file")
def run(path: Path | None) -> None:
    """Run one node in the foreground; the same as `twistd -n --pidfile= wampha`.

    \b
    Without a configuration: a development node on 127.0.0.1:8080, realm1, for this machine only.
    Ctrl-C and SIGTERM send clients away in an orderly manner before the node ends.

    \b
        wampha run
        wampha run -c config.yaml
    """
    sys.argv = ["twistd", "-n", "--pidfile=", "wampha", *(["-c", str(path)] if path else [])]
    try:
        twistd.run()  # type: ignore[no-untyped-call]  # of Twisted
    except KeyboardInterrupt:  # twistd has stopped in good order, and then ends itself by the signal that it got
        raise SystemExit(0) from None


COMMANDS: Final = {"run": run}
