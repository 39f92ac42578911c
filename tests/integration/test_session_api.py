"""Session meta API and testaments message by message, over real connections, on one node and between two.

What the router must do is worked out in `tests/unit/routing/meta`; here it is seen from outside. The tests share a
cluster, so they look for what is theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.integration.test_meta_api import KINDS, WAYS, fresh, refused
from tests.support.nodes import META_REALM, Cluster, eventually
from tests.support.wampclient import EVENT, GOODBYE, AnsweredError, ConnectionEndedError, Session

NOTHING: Final = ([], [[]])  # payloads of a RESULT without values

Trio = tuple[Session, Session, Session]


@pytest.fixture(params=WAYS, ids="-to-".join)
def trio(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Callable[..., Trio]]:
    """Makes one who asks, one whom it is about, and another one at the home of that one."""
    first, second = request.param
    with ExitStack() as stack:

        def make(kind: int, realm: str = META_REALM) -> Trio:
            homes = (first, second, second)
            one, two, three = (
                stack.enter_context(cluster[home].session(*KINDS[(kind + place) % 3], realm))
                for place, home in enumerate(homes)
            )
            return one, two, three

        yield make


def known(asker: Session, session: Session) -> dict[str, Any]:
    """What is told of a session, which its node may not have reported yet."""

    def there() -> bool:
        try:
            asker.call("wamp.session.get", [session.id])
        except AnsweredError:
            return False
        return True

    eventually(there, 5.0, "the session is known on every node")
    ((details,),) = asker.call("wamp.session.get", [session.id])
    return dict(details)


def events_of(watcher: Session, session: Session, number: int) -> list[list[Any]]:
    """The next events about a session: the last component of their topic, and their other arguments."""
    found: list[list[Any]] = []
    while len(found) < number:
        args = watcher.next(EVENT)[4]
        about = args[0]["session"] if isinstance(args[0], dict) else args[0]
        if about == session.id:
            found.append(args)
    return found


def silence(watcher: Session, session: Session) -> None:
    """Nothing more is told of a session."""
    watcher.synchronize()
    assert not [each for each in watcher.inbox if session.id in each[4] or session.id == each[4][0]]


@pytest.mark.parametrize("kind", range(3))
def test_sessions_are_found_described_and_counted(trio: Callable[..., Trio], kind: int) -> None:
    asker, subject, other = trio(kind)
    details = known(asker, subject)
    known(asker, other)
    transport = details.pop("transport")
    assert details == {
        "session": subject.id,
        "authid": subject.welcome["authid"],
        "authrole": "anonymous",
        "authmethod": "anonymous",
        "authprovider": "static",
    }
    kind_of, serializer = KINDS[(kind + 1) % 3]
    assert (transport["type"], transport["protocol"]) == (kind_of, serializer)
    assert transport["peer"].startswith("tcp4:127.0.0.1:")
    ((ids,),) = asker.call("wamp.session.list")
    assert {asker.id, subject.id, other.id} <= set(ids)
    ((count,),) = asker.call("wamp.session.count", [["anonymous"]])
    assert count >= 3
    assert asker.call("wamp.session.count", [["nobody"]]) == [[0]]
    assert asker.call("wamp.session.list", [[]]) == [[[]]]
    assert refused(asker, "wamp.session.get", 2**40) == "wamp.error.no_such_session"
    assert refused(asker, "wamp.session.get", "x") == "wamp.error.invalid_argument"
    assert refused(asker, "wamp.session.count", "x") == "wamp.error.invalid_argument"


@pytest.mark.parametrize("kind", range(3))
def test_joining_and_leaving_are_told_once(trio: Callable[..., Trio], cluster: Cluster, kind: int) -> None:
    watcher, neighbour, _ = trio(kind)
    for each in (watcher, neighbour):
        each.subscribe("wamp.session.on_join")
        each.subscribe("wamp.session.on_leave")
    home = next(node for node in cluster if node.port == neighbour.connection.socket.getpeername()[1])
    subject = home.session(*KINDS[kind], META_REALM)
    began = time.monotonic()
    joined = [events_of(each, subject, 1)[0][0] for each in (watcher, neighbour)]
    assert joined[0] == joined[1] == known(watcher, subject)
    assert time.monotonic() - began < 5.0
    subject.leave()
    for each in (watcher, neighbour):
        assert events_of(each, subject, 1) == [[subject.id, subject.welcome["authid"], "anonymous"]]
    for each in (watcher, neighbour):
        silence(each, subject)


@pytest.mark.parametrize("kind", range(3))
def test_a_killed_session_gets_goodbye_and_answers_nobody(trio: Callable[..., Trio], kind: int) -> None:
    asker, subject, other = trio(kind)
    known(asker, subject)
    procedure = fresh()
    subject.register(procedure)
    watched = asker.subscribe("wamp.session.on_leave")
    arguments = {"reason": "test.reason", "message": "Enough."}
    assert asker.call("wamp.session.kill", [subject.id], arguments) in NOTHING
    assert refused(asker, procedure) == "wamp.error.no_such_procedure"
    assert refused(other, procedure) == "wamp.error.no_such_procedure"
    assert subject.next(GOODBYE) == [GOODBYE, {"message": "Enough."}, "test.reason"]
    with pytest.raises(ConnectionEndedError):
        subject.next(EVENT)
    assert events_of(asker, subject, 1) == [[subject.id, subject.welcome["authid"], "anonymous"]]
    asker.unsubscribe(watched)
    assert refused(asker, "wamp.session.kill", subject.id) == "wamp.error.no_such_session"
    assert refused(asker, "wamp.session.kill", asker.id) == "wamp.error.no_such_session"
    assert refused(asker, "wamp.session.kill") == "wamp.error.invalid_argument"
    other.register(procedure)


def test_sessions_are_killed_by_authid_and_a_reason_must_be_a_uri(trio: Callable[..., Trio]) -> None:
    asker, subject, other = trio(0)
    known(asker, subject)
    authid = subject.welcome["authid"]
    with pytest.raises(AnsweredError) as answer:
        asker.call("wamp.session.kill_by_authid", [authid], {"reason": "not a uri"})
    assert answer.value.uri == "wamp.error.invalid_uri"
    assert asker.call("wamp.session.kill_by_authid", [authid]) == [[[subject.id]]]
    assert subject.next(GOODBYE) == [GOODBYE, {}, "wamp.close.normal"]
    assert asker.call("wamp.session.kill_by_authrole", ["nobody"]) == [[0]]
    other.synchronize()


def test_a_killed_client_that_does_not_go_is_cut(trio: Callable[..., Trio]) -> None:
    asker, subject, _ = trio(1)  # over WebSocket, whose close it never answers
    assert subject.connection.transport == "websocket"
    known(asker, subject)
    asker.call("wamp.session.kill", [subject.id])
    assert subject.next(GOODBYE)[2] == "wamp.close.normal"
    subject.connection.socket.settimeout(20.0)
    try:
        while subject.connection.socket.recv(65536):
            continue
    except ConnectionResetError:
        pass


def test_who_may_call_everything_may_not_kill(trio: Callable[..., Trio]) -> None:
    asker, subject, _ = trio(0, "realm1")
    known(asker, subject)
    for procedure, *args in (("kill", subject.id), ("kill_all",), ("modify_details", subject.id, {"x": 1})):
        assert refused(asker, f"wamp.session.{procedure}", *args) == "wamp.error.not_authorized"
    subject.synchronize()


@pytest.mark.parametrize("kind", range(3))
def test_details_are_modified(trio: Callable[..., Trio], kind: int) -> None:
    asker, subject, other = trio(kind)
    known(asker, subject)
    asker.call("wamp.session.modify_details", [subject.id, {"mood": ["fine", 1]}])
    for each in (asker, subject, other):
        assert known(each, subject)["mood"] == ["fine", 1]
    assert (
        refused(asker, "wamp.session.modify_details", subject.id, {"authid": "root"}) == "wamp.error.invalid_argument"
    )


@pytest.mark.parametrize("kind", range(3))
def test_testaments_come_by_scope_before_on_leave(trio: Callable[..., Trio], kind: int) -> None:
    watcher, subject, neighbour = trio(kind)
    topic = fresh()
    for each in (watcher, neighbour):
        each.subscribe(topic)
        each.subscribe("wamp.session.on_leave")
    for word, scope in (("b", "destroyed"), ("a", "detached"), ("c", "destroyed")):
        arguments = [topic, [subject.id, word], {"n": 1.5}]
        assert subject.call("wamp.session.add_testament", arguments, {"scope": scope}) in NOTHING
    subject.call(
        "wamp.session.add_testament", [topic, [subject.id, "nobody"], {}], {"publish_options": {"eligible": []}}
    )
    subject.close()
    for each in (watcher, neighbour):
        told = events_of(each, subject, 4)
        assert [args[1] for args in told] == ["a", "b", "c", subject.welcome["authid"]]
    for each in (watcher, neighbour):
        silence(each, subject)


def test_flushed_testaments_are_not_published_and_bounds_are_kept(trio: Callable[..., Trio]) -> None:
    watcher, subject, _ = trio(0)
    topic = fresh()
    watcher.subscribe(topic)
    watcher.subscribe("wamp.session.on_leave")
    for scope in ("destroyed", "detached"):
        subject.call("wamp.session.add_testament", [topic, [subject.id, scope], {}], {"scope": scope})
    assert subject.call("wamp.session.flush_testaments", [], {"scope": "destroyed"}) in NOTHING
    large = [topic, ["x" * 20_000], {}]
    assert refused(subject, "wamp.session.add_testament", *large) == "wamp.error.unavailable"
    assert refused(subject, "wamp.session.add_testament", "wamp.x") == "wamp.error.invalid_uri"
    subject.close()
    assert [args[1] for args in events_of(watcher, subject, 2)] == ["detached", subject.welcome["authid"]]


def test_a_killed_node_s_sessions_leave_once_with_their_testaments(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    watchers = [cluster[name].session(realm=META_REALM) for name in "ab"]
    for watcher in watchers:
        watcher.subscribe("wamp.session.on_leave")
        watcher.subscribe("last")
    subjects = [cluster["c"].session(realm=META_REALM) for _ in range(5)]
    for subject in subjects:
        subject.call("wamp.session.add_testament", ["last", [subject.id, "last"], {}])
    cluster["c"].kill()
    for watcher in watchers:
        told = [watcher.next(EVENT, 20.0)[4] for _ in range(2 * len(subjects))]
        assert sorted(args[0] for args in told) == sorted(2 * [subject.id for subject in subjects])
        for subject in subjects:
            assert [args[1] for args in told if args[0] == subject.id] == ["last", subject.welcome["authid"]]
        assert watcher.call("wamp.session.count") == [[2]]
        watcher.synchronize()
        assert not watcher.inbox
    for session in (*watchers, *subjects):
        session.close()
