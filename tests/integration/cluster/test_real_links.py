"""Links over real sockets: two and three nodes on port 0, names that do not resolve, peers that do not read."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import deferLater
from zope.interface import implementer

from tests.support.reactors import in_reactor, reactor
from tests.unit.cluster.harness import forward
from wampha.certs import CA, Authority, write
from wampha.cluster.encryption import EncryptedTransport, Encryption
from wampha.cluster.handshake import Channel
from wampha.cluster.link import Link
from wampha.cluster.links import Links, configuration_hash
from wampha.config.tls import ClusterTls
from wampha.counters import Counters
from wampha.errors import StartError
from wampha.limits import Limits
from wampha.state.commands import Owner

pytestmark = pytest.mark.integration

LOCAL = "tcp:0:interface=127.0.0.1"
MIB = 1024 * 1024


class RealPeer:
    """A node's links on real sockets; all methods may be called from the test's thread."""

    def __init__(self, name: str, voters: dict[str, str], **changes: Any) -> None:
        self.name = name
        self.told: list[tuple[Any, ...]] = []
        self.counters = Counters()
        self.owner = Owner(name, sum(name.encode()))
        settings: dict[str, Any] = {
            "reactor": reactor,
            "name": name,
            "cluster": "demo",
            "voters": voters,
            "secret": b"a shared secret",
            "identity": lambda: (1, self.owner.incarnation),
            "advertise": "",
            "limits": Limits(),
            "counters": self.counters,
            "config_hash": configuration_hash("demo", ("n1", "n2", "n3"), {}),
            "on_control": lambda *told: self.told.append(("control", *told)),
            "on_data": lambda *told: self.told.append(("data", *told)),
            "on_up": lambda *told: self.told.append(("up", *told)),
            "on_down": lambda *told: self.told.append(("down", *told)),
            "on_owner_lost": lambda *told: self.told.append(("lost", *told)),
            "on_gap": lambda gap: self.told.append(("gap", gap.source, gap.target, gap.frames)),
        }
        self.links = Links(**(settings | changes))

    def data(self) -> list[Any]:
        return [told[2] for told in self.told if told[0] == "data"]

    def forward(self, to: RealPeer, *messages: Any) -> list[bool]:
        return in_reactor(lambda: [self.links.forward(to.owner, message) for message in messages])

    def reaches(self, *others: RealPeer) -> bool:
        return all((other.name, Channel.DATA) in self.links._proven for other in others)


def eventually(condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not in_reactor(condition):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority and the certificates of three nodes."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority.new(1)
    write(folder, CA, authority.key, authority.certificate)
    for name in ("n1", "n2", "n3"):
        write(folder, name, *authority.sign(name, ["127.0.0.1"], 1))
    return folder


@pytest.fixture(params=["plain", "tls"])
def started(request: pytest.FixtureRequest, certificates: Path) -> Iterator[Callable[..., RealPeer]]:
    """Starts peers one after the other, each with the addresses of those before it; stops them all at the end."""
    peers: list[RealPeer] = []
    voters: dict[str, str] = {"n1": "", "n2": "", "n3": ""}

    def start(name: str, listen: str = LOCAL, **changes: Any) -> RealPeer:
        if request.param == "tls":
            changes["encryption"] = Encryption(files(certificates, name), name, reactor)
        peer = RealPeer(name, changes.pop("voters", dict(voters)), **changes)
        voters[name] = in_reactor(peer.links.listen, listen)
        in_reactor(peer.links.start)
        peers.append(peer)
        return peer

    start.voters = voters  # type: ignore[attr-defined]
    yield start
    for peer in peers:
        in_reactor(peer.links.stop)


def files(folder: Path, name: str) -> ClusterTls:
    """The section `cluster.tls` of that node."""
    return ClusterTls(certificate=f"{folder}/{name}.pem", key=f"{folder}/{name}.key", ca=f"{folder}/{CA}.pem")


def below_tls(link: Link) -> Any:
    """The socket's own transport."""
    transport: Any = link.transport
    return transport.transport if isinstance(transport, EncryptedTransport) else transport


