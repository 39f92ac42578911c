"""An authorizer on this node or another one decides what a session may do; its messages keep their order meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.nodes import ALL_RIGHTS, Cluster
from tests.support.wampclient import (
    CALL,
    ERROR,
    EVENT,
    HELLO,
    INVOCATION,
    PUBLISH,
    ROLES,
    SUBSCRIBE,
    SUBSCRIBED,
    TRANSPORTS,
    YIELD,
    Connection,
    Session,
    connect,
)

AUTHORIZE = "com.example.authorize"


@pytest.fixture(scope="module")
def guarded_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes; who says a ticket has a role that an authorizer decides about."""
    cluster = Cluster(tmp_path_factory.mktemp("guarded"))
    role = {"name": "asked", "authorizer": AUTHORIZE}
    auth = {
        "anonymous": {"role": "anonymous"},
        "ticket": {"principals": {"joe": {"ticket": "secret", "role": "asked"}}},
    }
    for node in cluster:
        node.settings["realms"] = [{"name": "realm1", "roles": [ALL_RIGHTS, role]}]
        node.settings["listeners"] = [{"endpoint": f"tcp:{node.port}:interface=127.0.0.1", "auth": auth}]
    try:
        yield cluster.start()
        cluster.check_logs()
    finally:
        cluster.end()


def decide(authorizer: Session, answer: Any) -> list[Any]:
    """Take what the authorizer is asked, answer it, and give uri, action and options."""
    invocation = authorizer.next(INVOCATION)
    authorizer.connection.send([YIELD, invocation[1], {}, [answer]])
    subject, *asked = invocation[4]
    assert (subject["authid"], subject["authrole"], subject["realm"]) == ("joe", "asked", "realm1")
    return asked


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("home", ["a", "b"])
def test_each_action_waits_for_the_decision_and_nothing_is_overtaken(
    guarded_cluster: Cluster, transport: str, home: str
) -> None:
    topic = f"com.{transport}.{home}"
    with guarded_cluster[home].session() as authorizer, connect(guarded_cluster["a"].port, transport) as client:
        authorizer.register(AUTHORIZE, force_reregister=True)
        client.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["ticket"], "authid": "joe"}])
        client.receive()
        client.send([5, "secret", {}])
        assert client.receive()[0] == 2
        client.send([SUBSCRIBE, 1, {}, topic])
        assert decide(authorizer, True) == [topic, "subscribe", {}]
        assert client.receive()[0] == SUBSCRIBED
        client.send_many(
            [
                [PUBLISH, 2, {"exclude_me": False}, topic, [1]],
                [PUBLISH, 3, {"exclude_me": False}, topic, [2]],
                [CALL, 4, {}, "com.refused"],
            ]
        )
        assert decide(authorizer, {"allow": True, "cache": True}) == [topic, "publish", {}]
        assert decide(authorizer, False) == ["com.refused", "call", {}]
        answers = [client.receive() for _ in range(3)]
        assert [answer[0] for answer in answers] == [EVENT, EVENT, ERROR]
        assert [answer[4] for answer in answers[:2]] == [[1], [2]]
        assert answers[2][4] == "wamp.error.not_authorized"


def joined(port: int, transport: str = "websocket") -> Connection:
    """A client with the role that the authorizer decides about."""
    client = connect(port, transport)
    client.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["ticket"], "authid": "joe"}])
    client.receive()
    client.send([5, "secret", {}])
    assert client.receive()[0] == 2
    return client


def test_a_slow_authorizer_on_another_node_holds_up_its_session_and_nobody_else(guarded_cluster: Cluster) -> None:
    port = guarded_cluster["a"].port
    with guarded_cluster["b"].session() as authorizer, joined(port) as slow, joined(port) as quick:
        authorizer.register(AUTHORIZE, force_reregister=True)
        slow.send_many([[CALL, 1, {}, "com.slow"], [CALL, 2, {}, "com.slow"]])
        asked = authorizer.next(INVOCATION)
        quick.send([CALL, 1, {}, "com.quick"])
        decide(authorizer, True)
        assert quick.receive()[4] == "wamp.error.no_such_procedure"
        with pytest.raises(TimeoutError):
            slow.receive(0.5)
        authorizer.connection.send([YIELD, asked[1], {}, [True]])
        decide(authorizer, False)
        answers = [slow.receive() for _ in range(2)]
        assert [answer[2] for answer in answers] == [1, 2]
        assert [answer[4] for answer in answers] == ["wamp.error.no_such_procedure", "wamp.error.not_authorized"]


def test_an_authorizer_that_goes_means_no_at_once(guarded_cluster: Cluster) -> None:
    with joined(guarded_cluster["a"].port) as client:
        authorizer = guarded_cluster["b"].session()
        authorizer.register(AUTHORIZE, force_reregister=True)
        client.send([CALL, 1, {}, "com.any"])
        authorizer.next(INVOCATION)
        authorizer.connection.close()
        assert client.receive(2.0)[4] == "wamp.error.not_authorized"


def test_a_mute_authorizer_means_no_and_holds_up_nobody_else(guarded_cluster: Cluster) -> None:
    with guarded_cluster["b"].session() as authorizer, connect(guarded_cluster["a"].port) as client:
        authorizer.register(AUTHORIZE, force_reregister=True)
        client.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["ticket"], "authid": "joe"}])
        client.receive()
        client.send([5, "secret", {}])
        client.receive()
        client.send([CALL, 1, {}, "com.any"])
        authorizer.next(INVOCATION)
        with guarded_cluster["a"].session() as other:
            subscription = other.subscribe("com.others")
            other.publish("com.others", ["heard"], exclude_me=False)
            assert other.next(EVENT)[1] == subscription
        assert client.receive()[4] == "wamp.error.not_authorized"


def test_when_the_authorizer_s_node_dies_the_answer_is_no_and_sessions_elsewhere_go_on(
    guarded_cluster: Cluster,
) -> None:
    """The last test of this cluster: node b is not started again."""
    with guarded_cluster["b"].session() as authorizer, joined(guarded_cluster["a"].port) as client:
        authorizer.register(AUTHORIZE, force_reregister=True)
        client.send([CALL, 1, {}, "com.any"])
        authorizer.next(INVOCATION)
        guarded_cluster["b"].kill()
        assert client.receive()[4] == "wamp.error.not_authorized"
        client.send([CALL, 2, {}, "com.any"])
        assert client.receive()[4] == "wamp.error.not_authorized", "nobody is there to say yes"
