"""`twistd wampha`: the options, and the service that runs one node."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Final

import txaio
from twisted.application.service import Service
from twisted.internet import defer
from twisted.logger import Logger, globalLogPublisher
from twisted.python import usage

from wampha import __version__
from wampha.clock import ReactorClock, steady
from wampha.config.load import ConfigFile, Loaded, development
from wampha.errors import ConfigError, StartError
from wampha.filewatch import FileWatch, Marks, marks_of
from wampha.notify import Reports, manager
from wampha.observe.admin import Admin
from wampha.observe.logs import Logs
from wampha.observe.status import as_line
from wampha.threads import Threads
from wampha.transport.room import take_all_descriptors


class Options(usage.Options):
    """Command line of `twistd wampha`."""

    synopsis = "[-c config.yaml]"
    longdesc = "Run one wampha node. Without a configuration: a single development node on 127.0.0.1:8080."
    optParameters: ClassVar = [  # noqa: N815 - Twisted's name
        ["config", "c", None, "the configuration file (YAML); `wampha check -c FILE` tells what is wrong with it"]
    ]


def makeService(options: Options) -> Service:  # noqa: N802 - the name that twistd calls
    """Read the configuration and make the service; problems go to stderr, one a line, and end the process with 1."""
    file = ConfigFile(options["config"]) if options["config"] else None
    before = marks_of(file.files) if file else {}
    try:
        loaded = file.read() if file else Loaded(development())
    except ConfigError as error:
        sys.stderr.write(f"wampha: the configuration cannot be used:\n{error}\n")
        raise SystemExit(1) from None
    if not options["config"]:
        _introduce_development()
    return NodeService(loaded, file, before)


def _introduce_development() -> None:
    sys.stdout.write(
        f"wampha {__version__}: a WAMP router, one node, in DEVELOPMENT mode (no configuration was given)\n"
        "  WebSocket ws://127.0.0.1:8080/ws and RawSocket on the same port 127.0.0.1:8080, realm `realm1`\n"
        "  anyone on this machine may do anything; for more: twistd -n wampha -c config.yaml\n"
    )
    sys.stdout.flush()


def _tune_collector() -> None:
    """Collect cyclic garbage less often, and never look at what the imports left.

    Routing makes next to no cycles, but every collection walks through the tables: with 100,000 subscriptions Python's
    own thresholds cost 40 % of the time of a SUBSCRIBE.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _stop_once() -> None:
    """Let only the first SIGINT or SIGTERM stop the reactor: Twisted's own handlers log an error at the second one.

    One that is ignored stays so, as SIGINT is for what a shell runs in the background.
    """
    present = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in present.items() if callable(handler)}

    def stop(number: int, frame: FrameType | None) -> None:
        for each in handlers:
            # Not SIG_IGN: Python complains when a signal that had arrived already is ignored then.
            signal.signal(each, _heedless)
        handlers[signal.Signals(number)](number, frame)

    for each in handlers:
        signal.signal(each, stop)


def _heedless(number: int, frame: FrameType | None) -> None:
    """It stops already, within a bound."""


