"""A process that does not know that its incarnation is dead, on the port for other nodes (issue 3, bad input)."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from tests.support.nodes import SECRET, Cluster, NodeProcess, eventually
from tests.support.wampclient import EVENT
from wampha.cluster.frames import FrameReader
from wampha.cluster.handshake import Channel, Handshake, Membership, Stage, configuration_hash
from wampha.config.schema import ClusterSettings
from wampha.node import _shared_times


class Stale:
    """The dialling end of one link, of an incarnation that a test knows."""

    def __init__(self, cluster: Cluster, name: str, target: str, identity: tuple[int, int], channel: Channel) -> None:
        settings = ClusterSettings.model_validate(cluster.cluster_settings(name))
        handshake = Handshake(
            membership=Membership(
                cluster=settings.name,
                name=name,
                voters=frozenset(cluster.voters),
                configuration=configuration_hash(settings.name, list(cluster.voters), _shared_times(settings)),
                terms="",
                address=settings.advertise,
                secret=SECRET.encode(),
            ),
            identity=identity,
            nonce=bytes(32),
            expects=target,
            channel=channel,
        )
        self.socket = socket.create_connection(("127.0.0.1", cluster.peer_ports[target]), timeout=5)
        self.heard: list[bytes] = []
        reader = FrameReader(1 << 20)
        self.socket.sendall(handshake.begin())
        while handshake.stage is not Stage.DONE:
            for body in reader.frames(self._chunk()):
                if handshake.stage is Stage.DONE:
                    self.heard.append(body)
                else:
                    self.socket.sendall(handshake.receive(body))
        self._reader = reader

    def _chunk(self) -> bytes:
        data = self.socket.recv(1 << 16)
        assert data, "the other end has closed"
        return data

    def until_closed(self) -> list[bytes]:
        """What comes until the other end closes."""
        try:
            while data := self.socket.recv(1 << 16):
                self.heard.extend(self._reader.frames(data))
        except ConnectionResetError:
            pass
        self.socket.close()
        return self.heard


def incarnation_of(name: str, asked: NodeProcess) -> int | None:
    """The living incarnation of that name, by the table of another node."""
    found = [re.fullmatch(rf"{name}/([0-9a-f]+)", member) for member in asked.status()["members"]]
    return next((int(each[1], 16) for each in found if each), None)


def test_a_dead_incarnation_is_refused_with_a_sentence_and_the_rest_goes_on(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    target, name = cluster["a"], "c"
    old = incarnation_of(name, target)
    assert old is not None
    cluster[name].kill()
    cluster[name].launch().wait_until_serving()
    eventually(lambda: incarnation_of(name, target) not in (None, old), 15, "the new incarnation is up")
    with cluster[name].session() as publisher, target.session() as subscriber:
        subscriber.subscribe("test.topic")
        publisher.publish("test.topic", [0], acknowledge=True)
        assert subscriber.next(EVENT)[4] == [0]
        losses = target.status()["counters"].get("link_losses", 0)
        for channel in Channel:
            told = Stale(cluster, name, target.name, (7, old), channel).until_closed()
            assert any(b"holds this incarnation for dead" in body for body in told), told
        target.wait_for_log(r"refused: the cluster holds this incarnation for dead")
        publisher.publish("test.topic", [1], acknowledge=True)
        assert subscriber.next(EVENT)[4] == [1]
        counters = target.status()["counters"]
    assert counters["links_refused"] >= 2
    assert counters.get("link_losses", 0) == losses, "the living one keeps its links"
