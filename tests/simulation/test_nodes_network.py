"""The simulated sockets behave like TCP under Twisted: what `Node` relies on, and what goes wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from tests.simulation.nodes.network import Network
from tests.simulation.nodes.reactor import SimReactor
from tests.simulation.nodes.timeline import Process, Timeline


class Ear(Protocol):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost: Any = None

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self.heard.append(data)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        self.lost = reason.type


class Feeder:
    """A push producer that counts how often it was paused."""

    def __init__(self) -> None:
        self.paused, self.resumed, self.stopped = 0, 0, False

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.paused += 1

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.resumed += 1

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.stopped = True


class Pair:
    """Two machines, `near` dials `far`."""

    def __init__(self, seed: int = 1) -> None:
        self.timeline = Timeline()
        self.chance = random.Random(seed)
        self.network = Network(self.timeline, self.chance)
        self.processes = {name: Process(self.timeline, self.chance, name) for name in ("near", "far")}
        self.reactors = {name: SimReactor(self.network, process) for name, process in self.processes.items()}
        for name in self.processes:
            self.network.boot(name)
        self.accepted: list[Ear] = []
        self.dialled: Any = None
        self.failed: Any = None

    def listen(self) -> Any:
        factory = Factory()
        factory.noisy = False

        def build(_: Any) -> Ear:
            self.accepted.append(Ear())
            return self.accepted[-1]

        factory.buildProtocol = build
        return self.reactors["far"].listenTCP(80, factory)

    def dial(self, timeout: float = 2.0) -> None:
        factory = Factory.forProtocol(Ear)
        factory.noisy = False
        attempt = HostnameEndpoint(self.reactors["near"], "far", 80, timeout=timeout).connect(factory)
        attempt.addCallbacks(self._connected, self._not_connected)

    def _connected(self, protocol: Ear) -> None:
        self.dialled = protocol

    def _not_connected(self, failure: Any) -> None:
        self.failed = failure.type

    def connect(self) -> tuple[Ear, Ear]:
        self.listen()
        self.dial()
        self.run(0.1)
        return self.dialled, self.accepted[-1]

    def run(self, seconds: float) -> None:
        self.timeline.run(seconds)

    def cut(self, *links: tuple[str, str]) -> None:
        self.network.cut("test", links or (("near", "far"), ("far", "near")))

    def heal(self) -> None:
        self.network.heal("test")


@pytest.mark.parametrize("seed", range(5))
def test_bytes_come_in_order_whole_and_in_pieces_of_any_size(seed: int) -> None:
    pair = Pair(seed)
    pair.network.split = 0.5
    near, far = pair.connect()
    sent = pair.chance.randbytes(500_000)
    for at in range(0, len(sent), 7001):
        near.transport.write(sent[at : at + 7001])
        if pair.chance.random() < 0.1:
            pair.run(0.01)
    pair.run(5.0)
    assert b"".join(far.heard) == sent
    assert max(map(len, far.heard)) <= 64 * 1024
    assert len({len(piece) for piece in far.heard}) > 10


def test_nobody_listens() -> None:
    pair = Pair()
    pair.dial()
    pair.run(1.0)
    assert pair.failed is error.ConnectionRefusedError


@pytest.mark.parametrize("how", ["off", "cut", "answers are lost"])
def test_a_dial_that_nothing_answers_times_out(how: str) -> None:
    pair = Pair()
    pair.listen()
    if how == "off":
        pair.network.power_off(pair.processes["far"])
    elif how == "cut":
        pair.cut()
    else:
        pair.cut(("far", "near"))
    pair.dial(timeout=2.0)
    pair.run(1.9)
    assert pair.failed is None
    pair.run(1.0)
    assert pair.failed is error.TimeoutError
    assert not pair.accepted


def test_a_syn_is_sent_again() -> None:
    pair = Pair()
    pair.listen()
    pair.cut()
    pair.dial(timeout=2.0)
    pair.run(0.5)
    pair.heal()
    pair.run(1.0)
    assert pair.dialled is not None


def test_a_peer_that_does_not_read_fills_the_window_and_pauses_the_producer() -> None:
    pair = Pair()
    near, far = pair.connect()
    feeder = Feeder()
    near.transport.registerProducer(feeder, True)
    far.transport.pauseProducing()
    near.transport.write(bytes(pair.network.window_bytes))
    pair.run(1.0)
    assert far.heard == []
    paused = feeder.paused
    near.transport.write(bytes(65537))
    assert feeder.paused == paused + 1
    pair.run(1.0)
    assert feeder.resumed == feeder.paused - 1
    far.transport.resumeProducing()
    pair.run(1.0)
    assert feeder.resumed == feeder.paused
    assert sum(map(len, far.heard)) == pair.network.window_bytes + 65537


def test_a_close_follows_what_was_written() -> None:
    pair = Pair()
    near, far = pair.connect()
    near.transport.write(b"last words")
    near.transport.loseConnection()
    pair.run(0.1)
    assert far.heard == [b"last words"]
    assert (near.lost, far.lost) == (error.ConnectionDone, error.ConnectionDone)
    assert not pair.network.sockets


def test_an_abort_is_a_reset() -> None:
    pair = Pair()
    near, far = pair.connect()
    near.transport.abortConnection()
    pair.run(0.1)
    assert (near.lost, far.lost) == (error.ConnectionAborted, error.ConnectionLost)


def test_half_a_close_still_reads() -> None:
    pair = Pair()
    near, far = pair.connect()
    far.transport.loseWriteConnection()
    near.transport.write(b"behind it")
    pair.run(0.1)
    assert far.heard == [b"behind it"]
    assert near.lost is error.ConnectionDone  # an ordinary protocol closes when its peer does
    assert far.lost is error.ConnectionDone


def test_what_is_sent_in_a_cut_comes_after_it() -> None:
    pair = Pair()
    near, far = pair.connect()
    pair.cut(("near", "far"))
    near.transport.write(b"held")
    far.transport.write(b"the other way is open")
    pair.run(5.0)
    assert near.heard and not far.heard
    pair.heal()
    near.transport.write(b" back")
    pair.run(4.0)
    assert b"".join(far.heard) == b"held back"


def test_who_gives_up_in_a_cut_leaves_the_other_half_open_until_it_sends() -> None:
    pair = Pair()
    near, far = pair.connect()
    pair.cut()
    near.transport.write(b"never comes")
    near.transport.abortConnection()
    pair.run(1.0)
    pair.heal()
    pair.run(5.0)
    assert far.lost is None and not far.heard
    far.transport.write(b"are you there?")
    pair.run(1.0)
    assert far.lost is error.ConnectionLost


def test_a_killed_process_closes_its_sockets_and_a_machine_without_power_does_not() -> None:
    pair = Pair()
    near, _ = pair.connect()
    pair.network.kill(pair.processes["far"])
    pair.run(0.1)
    assert near.lost is error.ConnectionDone
    pair = Pair()
    near, _ = pair.connect()
    pair.network.power_off(pair.processes["far"])
    near.transport.write(b"into the void")
    pair.run(60.0)
    assert near.lost is None
    pair.network.boot("far")
    pair.run(1.0)
    assert near.lost is error.ConnectionLost  # the machine knows nothing of this connection


def test_a_stopped_process_s_kernel_goes_on() -> None:
    pair = Pair()
    near, far = pair.connect()
    pair.processes["far"].stop()
    near.transport.write(b"one")
    pair.dial()
    pair.run(10.0)
    assert pair.dialled is not near  # accepted by the kernel
    assert not far.heard and len(pair.accepted) == 1
    pair.processes["far"].wake()
    pair.run(0.1)
    assert b"".join(far.heard) == b"one" and len(pair.accepted) == 2


def test_timers_of_a_stopped_process_wait_and_keep_their_order() -> None:
    pair = Pair()
    ran: list[int] = []
    for place in (3, 1, 2):
        pair.reactors["near"].callLater(place, ran.append, place)
    pair.processes["near"].stop()
    pair.run(10.0)
    assert ran == []
    pair.processes["near"].wake()
    pair.run(0.0)
    assert ran == [1, 2, 3]


def test_a_slow_process_handles_one_thing_after_the_other() -> None:
    pair = Pair()
    near, far = pair.connect()
    pair.processes["far"].cost_s = 1.0
    for _ in range(3):
        near.transport.write(b"x")
        pair.run(0.1)
    assert far.heard == [b"x"]
    pair.run(10.0)
    assert b"".join(far.heard) == b"xxx"


def test_a_clock_that_is_wrong_is_wrong_for_its_timers_too() -> None:
    pair = Pair()
    reactor = SimReactor(pair.network, pair.processes["near"], rate=1.01, origin=5.0)
    ran: list[float] = []
    began = reactor.seconds()
    reactor.callLater(101.0, lambda: ran.append(pair.timeline.time - 1000.0))
    pair.run(200.0)
    assert ran == [pytest.approx(100.0, abs=0.001)]
    assert reactor.seconds() - began == pytest.approx(202.0, abs=0.001)


def test_a_reset_between_two_machines_ends_all_their_connections() -> None:
    pair = Pair()
    near, far = pair.connect()
    pair.network.reset_between("far", "near")
    pair.run(0.1)
    assert (near.lost, far.lost) == (error.ConnectionLost, error.ConnectionLost)


def test_names_are_resolved_to_the_address_of_the_moment() -> None:
    pair = Pair()
    near, _ = pair.connect()
    before = near.transport.getPeer().host
    pair.network.kill(pair.processes["far"])
    pair.processes["far"] = Process(pair.timeline, pair.chance, "far")
    pair.reactors["far"] = SimReactor(pair.network, pair.processes["far"])
    pair.network.boot("far", new_address=True)
    pair.listen()
    pair.dial()
    pair.run(0.1)
    assert pair.dialled.transport.getPeer().host != before
