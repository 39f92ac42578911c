"""A name service that keeps silent keeps nobody waiting."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from wampha.cluster.lookups import LOOKUP_TIMEOUT_S, LOOKUPS_MAX, Lookups
from wampha.counters import Counters

HERE: Final = IPv4Address("TCP", "192.0.2.1", 8071)


class Mute:
    """A resolver that answers when the test says so."""

    def __init__(self) -> None:
        self.receivers: list[Any] = []

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0) -> object:  # noqa: N802, N803
        self.receivers.append(receiver)
        receiver.resolutionBegan(self)
        return self

    def answer(self, place: int) -> None:
        self.receivers[place].addressResolved(HERE)
        self.receivers[place].resolutionComplete()


class Asker:
    """Who wants an address."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def resolutionBegan(self, resolution: object) -> None:  # noqa: N802
        self.heard.append("began")

    def addressResolved(self, address: object) -> None:  # noqa: N802
        self.heard.append(address)

    def resolutionComplete(self) -> None:  # noqa: N802
        self.heard.append("complete")


class World:
    """Lookups before a mute resolver."""

    def __init__(self) -> None:
        self.clock, self.mute, self.counters = Clock(), Mute(), Counters()
        self.lookups = Lookups(self.mute, reactor=self.clock, counters=self.counters)

    def ask(self, name: str = "node-1") -> Asker:
        asker = Asker()
        self.lookups.resolveHostName(asker, name, portNumber=8071)
        return asker


def test_an_answer_in_time_is_passed_on() -> None:
    world = World()
    asker = world.ask()
    world.mute.answer(0)
    assert asker.heard == ["began", HERE, "complete"]
    assert world.clock.getDelayedCalls() == []
    assert world.counters["lookups_given_up"] == 0


def test_who_asks_is_told_in_time_that_there_is_no_answer_and_hears_nothing_later() -> None:
    world = World()
    asker = world.ask()
    world.clock.advance(LOOKUP_TIMEOUT_S)
    assert asker.heard == ["began", "complete"]
    assert world.counters["lookups_given_up"] == 1
    world.mute.answer(0)
    assert asker.heard == ["began", "complete"]


def test_lookups_that_the_system_still_has_are_bounded_for_each_name() -> None:
    world = World()
    for _ in range(LOOKUPS_MAX):
        world.ask()
        world.clock.advance(LOOKUP_TIMEOUT_S)
    refused = world.ask()
    assert refused.heard == ["began", "complete"]
    assert len(world.mute.receivers) == LOOKUPS_MAX
    assert world.counters["lookups_given_up"] == LOOKUPS_MAX + 1
    other = world.ask("node-2")
    world.mute.answer(-1)
    assert other.heard == ["began", HERE, "complete"]
    world.mute.answer(0)
    again = world.ask()
    world.mute.answer(-1)
    assert again.heard == ["began", HERE, "complete"]
