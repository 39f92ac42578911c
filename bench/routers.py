"""The routers under test: how each is installed, configured and started.

Both get the same: one TCP port of 127.0.0.1 with WebSocket and RawSocket, the realm `realm1`, and anonymous clients
that may do everything.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.errors import BenchError
from bench.process import Launch, free_ports

REPOSITORY = Path(__file__).resolve().parent.parent
CROSSBAR_VERSION = "26.10.1"
REALM = "realm1"
ALLOW_ALL = {"call": True, "register": True, "publish": True, "subscribe": True}
ONE_FOR_ALL = ({"uri": "", "match": "prefix", "allow": ALLOW_ALL},)  # permissions


class Router(Protocol):
    """A router that can be measured."""

    name: str

    def version(self) -> str:
        """Say what it is and which version."""

    def launch(self, directory: Path) -> Launch:
        """Write the configuration of a single node into `directory` and say how to start it."""


def _output(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, cwd=REPOSITORY
    )
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, command))} failed:\n{done.stderr or done.stdout}")
    return done.stdout.strip()


def _commit() -> str:
    """The commit of the working tree, with a plus for changes; nothing outside of git."""
    try:
        changes = _output(["git", "status", "--porcelain", "--untracked-files=no", "--", "wampha"])
        return f" ({_output(['git', 'rev-parse', '--short', 'HEAD'])}{'+' if changes else ''})"
    except (BenchError, FileNotFoundError):
        return ""


def _write(path: Path, configuration: dict[str, Any]) -> Path:
    """JSON, which is also YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(configuration, indent=2))
    return path


class Crossbar:
    """Crossbar.io of the Python package index, in an environment of its own."""

    name = "crossbar"

    def __init__(self, environment: Path) -> None:
        self._environment = environment
        self._python = environment / "bin" / "python"

    def install(self) -> None:
        """Install the version we compare with, unless it is there. Raises BenchError when pip fails."""
        if self._python.exists() and self._installed() == CROSSBAR_VERSION:
            return
        print(f"Installing Crossbar {CROSSBAR_VERSION} into {self._environment} ...", file=sys.stderr, flush=True)
        venv.create(self._environment, with_pip=True)
        _output([self._python, "-m", "pip", "install", "--quiet", f"crossbar=={CROSSBAR_VERSION}"])

    def _installed(self) -> str | None:
        code = "import importlib.metadata as m; print(m.version('crossbar'))"
        try:
            return _output([self._python, "-c", code])
        except BenchError:
            return None

    def version(self) -> str:
        """Say what it is and on which Python it runs."""
        return f"Crossbar.io {CROSSBAR_VERSION}, {_output([self._python, '--version'])}, one router worker"

    def launch(self, directory: Path) -> Launch:
        """One router worker with a universal transport; log level and all else by default."""
        (port,) = free_ports(1)
        _write(directory / "config.json", _crossbar_configuration(port))
        program = self._environment / "bin" / "crossbar"
        command = [str(program), "start", "--cbdir", str(directory), "--color", "false"]
        return Launch(name=self.name, command=command, directory=directory, port=port, environment={})


def _crossbar_configuration(port: int) -> dict[str, Any]:
    serializers = ["json", "msgpack", "cbor"]
    permission = {**ONE_FOR_ALL[0], "cache": True}
    transport = {
        "type": "universal",
        "endpoint": {"type": "tcp", "port": port, "interface": "127.0.0.1", "backlog": 4096},
        "rawsocket": {"serializers": serializers},
        "websocket": {"ws": {"type": "websocket", "serializers": serializers}},
    }
    realm = {"name": REALM, "roles": [{"name": "anonymous", "permissions": [permission]}]}
    worker = {"type": "router", "realms": [realm], "transports": [transport]}
    return {"version": 2, "controller": {}, "workers": [worker]}


class Wampha:
    """wampha of a working tree, by the interpreter that has its dependencies."""

    name = "wampha"

    def __init__(
        self, python: Path, checkout: Path = REPOSITORY, permissions: Sequence[dict[str, Any]] = ONE_FOR_ALL
    ) -> None:
        """`permissions` are those of its clients on a single node."""
        self._python = python
        self._permissions = permissions
        paths = filter(None, [str(checkout), os.environ.get("PYTHONPATH")])
        self._environment = {"PYTHONPATH": os.pathsep.join(paths)}

    def version(self) -> str:
        """Say which version of wampha runs on which Python."""
        code = "import wampha; print(wampha.__version__)"
        number = _output([self._python, "-c", code], **self._environment)
        return f"wampha {number}{_commit()}, {_output([self._python, '--version'])}"

    def launch(self, directory: Path) -> Launch:
        """One node without a cluster."""
        (port,) = free_ports(1)
        return self._launch(directory, port, _wampha_configuration("bench1", port, self._permissions))

    def launch_cluster(self, directory: Path, nodes: int) -> list[Launch]:
        """Say how to start the nodes of one cluster, all of them voters."""
        ports = free_ports(2 * nodes)
        addresses = {f"bench{i + 1}": f"127.0.0.1:{port}" for i, port in enumerate(ports[nodes:])}
        launches = []
        for port, (name, address) in zip(ports[:nodes], addresses.items(), strict=True):
            configuration = _wampha_configuration(name, port)
            configuration["cluster"] = {
                "name": "bench",
                "listen": f"tcp:{address.rpartition(':')[2]}:interface=127.0.0.1",
                "advertise": address,
                "secret": "a secret that only the bench knows",
                "voters": [{"name": voter, "address": at} for voter, at in addresses.items()],
            }
            launches.append(self._launch(directory / name, port, configuration))
        return launches

    def _launch(self, directory: Path, port: int, configuration: dict[str, Any]) -> Launch:
        file = _write(directory / "wampha.yaml", configuration)
        twistd = self._python.parent / "twistd"
        command = [str(twistd), "-n", "--pidfile=", "wampha", "-c", str(file)]
        return Launch(name=self.name, command=command, directory=directory, port=port, environment=self._environment)


def _wampha_configuration(name: str, port: int, permissions: Sequence[dict[str, Any]] = ONE_FOR_ALL) -> dict[str, Any]:
    listener = {
        "endpoint": f"tcp:{port}:interface=127.0.0.1:backlog=4096",
        "protocols": ["websocket", "rawsocket"],
        "auth": {"anonymous": {"role": "anonymous"}},
    }
    realm = {"name": REALM, "roles": [{"name": "anonymous", "permissions": list(permissions)}]}
    return {"node": {"name": name}, "monitoring": None, "realms": [realm], "listeners": [listener]}
