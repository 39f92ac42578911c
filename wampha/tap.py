"""`twistd wampha`: the options, and the service that runs one node."""

from __future__ import annotations

import sys
from typing import Any, Final

import txaio

txaio.use_twisted()  # Autobahn's serializers cannot be built before this

from twisted.application.service import Service  # noqa: E402 - txaio comes first
from twisted.internet import defer  # noqa: E402
from twisted.logger import Logger  # noqa: E402
from twisted.python import usage  # noqa: E402

from wampha import __version__  # noqa: E402
from wampha.config.load import development, load  # noqa: E402
from wampha.config.schema import Settings  # noqa: E402
from wampha.errors import ConfigError, StartError  # noqa: E402


class Options(usage.Options):  # type: ignore[misc]  # Twisted's base class is untyped
    """Command line of `twistd wampha`."""

    synopsis = "[-c config.yaml]"
    longdesc = "Run one wampha node. Without a configuration: a single development node on 127.0.0.1:8080."
    optParameters: Final = [["config", "c", None, "the configuration file (YAML); `wampha check -c FILE` tells what is wrong with one"]]


def makeService(options: Options) -> Service:  # noqa: N802 - the name that twistd calls
    """Read the configuration and make the service; problems go to stderr, one a line, and end the process with 1."""
    try:
        settings = load(options["config"]) if options["config"] else development()
    except ConfigError as error:
        sys.stderr.write(f"wampha: the configuration cannot be used:\n{error}\n")
        raise SystemExit(1) from None
    if not options["config"]:
        _introduce_development()
    return NodeService(settings)


def _introduce_development() -> None:
    sys.stdout.write(
        f"wampha {__version__}: a WAMP router, one node, in DEVELOPMENT mode (no configuration was given)\n"
        "  WebSocket ws://127.0.0.1:8080/ws and RawSocket on the same port 127.0.0.1:8080, realm `realm1`\n"
        "  anyone on this machine may do anything; for more: twistd -n wampha -c config.yaml\n"
    )
    sys.stdout.flush()


class NodeService(Service):  # type: ignore[misc]  # Twisted's base class is untyped
    """A node as a Twisted service: starts with the reactor, and drains before it stops."""

    _log = Logger(namespace="wampha")

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._node: Any = None

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        """Start the node; what is in the way is said in one line and ends the process with 1."""
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it: twistd may choose another

        from wampha.node import Node  # noqa: PLC0415 - imports the reactor's protocols

        super().startService()
        self._node = Node(settings=self._settings, reactor=reactor)
        try:
            self._node.start()
        except StartError as error:
            self._log.critical("wampha cannot start: {error}", error=error)
            sys.stderr.write(f"wampha cannot start: {error}\n")
            raise SystemExit(1) from None

    def stopService(self) -> defer.Deferred[None]:  # noqa: N802 - Twisted's name
        """Leave the cluster, say GOODBYE to clients and close everything; fires when all is closed."""
        super().stopService()
        if self._node is None:
            return defer.succeed(None)
        stopped: defer.Deferred[None] = self._node.stop()
        return stopped
