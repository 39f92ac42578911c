"""`wampha register --exec`: what runs, what waits, what is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock

from wampha.cli import registering
from wampha.cli.registering import CALLS_WAITING_MAX, _Callee
from wampha.cli.session import wamp
from wampha.cli.shell import OUTPUT_BYTES_MAX, Job, JobFailed


def run(command: str, given: Any = None) -> str:
    """What a command prints, run at once."""
    output: list[Any] = []
    Job(Clock(), command, given, 60.0, execute).done.addBoth(output.append)
    if not isinstance(output[0], str):
        output[0].raiseException()
    return str(output[0])


def test_a_command_reads_json_and_its_output_is_the_result() -> None:
    assert run("cat", {"args": [1, "é\x1b", b"\0"]}) == '{"args": [1, "é\\u001b", "\\u0000AA=="]}'
    assert run("printf 'a\\n\\n'") == "a\n"


@pytest.mark.parametrize(
    ("command", "words"), [("exit 3", "ended with status 3"), ("kill -9 $$", "was ended by signal 9")]
)
def test_a_command_that_fails_gives_an_error(command: str, words: str) -> None:
    with pytest.raises(JobFailed, match=words) as failed:
        run(command)
    assert failed.value.uri == "wamp.error.runtime_error"


def test_what_a_command_prints_is_bounded() -> None:
    with pytest.raises(JobFailed, match=f"more than {OUTPUT_BYTES_MAX} bytes"):
        run("yes")


def test_a_command_that_is_killed_before_it_starts_never_ends_well() -> None:
    later: list[Callable[[], str]] = []

    def in_thread(work: Callable[..., str], *arguments: Any) -> Deferred[str]:
        later.append(lambda: work(*arguments))
        return Deferred()

    clock = Clock()
    Job(clock, "sleep 60", None, 5.0, in_thread)
    clock.advance(5.0)
    with pytest.raises(JobFailed, match="did not end within 5 s") as failed:
        later[0]()
    assert failed.value.uri == "wamp.error.timeout"


class FakeJob:
    """A command that runs until the test says that it ended."""

    made: list[FakeJob]

    def __init__(self, *arguments: Any) -> None:
        self.given = arguments[2]
        self.done: Deferred[str] = Deferred()
        self.made.append(self)

    def kill(self, sentence: str, uri: str = "wamp.error.runtime_error") -> None:
        self.done.errback(JobFailed(sentence, uri))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeJob]]:
    FakeJob.made = []
    monkeypatch.setattr(registering, "Job", FakeJob)
    yield FakeJob.made
    for job in FakeJob.made:  # each that ends lets another one begin
        if not job.done.called:
            job.done.callback("")


class Caller:
    """A session that invokes a callee, and what it was sent."""

    id = 1

    def __init__(self, callee: _Callee) -> None:
        self.sent: list[Any] = []
        self._callee = callee

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def invoke(self, number: int) -> None:
        session: Any = self
        self._callee._invoked(session, wamp.Invocation(number, 1, args=[number]))

    def interrupt(self, number: int) -> None:
        session: Any = self
        self._callee._interrupted(session, SimpleNamespace(request=number))


def callee(concurrency: int = 2, command: str | None = "command") -> _Callee:
    target: Any = None
    return _Callee(target, "com.example.x", command, concurrency, 60.0)


def test_an_echo_answers_at_once() -> None:
    caller = Caller(callee(command=None))
    caller.invoke(7)
    assert [(message.request, message.args) for message in caller.sent] == [(7, [7])]


def test_commands_run_in_the_order_of_their_calls_and_no_more_at_once_than_is_said(jobs: list[FakeJob]) -> None:
    caller = Caller(callee())
    for number in range(1, 5):
        caller.invoke(number)
    assert [job.given["args"] for job in jobs] == [[1], [2]]
    jobs[1].done.callback("[2]")
    jobs[0].done.callback("text")
    assert [(message.request, message.args) for message in caller.sent] == [(2, [[2]]), (1, ["text"])]
    assert [job.given["args"] for job in jobs] == [[1], [2], [3], [4]]
    jobs[2].done.callback("")
    assert caller.sent[-1].args is None


def test_calls_that_wait_for_a_command_are_bounded(jobs: list[FakeJob]) -> None:
    caller = Caller(callee(1))
    for number in range(1, CALLS_WAITING_MAX + 3):
        caller.invoke(number)
    (refused,) = caller.sent
    assert (refused.request, refused.error) == (CALLS_WAITING_MAX + 2, "wamp.error.unavailable")


def test_who_cancels_a_call_that_waits_or_runs_is_told_so(jobs: list[FakeJob]) -> None:
    caller = Caller(callee(1))
    for number in (1, 2, 3):
        caller.invoke(number)
    caller.interrupt(2)
    caller.interrupt(1)
    caller.interrupt(9)
    assert [(message.request, message.error) for message in caller.sent] == [
        (2, "wamp.error.canceled"),
        (1, "wamp.error.canceled"),
    ]
    assert [job.given["args"] for job in jobs] == [[1], [3]]
