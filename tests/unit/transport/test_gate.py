"""The gate: input waits while the node does not serve, and goes on in order (protocol rules 1 and 2)."""

from __future__ import annotations

from twisted.internet.task import Clock

from wampha.transport.gate import Gate


class Waiting:
    def __init__(self, gate: Gate, name: int, log: list[int]) -> None:
        self.gate, self.name, self.log = gate, name, log
        self.bytes = 10

    def resume(self) -> int:
        self.log.append(self.name)
        return self.bytes


class Scene:
    def __init__(self, connections: int) -> None:
        self.serving = False
        self.clock = Clock()
        self.gate = Gate(serving=lambda: self.serving, reactor=self.clock)
        self.log: list[int] = []
        self.waiting = [Waiting(self.gate, name, self.log) for name in range(connections)]
        for connection in self.waiting:
            self.gate.hold(connection)


def test_connections_go_on_in_the_order_in_which_they_came() -> None:
    scene = Scene(3)
    scene.serving = True
    scene.gate.changed(True)
    assert scene.log == [0, 1, 2]


def test_nothing_goes_on_before_the_node_serves_whatever_is_announced() -> None:
    scene = Scene(3)
    scene.gate.changed(True)
    assert scene.log == []


def test_many_connections_go_on_over_several_turns() -> None:
    scene = Scene(500)
    scene.serving = True
    scene.gate.changed(True)
    assert 0 < len(scene.log) < 500
    for _ in range(20):
        scene.clock.advance(0)
    assert scene.log == list(range(500))


def test_the_rest_waits_again_if_the_lease_is_lost_in_between() -> None:
    scene = Scene(500)
    scene.serving = True
    scene.gate.changed(True)
    gone_on = len(scene.log)
    scene.serving = False
    scene.clock.advance(0)
    assert len(scene.log) == gone_on
    scene.serving = True
    scene.gate.changed(True)
    for _ in range(20):
        scene.clock.advance(0)
    assert scene.log == list(range(500))


def test_a_lease_that_returns_unannounced_is_noticed_by_polling() -> None:
    scene = Scene(1)
    scene.gate.poll()
    assert scene.log == []
    scene.serving = True
    scene.gate.poll()
    assert scene.log == [0]


def test_a_connection_that_is_gone_is_not_woken() -> None:
    scene = Scene(2)
    scene.gate.forget(scene.waiting[0])
    scene.serving = True
    scene.gate.changed(True)
    assert scene.log == [1]


def test_much_that_was_held_is_handled_over_several_turns_however_few_hold_it() -> None:
    scene = Scene(10)
    for connection in scene.waiting:
        connection.bytes = 65536
    scene.serving = True
    scene.gate.changed(True)
    assert scene.log == [0, 1, 2]
    scene.clock.advance(0)
    assert scene.log == list(range(10))
