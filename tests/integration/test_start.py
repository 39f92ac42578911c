"""How a node starts, and what it says when it cannot: to whoever is at fault, and to nobody else's harm."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.nodes import SECRET, Cluster, NodeProcess, client_settings, error_lines, eventually, spawn, twistd
from tests.support.rawclients import WebSocketClient
from tests.support.wampclient import EVENT, AnsweredError, ConnectionEndedError, Session

DEVELOPMENT_PORT: Final = 8080  # what `twistd wampha` without a configuration promises


@contextmanager
def somebody_on(port: int) -> Iterator[None]:
    """Somebody else listens there."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def test_without_configuration_it_is_a_development_node_on_8080(tmp_path: Path) -> None:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", DEVELOPMENT_PORT)):
        raise AssertionError("this test needs port 8080 of 127.0.0.1, which is in use; end what listens there")
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = spawn([twistd(), "-n", "--pidfile=", "wampha"], tmp_path, file)
    try:
        eventually(lambda: serves(DEVELOPMENT_PORT), 20.0, "a session on port 8080")
        for transport in ("websocket", "rawsocket"):
            with Session(DEVELOPMENT_PORT, transport) as session:
                session.subscribe("test.topic")
                session.publish("test.topic", ["hello"], exclude_me=False)
                assert session.next(EVENT)[4] == ["hello"]
    finally:
        process.terminate()
        process.wait(10)
    said = [line for line in log.read_text().splitlines() if line[:1] != "{"]  # less the log's own lines
    assert len(said) == 3, said
    assert "DEVELOPMENT" in said[0]
    assert "ws://127.0.0.1:8080/ws" in said[1] and "RawSocket" in said[1] and "realm1" in said[1]
    assert not error_lines(log.read_text())


def serves(port: int) -> bool:
    """Whether a session can be joined."""
    try:
        Session(port).leave()
    except (OSError, ConnectionEndedError):
        return False
    return True


def test_websocket_is_served_at_the_root_path_too(fresh_node: Callable[..., NodeProcess]) -> None:
    node = fresh_node()
    node.launch().wait_until_serving()
    for path, status in [("/", b" 101 "), ("/ws", b" 101 "), ("/elsewhere", b" 404 ")]:
        with WebSocketClient(node.port) as client:
            assert status in client.shake_hands(path).split(b"\r\n")[0], path


def test_a_node_tells_its_status_when_asked(fresh_node: Callable[..., NodeProcess]) -> None:
    node = fresh_node()
    node.launch().wait_until_serving()
    with node.session() as session:
        session.subscribe("test.topic")
        status = node.status()
    assert status["serving"] and status["sessions"] == status["routes"] == 1
    assert status["counters"]["sessions_opened"] == 2


def test_wrong_configuration_ends_with_all_problems_at_once(fresh_node: Callable[..., NodeProcess]) -> None:
    node = fresh_node(listenrs=[], limits={"uri_bytes_max": "long"})
    node.launch()
    assert node.exit_status() == 1
    assert "listenrs" in node.log() and "uri_bytes_max" in node.log()
    assert "listeners" in node.log(), "no suggestion"
    assert not error_lines(node.log())


def test_port_in_use_is_said_in_one_line(fresh_node: Callable[..., NodeProcess]) -> None:
    node = fresh_node()
    with somebody_on(node.port):
        node.launch()
        assert node.exit_status() == 1
    assert f"tcp:{node.port}:interface=127.0.0.1" in node.log()
    assert "Address already in use" in node.log()
    assert "Traceback" not in node.log()
    node.expect_log(r"wampha cannot start")


def test_run_directory_that_cannot_be_used_is_said_in_one_line(
    fresh_cluster: Callable[[], Cluster], tmp_path: Path
) -> None:
    node = fresh_cluster()["a"]
    node.settings["node"]["run_dir"] = str(tmp_path / "not there")
    node.launch()
    assert node.exit_status() == 1
    assert "not there/a.incarnations: No such file or directory (node.run_dir)" in node.log()
    assert "Traceback" not in node.log()
    node.expect_log(r"wampha cannot start")