class NodeService(Service):
    """A node as a Twisted service: starts with the reactor, and drains before it stops."""

    _log = Logger(namespace="wampha")

    def __init__(self, loaded: Loaded, file: ConfigFile | None = None, before: Marks | None = None) -> None:
        """`file` is what `loaded` was read from, and `before` what was there then."""
        self._settings: Final = loaded.settings
        self._warnings: Final = loaded.warnings
        self._file: Final = file
        self._before: Final = before
        self._threads: Threads | None = None  # for the watch
        self._watch: FileWatch | None = None
        self._logs: Final = Logs(self._settings.log.level, self._settings.log.format, self._settings.node.name)
        self._logs.take_over()
        self._node: Any = None
        self._manager: Final = manager()
        self._reports: Reports | None = None
        self._admin: Admin | None = None

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        """Start the node; what is in the way is said in one line and ends the process with 1."""
        txaio.use_twisted()  # type: ignore[no-untyped-call]  # Autobahn's serializers ask for it when imported
        # Importing the reactor installs one, and twistd may have been told to choose another than the default.
        from twisted.internet import reactor  # noqa: PLC0415

        from wampha.cluster.lookups import bound_lookups  # noqa: PLC0415 - needs the reactor
        from wampha.node import Node  # noqa: PLC0415 - imports protocols, which import the reactor

        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        self._logs.hold(globalLogPublisher)
        for warning in self._warnings:
            self._log.warn("{warning}", warning=warning)
        steady(reactor)
        take_all_descriptors()
        _tune_collector()
        reactor.callWhenRunning(_stop_once)  # Twisted's handlers are there by then
        try:
            self._node = Node(
                settings=self._settings,
                reactor=reactor,
                read=self._file.read if self._file else None,
                show=self._logs.set,
            )
            self._node.turns.watch(reactor)
            bound_lookups(reactor, self._node.counters)
            if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:  # with --logfile it rotates the file
                signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(self._toggle_debug))
            signal.signal(signal.SIGUSR2, lambda *_: reactor.callFromThread(self._tell_status))
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(self._reload))
            self._admin = self._make_admin(reactor)
            self._node.start()
            self._watch_files(reactor)
        except StartError as error:
            self._log.critical("wampha cannot start: {error}", error=error)
            sys.stderr.write(f"wampha cannot start: {error}\n")
            raise SystemExit(1) from None
        if self._manager is not None:
            self._reports = Reports(
                self._manager,
                clock=ReactorClock(reactor),
                ready=lambda: self._node.ready,
                condition=self._node.condition,
            )
            self._reports.start()

    def _reload(self) -> defer.Deferred[Any]:
        reloaded: defer.Deferred[Any] = (
            self._node.reload() if self._reports is None else self._reports.reload(self._node.reload)
        )
        return reloaded

    def _watch_files(self, reactor: Any) -> None:
        """Read the configuration again when it has changed, if that is wished."""
        every_s = self._settings.node.watch_files_s
        if self._file is None or every_s == 0:
            return
        file = self._file
        # Threads of its own: a file system that hangs holds up no authentication.
        self._threads = Threads(reactor=reactor, counters=self._node.counters)
        self._watch = FileWatch(
            files=lambda: file.files,
            changed=self._reload,
            every_s=every_s,
            clock=ReactorClock(reactor),
            workers=self._threads,
            known=self._before,
        )
        reactor.callWhenRunning(self._watch.start)

    def _make_admin(self, reactor: Any) -> Admin | None:
        """The socket for changes, if there is a folder for it; raises StartError."""
        folder = self._settings.node.run_dir
        if folder is None:
            return None
        admin = Admin(
            folder=Path(folder),
            routes=self._node.monitor.routes(),
            drain=lambda: os.kill(os.getpid(), signal.SIGTERM),  # so that it ends in the same way
            reload=lambda: self._reload().addCallback(lambda reloaded: reloaded.as_dict()),
            level=self._logs,
            counters=self._node.counters,
            reactor=reactor,
        )
        admin.listen()
        return admin

    def _tell_status(self) -> None:
        self._node.inquiry.ask(lambda status: self._log.info("status {status}", status=as_line(status), asked=True))

    def _toggle_debug(self) -> None:
        self._logs.toggle_debug()
        self._log.warn("the log shows lines from {shown} on", shown=self._logs.level)

    def stopService(self) -> defer.Deferred[None]:  # noqa: N802 - Twisted's name
        """Send clients away, leave the cluster and close everything; fires when all is closed."""
        super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
        if self._node is None:
            return defer.succeed(None)
        if self._watch is not None:
            self._watch.stop()
        if self._reports is not None:
            self._reports.stopping(self._node.settings.node.drain.deadline_s)
        stopped: defer.Deferred[None] = self._node.stop()
        return stopped.addCallback(lambda _: self._admin.stop() if self._admin else None).addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        if self._threads is not None:
            self._threads.stop()
        if self._reports is not None:
            self._reports.stop()
        return result
