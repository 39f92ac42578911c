"""SIGHUP on three real nodes under traffic: what changes, who is told, and that nobody else notices.

The tests share a cluster and run in their order: each begins with the configuration that the one before has left.
"""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.nodes import ALL_RIGHTS, Cluster, NodeProcess, eventually, free_ports
from tests.support.wampclient import (
    ABORT,
    CALL,
    EVENT,
    GOODBYE,
    HELLO,
    ROLES,
    UNREGISTERED,
    UNSUBSCRIBED,
    AnsweredError,
    ConnectionEndedError,
    Session,
    connect,
)

CHALLENGE, AUTHENTICATE = 4, 5
EVERYTHING: Final = ALL_RIGHTS["permissions"]
PLAIN: Final = [{"uri": "plain.", "match": "prefix", "allow": EVERYTHING[0]["allow"]}]
Edit = Callable[[dict[str, Any]], None]


class Nodes:
    """A cluster whose listeners let guests in at a second port, and joe by a ticket."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster(folder)
        self.folder = folder
        self.guests = dict(zip("abc", free_ports(3), strict=True))
        for node in self.cluster:
            settings = node.settings
            guest = {"name": "guest", "permissions": EVERYTHING}
            settings["realms"][0]["roles"] = [ALL_RIGHTS, guest, {"name": "idle"}]
            settings["realms"].append({"name": "short", "roles": [ALL_RIGHTS]})
            auth = {"anonymous": {"role": "guest"}, "ticket": {"principals": {"joe": ticket_of("first")}}}
            endpoint = f"tcp:{self.guests[node.name]}:interface=127.0.0.1"
            settings["listeners"].append({"endpoint": endpoint, "auth": auth})

    def guest(self, name: str) -> Session:
        return Session(self.guests[name])

    def ticket(self, name: str, ticket: str) -> list[Any]:
        """What joe is answered who says this ticket."""
        with connect(self.guests[name]) as connection:
            connection.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["ticket"], "authid": "joe"}])
            assert connection.receive()[0] == CHALLENGE
            connection.send([AUTHENTICATE, ticket, {}])
            return connection.receive()

    def edit(self, edit: Edit, names: str = "abc") -> None:
        """Change the files of these nodes and have them read."""
        for name in names:
            node = self.cluster[name]
            edit(node.settings)
            self.write(name, json.dumps(node.settings, indent=1))
        said = {name: heard(self.cluster[name]) for name in names}
        for name in names:
            os.kill(self.cluster[name].pid, signal.SIGHUP)
        for name in names:
            node = self.cluster[name]
            eventually(lambda n=node, before=said[name]: heard(n) > before, 10.0, "the file is read", node.log)

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.yaml").write_text(text)


def ticket_of(ticket: str) -> dict[str, str]:
    return {"ticket": ticket, "role": "guest"}


def heard(node: NodeProcess) -> int:
    """How often the node has said that it has read its file."""
    return node.log().count("the configuration was read again") + node.log().count("the configuration stays as it was")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("reload"))
    try:
        nodes.cluster.start()
        yield nodes
    finally:
        nodes.cluster.end()


@pytest.fixture
def nodes(shared: Nodes) -> Iterator[Nodes]:
    yield shared
    shared.cluster.check_logs()


class Traffic:
    """Bystanders on every node: one calls without a pause, one publishes, the others answer and listen."""

    def __init__(self, cluster: Cluster, stack: ExitStack) -> None:
        self.callee = stack.enter_context(cluster["c"].session())
        self.callee.register("busy.echo")
        self.listeners = [stack.enter_context(cluster[name].session()) for name in "abc"]
        for listener in self.listeners:
            listener.subscribe("busy.", match="prefix")
        self.caller = stack.enter_context(cluster["a"].session())
        self.publisher = stack.enter_context(cluster["b"].session())
        self.sent = self.answered = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._answer, self._call, self._publish)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.answered > 20, 10.0, "calls are answered")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in reversed(self._threads):
            thread.join()

    def _answer(self) -> None:
        while self.callee.answer_invocation()[4] != ["last"]:
            pass

    def _call(self) -> None:
        while not self._over.is_set():
            assert self.caller.call("busy.echo", [self.answered]) == [[self.answered]]
            self.answered += 1
        self.caller.call("busy.echo", ["last"])

    def _publish(self) -> None:
        while not self._over.is_set():
            self.publisher.publish("busy.event", [self.sent])
            self.sent += 1

    def check(self) -> None:
        """Nobody has missed anything, and everybody is still there."""
        assert self.answered > 50 and self.sent > 50
        for listener in self.listeners:
            assert [listener.next(EVENT)[4] for _ in range(self.sent)] == [[number] for number in range(self.sent)]
        for session in (*self.listeners, self.caller, self.publisher, self.callee):
            session.synchronize()
            assert list(session.inbox) == []


def change(settings: dict[str, Any]) -> None:
    """The guests may do less, joe has another ticket, one realm goes, another comes."""
    realms = settings["realms"]
    realms[0]["roles"][1]["permissions"] = PLAIN
    realms[:] = [realm for realm in realms if realm["name"] != "short"] + [{"name": "fresh", "roles": [ALL_RIGHTS]}]
    settings["listeners"][1]["auth"]["ticket"]["principals"]["joe"] = ticket_of("second")
    settings["limits"] = {"meta_list_max": 7, "message_bytes_max": 1_000_000}


def test_realms_roles_principals_and_limits_change_under_traffic_and_nobody_else_notices(nodes: Nodes) -> None:
    cluster = nodes.cluster
    with ExitStack() as stack:
        guests = {name: stack.enter_context(nodes.guest(name)) for name in "abc"}
        kept = {name: guest.subscribe("plain.news") for name, guest in guests.items()}
        lost = {name: guest.subscribe("secret.", match="prefix") for name, guest in guests.items()}
        offered = {name: guest.register(f"secret.{name}") for name, guest in guests.items()}
        closed = stack.enter_context(cluster["b"].session(realm="short"))
        assert nodes.ticket("a", "first")[0] != ABORT
        traffic = Traffic(cluster, stack)
        with traffic:
            before = traffic.answered
            nodes.edit(change)
            for name, guest in guests.items():
                revoked = guest.next(UNSUBSCRIBED)
                assert revoked[1:] == [0, {"subscription": lost[name], "reason": "wamp.error.not_authorized"}]
                assert guest.next(UNREGISTERED)[2]["registration"] == offered[name]
            assert closed.next(GOODBYE)[2] == "wamp.close.close_realm"
            eventually(lambda: traffic.answered > before + 50, 10.0, "traffic goes on")
        traffic.check()
        with cluster["a"].session() as other:
            other.publish("secret.x")
            other.publish("plain.news")
            for name in "abc":
                assert guests[name].next(EVENT)[1] == kept[name]
            with pytest.raises(AnsweredError, match="no_such_procedure"):
                other.call("secret.b")
            with pytest.raises(AnsweredError, match="not_authorized"):
                guests["c"].subscribe("secret.x")
    for name in "abc":
        assert nodes.ticket(name, "first")[2] == "wamp.error.authentication_failed"
        assert nodes.ticket(name, "second")[0] != ABORT
        with pytest.raises(ConnectionEndedError, match="no_such_realm"):
            cluster[name].session(realm="short")
        with cluster[name].session(realm="fresh") as first, cluster["a"].session(realm="fresh") as second:
            first.subscribe("x.y")
            second.publish("x.y")
            assert first.next(EVENT)
    line = cluster["a"].wait_for_log("the configuration was read again; changed")
    for path in ("realms[short] (removed)", "realms[fresh] (added)", "principals[joe].ticket", "limits.meta_list_max"):
        assert path in line
    assert "second" not in cluster["a"].log()
    assert cluster["a"].wait_for_log("until this node starts again").endswith(": limits.message_bytes_max")
    assert cluster["a"].status()["counters"]["config_reloads"] == 1


def test_what_is_hardly_meant_is_told_at_the_start_and_again(nodes: Nodes) -> None:
    node = nodes.cluster["c"]
    said = re.compile(r'#warn\] .*c\.yaml:\d+:\d+: realms\[0\]\.roles\[2\]: warning: role "idle" grants nothing')
    found = len(said.findall(node.log()))
    assert found >= 1
    nodes.edit(lambda settings: None, "c")
    assert len(said.findall(node.log())) == found + 1


def test_a_template_makes_realms_that_are_the_same_on_all_nodes_and_closes_them(nodes: Nodes) -> None:
    cluster = nodes.cluster
    with pytest.raises(ConnectionEndedError, match="no_such_realm"):
        cluster["a"].session(realm="tenants.x")
    nodes.edit(lambda settings: settings.update(realm_templates=[{"name": "tenants.*", "roles": [ALL_RIGHTS]}]))
    with cluster["a"].session(realm="tenants.x") as one, cluster["b"].session(realm="tenants.x") as two:
        one.subscribe("x.y")
        two.register("x.z")
        two.publish("x.y", ["here"])
        assert one.next(EVENT)[4] == ["here"]
        request = one.start(CALL, {}, "x.z", ["there"])
        two.answer_invocation()
        assert one.answer(request)[3] == ["there"]
        eventually(lambda: two.call("wamp.session.count") == [[2]], 5.0, "both are known everywhere")
        with cluster["c"].session(realm="tenants.y") as other:
            other.publish("x.y")
        eventually(lambda: cluster["c"].status()["realms"]["dynamic"] >= 1, 5.0, "all nodes know of the realm")
        two.synchronize()
        assert list(one.inbox) == []
        nodes.edit(lambda settings: settings.pop("realm_templates"))
        assert one.next(GOODBYE)[2] == two.next(GOODBYE)[2] == "wamp.close.close_realm"


def test_the_order_of_roles_does_not_matter_and_one_that_is_gone_takes_its_sessions_along(nodes: Nodes) -> None:
    with nodes.guest("a") as guest, nodes.cluster["a"].session() as other:
        nodes.edit(lambda settings: settings["realms"][0]["roles"].reverse())
        guest.synchronize()

        def rename(settings: dict[str, Any]) -> None:
            (role,) = [role for role in settings["realms"][0]["roles"] if role["name"] == "guest"]
            role["name"] = "visitor"
            auth = settings["listeners"][1]["auth"]
            auth["anonymous"]["role"] = auth["ticket"]["principals"]["joe"]["role"] = "visitor"

        nodes.edit(rename)
        code, details, reason = guest.next(GOODBYE)
        assert (code, reason) == (GOODBYE, "wamp.error.no_such_role")
        assert "guest" in details["message"]
        other.synchronize()
    with nodes.guest("a") as again:
        assert again.welcome["authrole"] == "visitor"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("realms: [\n  oops", "a.yaml:2:7: this is not YAML"),
        ("realms: [{name: realm1}]\nlistners: []\n", 'a.yaml:2:1: listners: unknown key. Did you mean "listeners"?'),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(nodes: Nodes, text: str, said: str) -> None:
    node = nodes.cluster["a"]
    node.expect_log("the configuration stays as it was")
    node.expect_log(r"#error\] .*a.yaml:\d+:\d+: ")
    failures = node.status()["counters"].get("config_reload_failures", 0)
    with nodes.guest("a") as guest:
        nodes.write("a", text)
        os.kill(node.pid, signal.SIGHUP)
        eventually(lambda: said in node.log(), 10.0, "the line of the file", node.log)
        guest.synchronize()
    assert node.status()["counters"]["config_reload_failures"] == failures + 1
    nodes.ticket("a", "second")
    nodes.write("a", json.dumps(node.settings, indent=1))


def test_a_node_that_runs_another_configuration_is_visible_to_all_until_they_agree(nodes: Nodes) -> None:
    cluster = nodes.cluster

    def differing(name: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = cluster[name].status()["config"]["differing"]
        return found

    def edit(settings: dict[str, Any]) -> None:
        settings["realms"][0]["slow_clients"] = "drop_newest"
        settings["listeners"][1]["auth"]["ticket"]["principals"]["joe"] = {"ticket": "third", "role": "visitor"}

    eventually(lambda: not any(map(differing, "abc")), 10.0, "all agree")
    nodes.edit(edit, "b")
    eventually(lambda: differing("a") == {"b": ["realms", "secrets"]}, 10.0, "a sees it", cluster["a"].log)
    eventually(lambda: set(differing("b")) == {"a", "c"}, 10.0, "b sees it", cluster["b"].log)
    with cluster["c"].session() as client:
        ((listed,),) = [client.call("wampha.cluster.nodes")]
        digests = {each["name"]: each["config"] for each in listed[0]}
    assert digests["a"] == digests["c"] == cluster["a"].status()["config"]["digest"] != digests["b"]
    nodes.edit(edit, "ac")
    eventually(lambda: not any(map(differing, "abc")), 10.0, "all agree again")
    settings = copy.deepcopy(cluster["a"].settings)
    assert settings["listeners"][1]["auth"]["ticket"]["principals"]["joe"]["ticket"] == "third"
