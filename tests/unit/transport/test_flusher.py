"""Much that is to be written takes many turns: nothing is reordered, and nobody else waits for it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.support.fakerouter import FakeConversation, FakeRouter
from tests.support.rawclients import CONTINUATION, PING, TEXT, raw_frame, ws_frame
from tests.support.transports import Bench, RecordingTransport
from tests.unit.transport.test_outbox import Subscriber, event, messages

CROWD = 5000
PORTION = 2000


def crowded(count: int = CROWD) -> tuple[Bench, list[RecordingTransport], list[Any]]:
    """Clients, as transports and as subscribers."""
    bench = Bench()
    transports = [bench.open_rawsocket() for _ in range(count)]
    bench.turn()
    return bench, transports, [Subscriber(conversation.client) for conversation in bench.router.conversations]


def written(transports: list[RecordingTransport]) -> int:
    return sum(bool(transport.writes) for transport in transports)


def test_a_large_fan_out_is_written_over_several_turns() -> None:
    bench, transports, receivers = crowded()
    bench.delivery.deliver(receivers, event())
    bench.delivery.flush()
    turns = [written(transports)]
    while turns[-1] < CROWD:
        bench.turn()
        turns.append(written(transports))
    assert turns[0] <= PORTION
    assert all(later - earlier <= PORTION for earlier, later in pairwise(turns))
    assert len(turns) <= CROWD // PORTION + 3
    assert all(messages(transport) == [[36, 1, 7, {}, "[1]"]] for transport in transports)


def test_many_chunks_of_one_turn_share_its_portion() -> None:
    bench, transports, receivers = crowded()
    for number in range(5):
        bench.delivery.flusher.begin()
        bench.delivery.deliver(receivers[number * 1000 : (number + 1) * 1000], event())
        bench.delivery.flush()
    assert written(transports) <= PORTION
    for _ in range(5):
        bench.turn()
    assert written(transports) == CROWD


def test_a_later_event_and_a_reply_do_not_overtake_what_is_left_of_an_earlier_fan_out() -> None:
    bench, transports, receivers = crowded()
    last = transports[-1]
    bench.delivery.deliver(receivers, event(publication=1))
    bench.delivery.flush()
    assert last.writes == []
    bench.delivery.deliver(receivers, event(publication=2))
    receivers[-1].client.send([35, 1])  # UNSUBSCRIBED: nothing of that subscription comes behind it
    bench.delivery.flush()
    while written(transports) < CROWD:
        bench.turn()
    assert [message[2] for message in messages(transports[0])] == [1, 2]
    assert messages(last) == [[36, 1, 1, {}, "[1]"], [36, 1, 2, {}, "[1]"], [35, 1]]


def test_others_are_served_between_the_portions() -> None:
    bench, transports, receivers = crowded(CROWD + 1)
    bench.delivery.deliver(receivers[:-1], event())
    bench.delivery.flush()
    receivers[-1].client.send(["a reply to somebody else"])
    bench.delivery.flush()
    bench.turn()
    assert messages(transports[-1]) == [["a reply to somebody else"]]
    assert written(transports) < CROWD


def test_a_client_that_ends_meanwhile_gets_nothing_more() -> None:
    bench, transports, receivers = crowded()
    bench.delivery.deliver(receivers, event())
    bench.delivery.flush()
    receivers[-1].client.finish()
    assert messages(transports[-1]) == [[36, 1, 7, {}, "[1]"]]
    transports[-2].lose()
    for _ in range(5):
        bench.turn()
    assert transports[-1].writes == transports[-2].writes == []
    assert transports[-1].half_closed


# ---- who publishes to many waits until that is written


class Link:
    """Another node's data link."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stop_flow(self) -> None:
        self.told.append("stop")

    def resume(self) -> None:
        self.told.append("resume")


def test_a_link_whose_messages_reach_many_is_stopped_until_that_is_written() -> None:
    bench, transports, receivers = crowded()
    link, flusher = Link(), bench.delivery.flusher
    flusher.begin(link)
    for number in range(4):
        bench.delivery.deliver(receivers, event(publication=number))
    assert link.told == []
    for number in range(4, 6):
        bench.delivery.deliver(receivers, event(publication=number))
    assert link.told == ["stop"]
    bench.delivery.flush()
    while "resume" not in link.told:
        assert written(transports) < CROWD
        bench.turn()
    assert written(transports) == CROWD
    assert link.told == ["stop", "resume"]


