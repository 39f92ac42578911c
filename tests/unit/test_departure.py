"""How a node stops: in which order, and that no step can hold it up beyond its deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import defer

from tests.support.core import FakeClock
from wampha.config.schema import Drain
from wampha.departure import Departure

BEFORE = ["shut", "refuse_newcomers", "hand_over", "send away", "emptied", "close"]
ORDER = [*BEFORE, "drain", "confirm", "leave", "cut", "stop"]


class World:
    """Every part of a node that a stop touches; each step waits until the test says that it is done."""

    def __init__(self, shuts_at_once: bool = True, **drain: float) -> None:
        self.clock = FakeClock()
        self.shuts_at_once = shuts_at_once
        self.did: list[str] = []
        self.waiting: dict[str, Callable[[], None]] = {}
        self.stopped = False
        departure = Departure(
            name="node",
            drain=Drain(**drain),
            router=Router(self),
            doors=Doors(self),
            ledger=Ledger(self),  # type: ignore[arg-type]
            emptied=lambda: self.did.append("emptied"),
            confirm_links=self.confirm_links,
            stop_links=lambda: self.wait_for("links"),
            clock=self.clock,
        )
        departure.go().addCallback(self._over)

    def _over(self, _: object) -> None:
        self.stopped = True

    def confirm_links(self, done: Callable[[], None]) -> None:
        self.did.append("confirm")
        self.waiting["confirm"] = done

    def wait_for(self, step: str) -> defer.Deferred[None]:
        self.did.append(step)
        result: defer.Deferred[None] = defer.Deferred()
        self.waiting[step] = lambda: result.callback(None)
        return result

    def finish(self, *steps: str) -> None:
        for step in steps:
            self.waiting.pop(step)()

    def time_to_stop(self) -> float:
        """Let time pass until it has stopped."""
        began = self.clock.now()
        while not self.stopped:
            assert self.clock.now() - began < 100
            self.clock.advance(0.1)
        return self.clock.now() - began


class Part:
    def __init__(self, world: World) -> None:
        self.world = world


class Router(Part):
    def sessions(self) -> int:
        return 3

    def drain(self, *, spread_s: float, answer_s: float, done: Callable[[], None]) -> None:
        self.world.did.append("send away")
        self.world.waiting["send away"] = done

    def close(self) -> None:
        self.world.did.append("close")


class Doors(Part):
    def shut(self) -> defer.Deferred[Any]:
        self.world.did.append("shut")
        return defer.succeed(None) if self.world.shuts_at_once else self.world.wait_for("ports")

    def refuse_newcomers(self) -> None:
        self.world.did.append("refuse_newcomers")

    def drain(self) -> defer.Deferred[Any]:
        return self.world.wait_for("drain")

    def cut(self) -> None:
        self.world.did.append("cut")


class Ledger(Part):
    def hand_over(self, done: Callable[[], None]) -> None:
        self.world.did.append("hand_over")
        self.world.waiting["hand_over"] = done

    def leave(self, done: Callable[[], None]) -> None:
        self.world.did.append("leave")
        self.world.waiting["leave"] = done

    def stop(self) -> None:
        self.world.did.append("stop")


def test_nobody_is_sent_away_before_the_ports_are_closed() -> None:
    world = World(shuts_at_once=False)
    assert world.did == ["shut", "ports"]
    world.finish("ports")
    assert "send away" in world.did


def test_clients_go_first_then_the_node_leaves_then_its_links_close() -> None:
    world = World()
    assert world.did == ORDER[:4]
    world.finish("hand_over")
    assert world.did == ORDER[:4], "sessions are served until their turn: the node leaves when all are gone"
    world.finish("send away")
    assert world.did == ORDER[:8]
    assert world.did[-1] == "confirm", "other nodes take nothing from one that has left"
    world.finish("drain", "confirm")
    assert world.did == ORDER[:9]
    world.finish("leave")
    assert world.did == [*ORDER, "links"] and not world.stopped
    world.finish("links")
    assert world.stopped and world.clock.pending() == 0


@pytest.mark.parametrize("deadline_s", [2.0, 8.0, 25.0])
def test_when_nothing_ends_by_itself_all_is_over_at_the_deadline(deadline_s: float) -> None:
    world = World(deadline_s=deadline_s)
    assert world.time_to_stop() == pytest.approx(deadline_s, abs=0.15)
    assert world.did == [*ORDER, "links"]
    assert world.clock.pending() == 0


@pytest.mark.parametrize("stuck", ["hand_over", "send away", "confirm", "leave", "drain", "links"])
def test_each_step_alone_may_be_stuck(stuck: str) -> None:
    world = World()
    for step in ("hand_over", "send away", "confirm", "leave", "drain", "links"):
        world.clock.advance(0.1)
        if step != stuck and step in world.waiting:
            world.finish(step)
    while not world.stopped:
        world.clock.advance(0.1)
        for step in list(world.waiting):
            if step != stuck:
                world.finish(step)
    assert world.did == [*ORDER, "links"]


def test_what_is_done_too_late_disturbs_nothing() -> None:
    world = World()
    late = [world.waiting[step] for step in ("hand_over", "send away")]
    world.time_to_stop()
    for done in late:
        done()
    assert world.did == [*ORDER, "links"]