def test_peer_port_in_use_is_said_in_one_line(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster()
    node = cluster["a"]
    with somebody_on(cluster.peer_ports["a"]):
        node.launch()
        assert node.exit_status() == 1
    assert "Address already in use" in node.log()
    assert "Traceback" not in node.log()
    node.expect_log(r"wampha cannot start")


def test_unix_socket_is_served(fresh_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    listener = client_settings(0)["listeners"][0]
    path = tmp_path / "clients.sock"
    node = fresh_node()
    node.settings["listeners"].append({**listener, "endpoint": f"unix:{path}"})
    node.launch().wait_until_serving()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"\x7f\xf1\0\0")
        assert client.recv(4)[:1] == b"\x7f"


def test_file_grants_only_what_it_states(fresh_node: Callable[..., NodeProcess]) -> None:
    role = {"name": "anonymous", "permissions": [{"uri": "open.", "match": "prefix", "allow": {"subscribe": True}}]}
    node = fresh_node(realms=[{"name": "realm1", "roles": [role]}])
    node.launch().wait_until_serving()
    with node.session() as session:
        session.subscribe("open.topic")
        for refused in (
            lambda: session.subscribe("closed.topic"),
            lambda: session.publish("open.topic"),
            lambda: session.register("open.procedure"),
            lambda: session.call("open.procedure"),
        ):
            with pytest.raises(AnsweredError) as answer:
                refused()
            assert answer.value.uri == "wamp.error.not_authorized"


# ---- peers


def test_cluster_forms_when_the_unreachable_peers_come(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster()
    lonely = cluster["c"].launch()
    lonely.wait_for_log(r"peer a at .* cannot be reached")
    lonely.wait_for_log(r"peer b at .* cannot be reached")
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", lonely.port)):
        raise AssertionError("a node without a quorum let a client in")
    cluster["a"].launch()
    cluster["b"].launch()
    for node in cluster:
        node.wait_until_serving()


def test_observer_serves_clients_like_any_other_node(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster()
    cluster.observer("d")
    check_undisturbed(cluster.start(), "d", "a")


@pytest.mark.parametrize(
    ("difference", "word"),
    [
        ({"secret": SECRET + ", but another"}, "secret"),
        ({"name": "another"}, "cluster"),
        ({"voters": "in another order"}, "voters"),
    ],
    ids=["secret", "cluster", "voters"],
)
def test_stranger_is_refused_and_disturbs_nobody(
    fresh_cluster: Callable[[], Cluster], difference: dict[str, Any], word: str
) -> None:
    cluster = fresh_cluster().start()
    if "voters" in difference:
        difference = {"voters": cluster.cluster_settings("a")["voters"][::-1]}
    stranger = cluster.observer("d", difference).launch()
    for name in "abc":
        cluster[name].wait_for_log(rf"#warn\] a peer from .* is refused.*{word}")
    stranger.wait_for_log(rf"#warn\].*{word}")
    check_undisturbed(cluster, "a", "b")
    assert not serves(stranger.port)


def test_a_voter_that_is_restarted_with_another_list_of_voters_is_refused_and_the_others_say_what_differs(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    voters = cluster.cluster_settings("c")["voters"]
    restarted = cluster["c"]
    restarted.stop()
    restarted.settings["cluster"]["voters"] = [
        *voters,
        {"name": "d", "address": "127.0.0.1:1"},
        {"name": "e", "address": "127.0.0.1:2"},
    ]
    restarted.launch()
    for name in "ab":
        cluster[name].wait_for_log(
            r"#warn\] a peer from .* is refused.*'c' has .* 5 voter\(s\): a, b, c, d, e; .* 3 voter\(s\): a, b, c\)"
        )
    restarted.wait_for_log(r"#warn\] peer a at .* refuses this node: .*cluster\.voters")
    check_undisturbed(cluster, "a", "b")
    assert not serves(restarted.port)


def check_undisturbed(cluster: Cluster, one: str, other: str) -> None:
    """What is published on one node arrives on the other."""
    with cluster[one].session() as subscriber, cluster[other].session() as publisher:
        subscriber.subscribe("test.undisturbed")
        publisher.publish("test.undisturbed", ["as ever"])
        assert subscriber.next(EVENT)[4] == ["as ever"]


def test_stranger_who_talks_nonsense_to_the_peer_port_disturbs_nobody(cluster: Cluster) -> None:
    for nonsense in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\0\0\0\x05hello"):
        with socket.create_connection(("127.0.0.1", cluster.peer_ports["a"]), timeout=10) as stranger:
            stranger.sendall(nonsense)
            if nonsense:
                with suppress(ConnectionResetError):
                    while stranger.recv(1 << 16):
                        pass
    check_undisturbed(cluster, "a", "b")
