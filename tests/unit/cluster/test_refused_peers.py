"""Peers that must not become members: what they hear, what the log says, and that nobody else notices."""

from __future__ import annotations

import pytest

from tests.unit.cluster.harness import VOTERS, Network, Peer, Puppet, forward, member, settle
from wampha.cluster.frames import framed
from wampha.cluster.handshake import Channel, Refusal, configuration_hash
from wampha.cluster.refusals import RefusalLog
from wampha.limits import Limits
from wampha.state.commands import Owner

WRONG = [
    ({"secret": b"guessed"}, Refusal.PROOF),
    ({"secret": b""}, Refusal.PROOF),
    ({"cluster": "other"}, Refusal.CLUSTER),
    ({"configuration": configuration_hash("demo", ("n1", "n2"), {})}, Refusal.CONFIGURATION),
    ({"versions": (7, 9)}, Refusal.VERSION),
    ({"name": "n1"}, Refusal.OWN_NAME),
    ({"expects": "n3"}, Refusal.EXPECTED),
]


@pytest.fixture
def pair(network: Network) -> tuple[Peer, Peer]:
    peers = Peer(network, "n1").start(), Peer(network, "n2").start()
    settle(network.clock)
    for peer in peers:
        peer.take()
    return peers


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize(("changes", "reason"), WRONG, ids=[reason.name for _, reason in WRONG])
def test_a_wrong_peer_is_told_why_and_closed_and_nothing_else_happens(pair, logged, changes, reason, channel):
    one, _two = pair
    puppet = Puppet(member(**({"name": "n3"} | changes), channel=channel)).connect(one.network)
    assert puppet.heard == [reason.value.encode()]
    assert puppet.closed
    assert one.take() == []
    assert one.counters["links_refused"] == 1
    assert sum(reason.value in line for line in logged) == 1
    assert not any("guessed" in line or "shared secret" in line for line in logged)


def test_a_stale_incarnation_has_the_link_only_until_the_living_one_has_dialled_again(network, pair):
    one, two = pair
    stale = Puppet(member("n2", identity=(160, 7))).connect(network)
    assert not stale.closed  # which of two is dead only the ledger knows (rule 27)
    assert one.links.connected() == []
    settle(network.clock, 2)
    assert stale.closed, "the living one has dialled again"
    assert one.links.connected() == ["n2"]
    assert one.told[-1][:2] == ("up", "n2") and one.told[-1][3] == two.identity[1]


@pytest.mark.parametrize("channel", Channel)
def test_an_incarnation_that_the_ledger_holds_for_dead_takes_no_link_from_the_living_one(network, logged, channel):
    dead: list[int] = []
    one = Peer(network, "n1", is_dead=lambda owner: owner.incarnation in dead).start()
    two = Peer(network, "n2").start()
    settle(network.clock)
    one.take()
    dead.append(7)
    stale = Puppet(member("n2", identity=(160, 7), channel=channel)).connect(network)
    assert stale.closed
    assert sum("the cluster holds this incarnation for dead" in line for line in logged) == 1
    assert one.counters["links_refused"] == 1
    assert one.links.forward(two.owner, forward(1))
    settle(network.clock, 2)
    assert one.take() == []
    assert len(two.of_kind("data")) == 1


def test_a_dead_incarnation_that_is_alone_can_hear_so_and_takes_nothing_that_is_for_the_living_one(network, clock):
    one = Peer(network, "n1", is_dead=lambda owner: owner.incarnation == 7).start()
    two = Peer(network, "n2")
    one.links.owner_up(two.owner)
    assert one.links.forward(two.owner, forward(1))
    stale_owner = Owner("n2", 7)
    stale = Puppet(member("n2", identity=(160, 7))).connect(network)
    Puppet(member("n2", identity=(160, 7), channel=Channel.DATA)).connect(network)
    assert not stale.closed
    assert one.links.connected() == ["n2"]
    two.start()
    settle(clock, 1)
    assert stale.closed
    assert one.of_kind("gap", "lost") == [("lost", stale_owner)]
    assert len(two.of_kind("data")) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x80\0\0\0", b"\0\0\x10\x01", framed(b""), framed(b"\xc1"), framed(bytes(4096))],
    ids=["http", "2 GiB", "more than a hello", "empty", "no msgpack", "zeros"],
)
def test_garbage_is_refused_at_once(network, pair, garbage):
    one, _two = pair
    puppet = Puppet()
    puppet.connect(network)
    puppet.transport.write(garbage)
    settle(network.clock)
    assert puppet.closed
    assert one.counters["links_refused"] == 1
    assert one.take() == []