class Publishing(FakeRouter):
    """Each message of the first client goes to all clients, as an event with the message's number."""

    def __init__(self) -> None:
        super().__init__(self._publish)
        self.bench: Any = None

    def _publish(self, conversation: FakeConversation, message: Any) -> None:
        if conversation is self.conversations[0]:
            receivers: list[Any] = [Subscriber(each.client) for each in self.conversations]
            self.bench.delivery.deliver(receivers, event(publication=message[0]))
        else:
            conversation.client.send(["reply", *message])


def publishing(kind: str, count: int = 15_000) -> tuple[Bench, RecordingTransport, list[RecordingTransport]]:
    router = Publishing()
    router.bench = bench = Bench(router)
    publisher = bench.open_rawsocket() if kind == "rawsocket" else bench.open_websocket()
    transports = [bench.open_rawsocket() for _ in range(count)]
    bench.turn()
    return bench, publisher, transports


def frames(kind: str, numbers: range) -> list[bytes]:
    if kind == "rawsocket":
        return [raw_frame(b"[%d]" % number) for number in numbers]
    if kind == "websocket":
        return [ws_frame(b"[%d]" % number) for number in numbers]
    halves = [(ws_frame(b"[%d" % number, TEXT, fin=False), ws_frame(b"]", CONTINUATION)) for number in numbers]
    return [ws_frame(b"", PING), *(first + second for first, second in halves)]


@pytest.mark.parametrize("kind", ["rawsocket", "websocket", "websocket in fragments"])
def test_a_chunk_full_of_large_fan_outs_is_handled_over_several_turns_and_in_order(kind: str) -> None:
    bench, publisher, transports = publishing(kind)
    handled = bench.router.conversations[0].received
    publisher.protocol.dataReceived(b"".join(frames(kind, range(10))))
    assert len(handled) == 2  # the second one passed the bound
    assert not publisher.reading
    publisher.protocol.dataReceived(b"".join(frames(kind, range(10, 12))))  # was on its way already
    transports[0].protocol.dataReceived(raw_frame(b"[99]"))
    bench.turn()
    assert ["reply", 99] in messages(transports[0])  # others are served meanwhile
    turns = 1
    while len(handled) < 12:
        bench.turn()
        turns += 1
        assert turns < 200
    assert handled == [[number] for number in range(12)]
    while not publisher.reading or written(transports) < len(transports):
        bench.turn()
    for _ in range(20):
        bench.turn()
    assert [message[2] for message in messages(transports[-1])] == list(range(12))


@pytest.mark.parametrize("kind", ["rawsocket", "websocket"])
def test_a_publisher_that_is_closed_meanwhile_reads_on_and_is_not_handled(kind: str) -> None:
    bench, publisher, _ = publishing(kind)
    publisher.protocol.dataReceived(b"".join(frames(kind, range(10))))
    bench.router.conversations[0].client.finish()
    for _ in range(30):
        bench.turn()
    assert publisher.reading
    assert len(bench.router.conversations[0].received) == 2


def test_a_publisher_that_goes_meanwhile_is_forgotten() -> None:
    bench, publisher, transports = publishing("rawsocket")
    publisher.protocol.dataReceived(b"".join(frames("rawsocket", range(10))))
    publisher.lose()
    for _ in range(30):
        bench.turn()
    assert written(transports) == len(transports)
    assert len(bench.router.conversations[0].received) == 2


def test_what_was_put_off_asks_the_gate_again() -> None:
    bench, publisher, _ = publishing("rawsocket")
    publisher.protocol.dataReceived(b"".join(frames("rawsocket", range(10))))
    bench.serving = False
    for _ in range(30):
        bench.turn()
    handled = bench.router.conversations[0].received
    assert len(handled) == 2
    bench.serving = True
    bench.gate.changed(True)
    for _ in range(200):
        bench.turn()
    assert handled == [[number] for number in range(10)]


def test_silence_does_not_count_while_input_is_put_off() -> None:
    publisher = publishing("rawsocket")[1]
    connection = publisher.protocol
    connection.dataReceived(b"".join(frames("rawsocket", range(10))))
    for _ in range(1000):
        connection.tick(False)
    assert not publisher.aborted
