"""Links: who dials, which connection counts, what is told and in which order."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tests.unit.cluster.harness import Network, Peer, forward, settle
from wampha.state.commands import Owner


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def network(clock):
    return Network(clock)


def _pair(network: Network) -> tuple[Peer, Peer]:
    one, two = Peer(network, "n1").start(), Peer(network, "n2").start()
    settle(network.clock)
    return one, two


def test_both_sides_hear_that_the_other_is_up_with_its_life_and_incarnation(network):
    one, two = _pair(network)
    assert one.take() == [("up", "n2", *two.identity)]
    assert two.take() == [("up", "n1", *one.identity)]


def test_messages_arrive_in_order_and_end_with_the_chunk(network):
    one, two = _pair(network)
    two.take()
    for number in range(3):
        assert one.links.forward(two.owner, forward(number))
    settle(network.clock)
    assert two.take() == [*(("data", one.owner, forward(number)) for number in range(3)), ("chunk",)]
