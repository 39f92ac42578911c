"""`wampha register`: a procedure that is an echo, or a command of the shell."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import click
from twisted.internet import defer

from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.running import run
from wampha.cli.session import Answered, Lost, Session, wamp
from wampha.cli.shell import Job, JobFailed
from wampha.cli.staying import Stay
from wampha.cli.target import Target, at_router
from wampha.cli.values import Printer, parsed, payload, say

CALLS_WAITING_MAX: Final = 1000  # calls that wait until a command ends; more are refused with wamp.error.unavailable
_POLICIES: Final = ["single", "first", "last", "random", "roundrobin", "load"]


@click.command()
@click.argument("procedure")
@click.option("--echo", is_flag=True, help="answer each call with its own arguments")
@click.option("--exec", "command", metavar="COMMAND", help="run a command of the shell for each call")
@click.option(
    "--match",
    type=click.Choice(["exact", "prefix", "wildcard"]),
    default="exact",
    show_default=True,
    help="how PROCEDURE is compared: as it is, as the beginning of URIs, or with empty components for any",
)
@click.option(
    "--invoke", type=click.Choice(_POLICIES), default="single", show_default=True, help="who of several is asked"
)
@click.option(
    "--concurrency",
    default=4,
    show_default=True,
    type=click.IntRange(1, 64),
    help="commands that run at once; more wait",
)
@click.option(
    "--timeout",
    "timeout_s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0.1, 86400),
    help="seconds after which a command is killed",
)
@click.option("--reconnect/--no-reconnect", default=True, help="what to do when the connection is lost")
@at_router
def register(
    target: Target,
    *,
    procedure: str,
    echo: bool,
    command: str | None,
    match: str,
    invoke: str,
    concurrency: int,
    timeout_s: float,
    reconnect: bool,
) -> None:
    """Offer PROCEDURE until Ctrl-C: an echo, or a command of the shell for each call.

    \b
    A command gets {"procedure", "args", "kwargs"} as JSON on its standard input. What it prints is the result: JSON
    if it parses, else text without the last line end; nothing is a result without arguments. Another exit status
    than 0 is the error wamp.error.runtime_error. What callers send is never part of the command itself.

    \b
        wampha register com.example.echo --echo
        wampha register com.example.date --exec date
        wampha register com.example.add --exec 'jq ".args | add"'
        wampha register --match prefix com.example.files. --exec ./answer.py
    """
    if echo == (command is not None):
        raise click.UsageError("either --echo or --exec COMMAND says what the procedure does")
    work = _Callee(target, procedure, command, concurrency, timeout_s)
    options = {"match": match, "invoke": invoke}

    async def staying(reactor: Any) -> None:
        work.reactor = reactor
        reactor.suggestThreadPoolSize(concurrency + 2)  # each command that runs takes a thread
        stay = Stay(reactor, target, lambda session: work.settle(session, options), reconnect=reconnect)
        try:
            await stay.run()
        finally:
            work.kill_all()

    run(staying, interrupted=Exit.DONE)


class _Callee:
    """Answers invocations, a bounded number of them at once."""

    def __init__(self, target: Target, procedure: str, command: str | None, concurrency: int, timeout_s: float) -> None:
        self.reactor: Any = None
        self._procedure: Final = procedure
        self._command: Final = command
        self._concurrency: Final = concurrency
        self._timeout_s: Final = timeout_s
        self._printer: Final = Printer()
        self._running: Final[dict[tuple[int, int], Job]] = {}  # (session, request) of the invocation -> its command
        self._waiting: Final[deque[tuple[Session, Any]]] = deque()  # invocations that wait for one to end

    async def settle(self, session: Session, options: dict[str, Any]) -> None:
        """Register on a new session."""
        session.on_invocation = lambda invocation: self._invoked(session, invocation)
        session.on_interrupt = lambda interrupt: self._interrupted(session, interrupt)
        try:
            await session.request(wamp.Register, self._procedure, **options)
        except Answered as answered:
            raise answered.as_failure() from None
        say(f"registered {self._procedure}")

    def kill_all(self) -> None:
        """End all commands that run."""
        self._waiting.clear()
        for job in self._running.values():
            job.kill("the callee ends")

    def _invoked(self, session: Session, invocation: Any) -> None:
        args, kwargs = invocation.args or [], invocation.kwargs or {}
        name = invocation.procedure or self._procedure
        self._printer.tell({"procedure": name, "args": args, "kwargs": kwargs}, f"{name}  {payload(args, kwargs)}")
        if self._command is None:
            _send(session, wamp.Yield(invocation.request, args=args, kwargs=kwargs))
        elif len(self._waiting) >= CALLS_WAITING_MAX:
            _send(session, _error(invocation, "wamp.error.unavailable", f"{CALLS_WAITING_MAX} calls wait already"))
        else:
            self._waiting.append((session, invocation))
            self._begin()

    def _begin(self) -> None:
        """Run commands for those who waited longest, as long as one more may run."""
        while self._waiting and len(self._running) < self._concurrency:
            session, invocation = self._waiting.popleft()
            name = invocation.procedure or self._procedure
            told = {"procedure": name, "args": invocation.args or [], "kwargs": invocation.kwargs or {}}
            assert self._command is not None
            job = Job(self.reactor, self._command, told, self._timeout_s)
            self._running[session.id, invocation.request] = job
            defer.Deferred.fromCoroutine(self._finish(session, invocation, job))

    async def _finish(self, session: Session, invocation: Any, job: Job) -> None:
        """Answer when the command has ended, and let the next one begin."""
        try:
            output = await job.done
        except JobFailed as failed:
            _send(session, _error(invocation, failed.uri, str(failed)))
        else:
            _send(session, wamp.Yield(invocation.request, args=[parsed(output)] if output else None))
        finally:
            del self._running[session.id, invocation.request]
            self._begin()

    def _interrupted(self, session: Session, interrupt: Any) -> None:
        job = self._running.get((session.id, interrupt.request))
        if job is not None:
            job.kill("the caller cancelled the call", "wamp.error.canceled")
            return
        for waiting in self._waiting:
            if waiting[0] is session and waiting[1].request == interrupt.request:
                self._waiting.remove(waiting)
                _send(session, _error(waiting[1], "wamp.error.canceled", "the caller cancelled the call"))
                return


def _error(invocation: Any, uri: str, sentence: str) -> Any:
    return wamp.Error(wamp.Invocation.MESSAGE_TYPE, invocation.request, uri, args=[sentence])


def _send(session: Session, message: Any) -> None:
    """Answer, if there is still somebody to answer to."""
    try:
        session.send(message)
    except (Lost, CommandFailed) as error:
        say(f"a call is not answered: {error}")


COMMANDS: Final = {"register": register}