def test_two_nodes_find_each_other_and_exchange_messages_in_order(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two) and two.reaches(one))
    messages = [forward(number) for number in range(10_000)]
    assert all(one.forward(two, *messages))
    assert all(two.forward(one, *messages))
    in_reactor(two.links.send_control, "n1", b"raft")
    eventually(lambda: len(two.data()) == len(one.data()) == 10_000 and ("control", "n2", b"raft") in one.told)
    assert two.data() == one.data() == messages


def test_three_nodes_are_all_connected_to_all(started):
    peers = [started(name) for name in ("n1", "n2", "n3")]
    eventually(lambda: all(peer.reaches(*(other for other in peers if other is not peer)) for peer in peers))
    assert [peer.counters["link_connects"] for peer in peers] == [4, 4, 4]
    assert [peer.counters["links_refused"] for peer in peers] == [0, 0, 0]


def test_nagle_is_off_at_both_ends_of_every_connection(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two) and two.reaches(one))
    links = [*one.links._connections.all, *two.links._connections.all]
    assert len(links) == 4
    for link in links:
        assert below_tls(link).getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_payloads_of_16_mib_arrive_whole(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two))
    big = [forward(number, bytes([number]) * (16 * MIB - 1)) for number in range(2)]
    assert all(one.forward(two, *big))
    eventually(lambda: len(two.data()) == 2)
    assert two.data() == big


def test_a_wrong_secret_connects_nobody_and_both_sides_count_it(started):
    one, two = started("n1"), started("n2", secret=b"another")
    eventually(lambda: one.counters["links_refused"] and two.counters["links_refused"])
    assert one.told == two.told == []


def test_a_name_is_resolved_at_every_dial(started):
    one = started("n1")
    host, _, port = started.voters["n1"].rpartition(":")
    resolver = LateResolver(host)
    previous = in_reactor(reactor.installNameResolver, resolver)
    try:
        two = started("n2", voters={"n1": f"n1.cluster.test:{port}", "n2": "", "n3": ""})
        eventually(lambda: resolver.asked >= 3)
        assert not two.reaches(one)
        resolver.known = True
        eventually(lambda: two.reaches(one))
        asked = resolver.asked
        in_reactor(one.links.identity_changed)
        eventually(lambda: resolver.asked >= asked + 2 and two.reaches(one))
    finally:
        in_reactor(reactor.installNameResolver, previous)


