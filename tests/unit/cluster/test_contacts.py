"""Who dials whom, and where."""

from __future__ import annotations

from tests.unit.cluster.harness import VOTERS, Peer, settle
from wampha.state.commands import Owner


def test_of_two_voters_the_larger_name_dials_control_then_data(network):
    peers = [Peer(network, name).start() for name in VOTERS]
    settle(network.clock, 2)
    assert sorted(network.dials) == ["one:1"] * 4 + ["two:1"] * 2
    assert [peer.links.connected() for peer in peers] == [["n2", "n3"], ["n1", "n3"], ["n1", "n2"]]


def test_observers_dial_voters_and_each_other_at_the_address_of_the_table(network):
    voter, first, second = (Peer(network, name).start() for name in ("n1", "a", "b"))
    settle(network.clock)
    first.links.node_address("b", "b:1")
    second.links.node_address("a", "a:1")
    voter.links.node_address("a", "a:1")
    settle(network.clock)
    assert (first.links.connected(), second.links.connected()) == (["b", "n1"], ["a", "n1"])
    assert network.dials.count("a:1") == 2 and "b:1" not in network.dials


def test_the_configured_address_of_a_voter_is_not_changed_by_the_table(network):
    Peer(network, "n1").start()
    two = Peer(network, "n2")
    two.links.node_address("n1", "elsewhere:1")
    two.start()
    settle(network.clock)
    assert two.links.connected() == ["n1"]


def test_a_voter_that_came_up_is_dialled_without_another_pause(network):
    three = Peer(network, "n3").start()
    settle(network.clock, 5)  # by now the pauses are long
    Peer(network, "n1").start()
    three.links.node_address("n1", "one:1")
    settle(network.clock, 0.01)
    assert three.links.connected() == ["n1"]


def test_an_observer_that_is_gone_is_dialled_no_more(network):
    second = Peer(network, "b").start()
    second.links.node_address("a", "a:1")
    settle(network.clock, 1)
    second.links.node_address("a", None)
    dials = network.dials.count("a:1")
    settle(network.clock, 3)
    assert dials >= 3
    assert network.dials.count("a:1") == dials


def test_who_is_not_in_a_new_table_of_members_is_dialled_no_more_unless_it_is_a_voter(network):
    second = Peer(network, "d").start()
    second.links.node_address("a", "a:1")
    second.links.node_address("c", "c:1")
    settle(network.clock, 1)
    second.links.members([Owner("c", 1)])
    network.dials.clear()
    settle(network.clock, 3)
    assert set(network.dials) == {*VOTERS.values(), "c:1"}
