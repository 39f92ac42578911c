"""`wampha drain`, `wampha reload` and `wampha log-level`: what changes a running node, by the socket in its run_dir."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from wampha.cli.asking import ANSWER_S, told
from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.values import say

DEFAULT_SOCKET: Final = Path("/run/wampha/admin.sock")
_NAME: Final = "admin.sock"
_POLL_S: Final = 0.1


def _at_socket(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which node; it gets the path as `path`."""
    where = click.option(
        "--socket",
        "path",
        envvar="WAMPHA_SOCKET",
        show_envvar=True,
        type=click.Path(path_type=Path),
        help=f"the node's socket, admin.sock in its node.run_dir [default: {DEFAULT_SOCKET}]",
    )
    config = click.option(
        "-c", "--config", type=click.Path(path_type=Path), help="the node's configuration file, which says its run_dir"
    )
    return where(config(command))


def _socket(path: Path | None, config: Path | None) -> Path:
    if config is None:
        return path or DEFAULT_SOCKET
    from wampha.config.document import read  # noqa: PLC0415 - who names the socket need not wait for it
    from wampha.errors import ConfigError  # noqa: PLC0415

    try:
        data = read(config, {}).data
    except ConfigError as error:
        raise CommandFailed(Exit.FAILED, str(error)) from None
    node = data.get("node") if isinstance(data, dict) else None
    folder = node.get("run_dir") if isinstance(node, dict) else None
    if not isinstance(folder, str):
        raise CommandFailed(
            Exit.FAILED, f"{config}: node.run_dir is not set, so the node has no socket; send it signals"
        )
    return Path(folder) / _NAME


@click.command()
@_at_socket
@click.option("--wait", is_flag=True, help="return when the node has ended")
@click.option(
    "--timeout", "timeout_s", default=60.0, show_default=True, type=click.FloatRange(0, 3600), help="seconds to wait"
)
def drain(path: Path | None, config: Path | None, wait: bool, timeout_s: float) -> None:
    """Have a node send its clients to other nodes, leave the cluster and end, as SIGTERM does.

    \b
        wampha drain -c config.yaml
        wampha drain --wait --socket /run/wampha/admin.sock
    """
    at = _socket(path, config)
    say(told(at, "/drain"))
    deadline = time.monotonic() + timeout_s
    while wait and _listens(at):
        if time.monotonic() > deadline:
            raise CommandFailed(Exit.TIMEOUT, f"the node has not ended within {timeout_s:g} s")
        time.sleep(_POLL_S)


def _listens(path: Path) -> bool:
    """Whether a node has this socket; it has until all else is closed, and one that was killed leaves it behind."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


@click.command()
@_at_socket
def reload(path: Path | None, config: Path | None) -> None:
    """Have a node read its configuration and certificates again, as SIGHUP does.

    \b
    What cannot be used changes nothing: the sentence says why, and the exit status is 1.

    \b
        wampha reload -c config.yaml
    """
    say(told(_socket(path, config), "/reload"))


@click.command("log-level")
@click.argument("level", type=click.Choice(["debug", "info", "warn", "error", "critical"]))
@_at_socket
def log_level(level: str, path: Path | None, config: Path | None) -> None:
    """Change what a running node writes into its log, until it ends.

    \b
        wampha log-level debug -c config.yaml
        wampha log-level info -c config.yaml
    """
    say(told(_socket(path, config), f"/log-level?level={level}"))


COMMANDS: Final = {"drain": drain, "reload": reload, "log-level": log_level}
