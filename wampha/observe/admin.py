"""What changes a running node: a socket in the file system, for who may open it, and nothing of it on any network.

POST /drain                      as SIGTERM: answered at once, then clients are sent away, and the process ends
POST /reload                     as SIGHUP; what has changed, what waits for a restart, or what is wrong, as JSON
POST /log-level?level=debug      until the process ends

What the monitoring port answers is answered here, too.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet import defer
from twisted.logger import InvalidLogLevelError, Logger

from wampha.counters import Counters
from wampha.errors import StartError
from wampha.observe.logs import Logs
from wampha.observe.web import Asked, Routes, Server, Tell, json, text

SOCKET: Final = "admin.sock"
_LOOK_S: Final = 1.0  # for somebody to take our connection, when we see whether anybody listens
_ACCEPTED, _BAD_REQUEST, _CONFLICT = 202, 400, 409


class Admin:
    """The socket of one process."""

    _log = Logger(namespace="wampha.admin")

    def __init__(
        self,
        *,
        folder: Path,
        routes: Routes,
        drain: Callable[[], None],
        reload: Callable[[], defer.Deferred[dict[str, Any]]],
        level: Logs,
        counters: Counters,
        reactor: Any,
    ) -> None:
        """`reload` fires with what came of it, and whether it is `done`; `routes` are added to those of this file."""
        self.path: Final = folder / SOCKET
        self._drain: Final = drain
        self._reload: Final = reload
        self._level: Final = level
        self._reactor: Final = reactor
        own: Routes = {
            "/drain": {"POST": self._on_drain},
            "/reload": {"POST": self._on_reload},
            "/log-level": {"POST": self._on_log_level},
        }
        self._server: Final = Server({**routes, **own}, counters, reactor)
        self._port: Any = None

    # ---- the socket

    def listen(self) -> None:
        """Make the socket, for this user only; raises StartError, with a sentence, if another process has it.

        One that a process has left behind is replaced.
        """
        self._make_way()
        self._try()
        mask = os.umask(0o177)  # else it would be everybody's for a moment
        try:
            self._port = self._reactor.listenUNIX(str(self.path), self._server, mode=0o600)
        finally:
            os.umask(mask)

    def _try(self) -> None:
        """What Twisted cannot bind it does not close."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.bind(str(self.path))
            except OSError as problem:
                raise StartError(f"node.run_dir: the socket {self.path} cannot be made: {problem}") from None
        self.path.unlink()

    def _make_way(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as problem:
            raise StartError(f"node.run_dir: the socket {self.path} cannot be made: {problem.strerror}") from None
        if not stat.S_ISSOCK(mode):
            raise StartError(f"node.run_dir: {self.path} is in the way, and is no socket; remove it")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_LOOK_S)
            try:
                probe.connect(str(self.path))
            except (ConnectionRefusedError, FileNotFoundError):
                self.path.unlink(missing_ok=True)
            except OSError as problem:
                raise StartError(f"node.run_dir: {self.path} cannot be used: {problem}") from None
            else:
                raise StartError(f"node.run_dir: another node listens on {self.path}; give each node its own folder")

    def stop(self) -> defer.Deferred[Any]:
        """Listen no longer, and remove the socket; fires when that is done."""
        self._server.cut()
        port, self._port = self._port, None
        return defer.maybeDeferred(port.stopListening) if port else defer.succeed(None)

    # ---- what it does

    def _on_drain(self, _: Asked, tell: Tell) -> None:
        self._log.info("told to drain")
        tell(text("This node sends its clients away and stops.", _ACCEPTED))
        self._reactor.callLater(0, self._drain)

    def _on_reload(self, _: Asked, tell: Tell) -> None:
        self._reload().addCallback(lambda what: tell(json(what, 200 if what["done"] else _CONFLICT)))

    def _on_log_level(self, asked: Asked, tell: Tell) -> None:
        level = asked.query.get("level", "")
        try:
            self._level.set(level)
        except InvalidLogLevelError:
            tell(text("The level should be debug, info, warn, error or critical.", _BAD_REQUEST))
        else:
            self._log.info("the log shows {least} and above from here on", least=level)
            tell(text(f"The log shows {level} and above."))