@pytest.mark.parametrize("said", [b"", member("n3").begin()], ids=["silent", "slow"])
def test_a_slow_handshake_is_refused_after_its_time(network, clock, pair, said):
    one, _two = pair
    puppet = Puppet().connect(network)
    for position in range(9):  # a byte now and then does not help
        puppet.transport.write(said[position : position + 1])
        settle(clock, 0.5)
    assert not puppet.closed
    settle(clock, 1.5)
    assert puppet.closed
    assert one.counters["links_refused"] == 1


def test_a_handshake_that_stops_halfway_is_refused_after_its_time(network, clock, pair):
    puppet = Puppet()
    puppet.connect(network)
    puppet.transport.write(member("n3").begin())
    settle(clock, 6)
    assert len(puppet.heard) == 2  # the hello and the refusal
    assert puppet.closed


def test_the_dialer_does_not_wait_for_ever_either(network, clock):
    class Mute(Puppet):
        def buildProtocol(self, addr):  # noqa: N802 - Twisted's name
            return self

    network.listening["one:1"] = mute = Mute()
    two = Peer(network, "n2").start()
    settle(clock, 6)
    assert mute.closed
    assert two.counters["links_refused"] >= 1


def test_a_crowd_of_strangers_does_not_keep_members_out(network, clock):
    one = Peer(network, "n1", limits=Limits(link_handshakes_max=8)).start()
    crowd = [Puppet().connect(network) for _ in range(20)]
    assert sum(not puppet.closed for puppet in crowd) == 8
    Puppet(member()).connect(network)
    Puppet(member(channel=Channel.DATA)).connect(network)
    assert one.links.connected() == ["n2"]
    refused = [puppet for puppet in crowd if puppet.closed]
    assert all(Refusal.CROWD.value.encode() in puppet.heard[-1] for puppet in refused)
    assert one.counters["links_refused"] == len(refused)


def test_memory_of_strangers_is_bounded() -> None:
    log = RefusalLog()
    for number in range(1000):
        log.stranger(f"host{number}:1", Refusal.GARBAGE, "it talks nonsense")
    assert len(log._strangers) <= 256


def test_the_same_stranger_is_logged_once_a_minute(network, clock, pair, logged):
    for _ in range(10):
        Puppet(member("n3", cluster="other")).connect(network)
    assert sum("is refused" in line for line in logged) == 1
    settle(clock, 75)
    Puppet(member("n3", cluster="other")).connect(network)
    assert sum("is refused" in line for line in logged) == 2


def test_a_strangers_words_cannot_forge_log_lines(network, pair, logged):
    Puppet(member("n3", cluster="x\nwampha: all is well")).connect(network)
    assert not any("\n" in line for line in logged)


def test_both_sides_log_a_refusal_once_and_not_at_every_attempt(network, clock, logged):
    Peer(network, "n1").start()
    Peer(network, "n2", secret=b"another").start()
    settle(clock, 10)
    lines = [line for line in logged if Refusal.PROOF.value in line]
    assert sorted(line.split()[0:2] for line in lines) == [["a", "peer"], ["peer", "n1"]]


def test_an_unreachable_peer_is_dialled_with_growing_pauses_and_logged_once(network, clock, logged):
    two = Peer(network, "n2").start()
    settle(clock, 1)
    assert 4 <= len(network.dials) <= 8
    settle(clock, 20)
    assert 20 <= len(network.dials) - 6 <= 45
    assert sum("cannot be reached" in line for line in logged) == 1
    Peer(network, "n1").start()
    settle(clock, 1)
    assert two.links.connected() == ["n1"]


def test_a_node_that_dials_itself_by_mistake_is_refused(network, clock, logged):
    two = Peer(network, "n2", voters={**VOTERS, "n1": "two:1"}).start()
    settle(clock, 1)
    assert two.links.connected() == []
    assert any(Refusal.EXPECTED.value in line or Refusal.OWN_NAME.value in line for line in logged)


def test_an_address_that_is_none_is_logged_and_disturbs_nothing(network, clock, logged):
    from wampha.cluster.dialer import TcpEndpoints

    three = Peer(network, "b", endpoints=TcpEndpoints(clock), voters={}).links
    three.start()
    three.node_address("a", "no port")
    settle(clock, 2)
    assert sum("not of the form host:port" in line for line in logged) == 1