@implementer(IHostnameResolver)
class LateResolver:
    """Knows no name until `known`."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.known = False
        self.asked = 0

    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):  # noqa: N802, N803 - Twisted's names
        self.asked += 1
        receiver.resolutionBegan(self)
        if self.known:
            receiver.addressResolved(IPv4Address("TCP", self.host, portNumber))
        receiver.resolutionComplete()
        return self


def test_a_restarted_node_is_found_again_at_its_address(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two))
    _, _, port = started.voters["n1"].rpartition(":")
    in_reactor(one.links.stop)
    eventually(lambda: ("down", "n1") in two.told and ("lost", one.owner) in two.told)
    again = started("n1", listen=f"tcp:{port}:interface=127.0.0.1")
    eventually(lambda: two.reaches(again))
    assert two.told.count(("up", "n1", 1, one.owner.incarnation)) == 2


def test_a_peer_that_stops_reading_is_cut_and_costs_a_bounded_queue(started):
    one, two = started("n1", limits=Limits(link_queue_bytes_max=8 * MIB)), started("n2")
    eventually(lambda: one.reaches(two))
    data = in_reactor(lambda: two.links._proven["n1", Channel.DATA])
    in_reactor(data.transport.pauseProducing)

    def press() -> tuple[int, int]:
        transport, unsent, sent = below_tls(one.links._proven["n2", Channel.DATA]), 0, 0
        while one.links.forward(two.owner, forward(sent, bytes(MIB))):
            one.links.flush()
            unsent = max(unsent, unsent_bytes(transport))
            sent += 1
        return sent, unsent

    sent, unsent = in_reactor(press)
    assert sent <= 9
    assert unsent < MIB + 128 * 1024, "what waits stays in the queue, which is bounded; the transport's buffers are not"
    eventually(lambda: ("lost", two.owner) in one.told)
    assert one.counters["link_queue_resets"] == 1
    assert ("down", "n2") not in one.told


def unsent_bytes(transport: Any) -> int:
    unsent: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return unsent


def test_a_frozen_peer_is_noticed_within_three_seconds(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two))
    in_reactor(two.links._ticker.cancel)  # sends nothing more, closes nothing
    began = time.monotonic()
    eventually(lambda: ("down", "n2") in one.told and one.counters["link_losses"] >= 2)
    assert 1.5 < time.monotonic() - began < 3.5
    in_reactor(two.links._tick)


def test_a_reset_in_the_middle_of_a_flood_costs_nothing(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two) and two.reaches(one))
    sent = 0
    for _ in range(6):
        batch = [forward(number, bytes(5_000)) for number in range(sent, sent + 500)]
        assert all(one.forward(two, *batch)) and all(two.forward(one, *batch))
        sent += len(batch)
        link = in_reactor(lambda: one.links._proven.get(("n2", Channel.DATA)))
        if link is not None:
            in_reactor(link.transport.abortConnection)
        time.sleep(0.15)
    eventually(lambda: len(two.data()) >= sent and len(one.data()) >= sent)
    for peer in (one, two):
        assert [message.publication for message in peer.data()] == list(range(sent))
        assert peer.counters["link_gaps"] == 0
        assert peer.counters["link_resumes"] >= 3


def test_a_link_that_cannot_come_back_in_time_is_a_gap_at_both_ends(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two) and two.reaches(one))
    _, _, port = started.voters["n1"].rpartition(":")
    listening = in_reactor(lambda: one.links._connections._port)
    in_reactor(listening.stopListening)
    data = in_reactor(lambda: one.links._proven["n2", Channel.DATA])
    in_reactor(data.transport.abortConnection)
    eventually(lambda: not one.reaches(two) and not two.reaches(one))
    assert all(one.forward(two, *(forward(number) for number in range(5))))
    eventually(lambda: ("gap", "n1", "n2", 5) in one.told and one.told[-1] == ("lost", two.owner))
    assert one.forward(two, forward(5)) == [False]
    in_reactor(one.links.listen, f"tcp:{port}:interface=127.0.0.1")
    eventually(lambda: ("gap", "n1", "n2", 6) in two.told)
    assert one.forward(two, forward(6)) == [True]
    eventually(lambda: two.data() == [forward(6)])
    assert ("down", "n2") not in one.told


def test_garbage_and_half_handshakes_on_the_peer_port_end_with_the_close(started):
    one = started("n1", limits=Limits(link_handshake_timeout_s=1.0))
    host, _, port = started.voters["n1"].rpartition(":")
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x80\0\0\0", b"\0\0\0\x40half", b""):
        with socket.create_connection((host, int(port)), timeout=5) as stranger:
            stranger.sendall(said)
            heard = b""
            with suppress(ConnectionResetError):
                while chunk := stranger.recv(4096):
                    heard += chunk
            assert b"wampha-refused" in heard or not said, "with TLS there are no words for who says nothing"
    eventually(lambda: one.counters["links_refused"] == 4 and not one.links._connections.all)


def test_an_address_in_use_is_a_start_error_with_a_sentence(started):
    started("n1")
    _, _, port = started.voters["n1"].rpartition(":")
    with pytest.raises(StartError, match=r"cluster.listen: .*cannot be listened on"):
        started("n2", listen=f"tcp:{port}:interface=127.0.0.1")
    with pytest.raises(StartError, match="cannot be listened on"):
        started("n3", listen="no such endpoint")


def test_stop_leaves_no_connection_and_no_timer_of_links(started):
    one, two = started("n1"), started("n2")
    eventually(lambda: one.reaches(two))
    in_reactor(one.links.stop)
    in_reactor(two.links.stop)
    in_reactor(deferLater, reactor, 0.05)
    left = in_reactor(lambda: [str(call) for call in reactor.getDelayedCalls() if "wampha.cluster" in str(call)])
    assert left == []
    assert not one.links._connections.all and not two.links._connections.all
