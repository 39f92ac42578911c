"""A client's session over a transport that records, and how it is kept."""

from __future__ import annotations

from typing import Any, Final

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from wampha.cli import staying
from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.session import GOODBYE_S, Answered, Lost, Refused, Session, role, wamp
from wampha.cli.staying import FIRST_PAUSE_S, LONGEST_PAUSE_S, Stay
from wampha.cli.target import Credentials, Target, Trust, Url

ANYONE: Final = Credentials("anonymous")
ROLES: Final = {"broker": role.RoleBrokerFeatures()}


class Transport:
    """Records what is sent; closes when it is told to."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.closed = ""

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def isOpen(self) -> bool:  # noqa: N802 - Autobahn's name
        return True

    def close(self) -> None:
        self.closed = "closed"

    def abort(self) -> None:
        self.closed = "aborted"


def target(credentials: Credentials = ANYONE) -> Target:
    urls = tuple(Url.read(f"ws://{host}/") for host in "ab")
    return Target(urls, "realm1", "json", credentials, Trust(False, None, None, None), 10.0)


def opened(credentials: Credentials = ANYONE) -> tuple[Session, Transport]:
    session, transport = Session(target(credentials)), Transport()
    session.onOpen(transport)
    return session, transport


def joined() -> tuple[Session, Transport]:
    session, transport = opened()
    session.onMessage(wamp.Welcome(7, ROLES))
    assert session.joined.called and session.id == 7
    return session, transport


def failure(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addErrback(found.append)
    return found[0].value


def test_a_session_says_hello_and_has_joined_with_welcome() -> None:
    session, transport = opened()
    assert [type(message) for message in transport.sent] == [wamp.Hello]
    assert not session.joined.called
    session.onMessage(wamp.Welcome(7, ROLES))
    assert session.joined.called


def test_a_challenge_is_answered_and_one_that_makes_no_sense_ends_it() -> None:
    session, transport = opened(Credentials("ticket", "joe", ticket="t"))
    session.onMessage(wamp.Challenge("ticket", {}))
    assert transport.sent[-1].signature == "t"
    session.onMessage(wamp.Challenge("wampcra", {"challenge": "x"}))
    assert isinstance(failure(session.joined), Refused)
    assert type(transport.sent[-1]) is wamp.Abort and transport.closed


def test_a_router_that_cannot_prove_itself_is_left() -> None:
    credentials = Credentials("wamp-scram", "joe", secret="pencil")
    session, transport = opened(credentials)
    nonce = transport.sent[0].authextra["nonce"] + "more"
    extra = {"nonce": nonce, "salt": "c2FsdHNhbHQ=", "iterations": 2, "kdf": "pbkdf2"}
    session.onMessage(wamp.Challenge("wamp-scram", extra))
    session.onMessage(wamp.Welcome(7, ROLES, authextra={"scram_server_signature": "AAAA"}))
    assert "somebody else" in str(failure(session.joined))
    assert session.id == 0


def test_abort_is_a_refusal_with_its_reason() -> None:
    session, transport = opened()
    session.onMessage(wamp.Abort("wamp.error.no_such_realm", "there is none"))
    refused = failure(session.joined)
    assert (refused.reason, str(refused)) == ("wamp.error.no_such_realm", "wamp.error.no_such_realm: there is none")
    assert transport.closed


def test_answers_find_their_requests() -> None:
    session, _ = joined()
    first = session.request(wamp.Subscribe, "a.b")
    second = session.call("c.d", [1], {})
    session.onMessage(wamp.Result(2, args=[3]))
    session.onMessage(wamp.Error(wamp.Subscribe.MESSAGE_TYPE, 1, "wamp.error.not_authorized", args=["no"]))
    assert second.result.args == [3]
    answered = failure(first)
    assert isinstance(answered, Answered)
    assert answered.as_failure().status is Exit.REFUSED
    session.onMessage(wamp.Result(2, args=[4]))  # nobody waits for it


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("com.example.error", Exit.FAILED),
        ("wamp.error.authorization_failed", Exit.REFUSED),
        ("wamp.error.timeout", Exit.TIMEOUT),
    ],
)
def test_an_error_has_its_exit_status_and_says_all_that_came(uri: str, status: Exit) -> None:
    failed = Answered(uri, ["a", 1], {"b": None}).as_failure()
    assert (failed.status, failed.message) == (status, f'{uri}: "a"  1  b=null')


def test_parts_of_a_result_come_before_it_and_a_cancelled_call_is_said_to_be() -> None:
    session, transport = joined()
    parts: list[Any] = []
    called = session.call("c.d", [], {}, parts.append)
    assert transport.sent[-1].receive_progress is True
    session.onMessage(wamp.Result(1, args=[1], progress=True))
    assert [part.args for part in parts] == [[1]] and not called.called
    called.addErrback(lambda _: None)
    called.cancel()
    assert (transport.sent[-1].request, transport.sent[-1].mode) == (1, "killnowait")
    session.onMessage(wamp.Error(wamp.Call.MESSAGE_TYPE, 1, "wamp.error.canceled"))
    session.onMessage(wamp.Result(1, args=[2], progress=True))
    assert len(parts) == 1


def test_a_lost_connection_is_told_to_everyone_who_waits() -> None:
    session, _ = joined()
    asked, ended = session.request(wamp.Subscribe, "a.b"), session.until_ended()
    session.lost("broken")
    assert str(failure(asked)) == "broken"
    assert ended.result == session.until_ended().result == "broken"
    with pytest.raises(Lost):
        session.publish("a.b", [], {})


def test_goodbye_of_the_router_is_answered_and_says_why() -> None:
    session, transport = joined()
    session.onMessage(wamp.Goodbye("wamp.close.system_shutdown", "maintenance"))
    assert type(transport.sent[-1]) is wamp.Goodbye and transport.closed == "closed"
    session.lost("closed")
    assert session.until_ended().result == "the router says goodbye: wamp.close.system_shutdown: maintenance"


def test_who_leaves_waits_for_the_router_and_not_for_ever() -> None:
    clock = Clock()
    for answers in (True, False):
        session, transport = joined()
        left = Deferred.fromCoroutine(session.leave(clock))
        assert type(transport.sent[-1]) is wamp.Goodbye and not left.called
        if answers:
            session.onMessage(wamp.Goodbye("wamp.close.goodbye_and_out"))
        else:
            clock.advance(GOODBYE_S)
        assert transport.closed == ("closed" if answers else "aborted")
        session.lost("gone")
        assert left.called and not clock.getDelayedCalls()
        assert len([message for message in transport.sent if type(message) is wamp.Goodbye]) == 1


def test_work_that_fails_when_it_hears_something_ends_the_session_and_whoever_waits_is_told() -> None:
    session, transport = joined()

    def fail(event: Any) -> None:
        raise CommandFailed(Exit.DONE)

    session.on_event = fail
    ended, asked = session.until_ended(), session.request(wamp.Subscribe, "a.b")
    session.onMessage(wamp.Event(1, 2))
    assert failure(ended).status is failure(asked).status is Exit.DONE
    assert type(transport.sent[-1]) is wamp.Goodbye


# ---- to be there for long


class Router:
    """Gives sessions, or what is wrong instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.failures: list[CommandFailed] = []
        self.sessions: list[Session] = []
        monkeypatch.setattr(staying, "connect", self.connect)

    async def connect(self, reactor: Any, target: Target) -> Session:
        self.asked.append(target.urls[0].host)
        if self.failures:
            raise self.failures.pop(0)
        session, _ = joined()
        self.sessions.append(session)
        return session


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Router:
    """Stands in for all routers."""
    return Router(monkeypatch)


async def settle(session: Session) -> None:
    await succeed(None)


def unreachable() -> CommandFailed:
    return CommandFailed(Exit.UNREACHABLE, "nobody")


def test_who_stays_joins_again_at_the_next_url_with_growing_pauses(router: Router) -> None:
    clock = Clock()
    stay = Stay(clock, target(), settle)
    running = Deferred.fromCoroutine(stay.run())
    router.failures = [unreachable(), unreachable(), CommandFailed(Exit.FAILED, "registered already")]
    router.sessions[0].lost("broken")
    pauses = []
    while len(router.sessions) == 1:
        pauses.append(clock.getDelayedCalls()[0].getTime() - clock.seconds())
        clock.advance(pauses[-1])
    assert router.asked == ["a", "b", "a", "b", "a"]
    assert len(pauses) == 4 and pauses[-1] > pauses[0] and max(pauses) <= LONGEST_PAUSE_S
    router.sessions[1].lost("broken again")
    assert clock.getDelayedCalls()[0].getTime() - clock.seconds() <= FIRST_PAUSE_S
    clock.advance(FIRST_PAUSE_S)
    stay.end()
    router.sessions[2].lost("left")
    assert running.called and running.result is None and not clock.getDelayedCalls()


def test_the_first_attempt_fails_at_once(router: Router) -> None:
    router.failures = [unreachable()]
    assert failure(Deferred.fromCoroutine(Stay(Clock(), target(), settle).run())).status is Exit.UNREACHABLE


def test_who_is_refused_later_does_not_try_again(router: Router) -> None:
    clock = Clock()
    running = Deferred.fromCoroutine(Stay(clock, target(), settle).run())
    router.failures = [CommandFailed(Exit.REFUSED, "no")]
    router.sessions[0].lost("broken")
    clock.advance(LONGEST_PAUSE_S)
    assert failure(running).status is Exit.REFUSED


def test_who_does_not_want_to_reconnect_ends(router: Router) -> None:
    running = Deferred.fromCoroutine(Stay(Clock(), target(), settle, reconnect=False).run())
    router.sessions[0].lost("broken")
    failed = failure(running)
    assert failed.status is Exit.UNREACHABLE and "broken" in failed.message


def test_who_is_interrupted_leaves(router: Router) -> None:
    clock = Clock()
    running = Deferred.fromCoroutine(Stay(clock, target(), settle).run())
    ended: list[Any] = []
    running.addErrback(lambda failure: ended.append(failure.type))
    running.cancel()
    assert not ended  # it says goodbye first
    router.sessions[0].lost("left")
    assert ended == [CancelledError] and not clock.getDelayedCalls()
