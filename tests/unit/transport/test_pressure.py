"""A client that feeds a node which is behind waits; nobody else does (design section 6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rawclients import TEXT, raw_frame, ws_frame
from tests.support.transports import Bench, RecordingTransport
from wampha.errors import NodeBehind
from wampha.state.commands import Owner

B, C = Owner("b", 2), Owner("c", 3)


class Crowded(Bench):
    """Each message is for the nodes that are named in it; of these, the core takes none for one that is `behind`."""

    def __init__(self) -> None:
        super().__init__()
        self.behind = {"b": B, "c": C}
        self.room = 1000  # messages for others that are taken before all are behind again
        self.taken: list[int] = []
        self.router.on_message = self._on_message

    def _on_message(self, conversation: Any, message: Any) -> None:
        try:
            for name in message[1:]:
                if name in self.behind:
                    raise NodeBehind(self.behind[name])
        except NodeBehind:
            conversation.received.pop()
            raise
        self.taken.append(message[0])
        self.room -= len(message) > 1
        if not self.room:
            self.behind = {"b": B, "c": C}

    def relieve(self, owner: Owner) -> None:
        self.behind.pop(owner.name, None)
        self.delivery.relieved(owner)


@pytest.fixture
def bench() -> Crowded:
    return Crowded()


def frame(text: str) -> bytes:
    return raw_frame(text.encode())


def send(transport: RecordingTransport, *texts: str) -> None:
    transport.protocol.dataReceived(b"".join(map(frame, texts)))


@pytest.mark.parametrize("kind", ["rawsocket", "websocket", "fragments", "batches"])
def test_a_message_for_a_node_that_is_behind_waits_and_what_stands_behind_it(bench: Crowded, kind: str) -> None:
    texts = [b"[1]", b'[2, "b"]', b"[3]", b"[4]"]
    if kind == "rawsocket":
        transport, data = bench.open_rawsocket(), b"".join(map(raw_frame, texts))
    elif kind == "batches":
        transport = bench.open_websocket("wamp.2.json.batched")
        data = ws_frame(b"\x1e".join([*texts[:3], b""]), TEXT) + ws_frame(texts[3] + b"\x1e", TEXT)
    elif kind == "fragments":
        transport = bench.open_websocket()
        halves = [(text[:2], text[2:]) for text in texts]
        data = b"".join(ws_frame(one, TEXT, fin=False) + ws_frame(two, 0) for one, two in halves)
    else:
        transport, data = bench.open_websocket(), b"".join(ws_frame(text, TEXT) for text in texts)
    transport.protocol.dataReceived(data)
    assert bench.taken == [1]
    assert not transport.reading
    assert bench.counters["clients_paused"] == 1
    bench.turn(), bench.turn()
    assert bench.taken == [1]
    bench.relieve(B)
    assert bench.taken == [1]  # in a later turn
    bench.turn(), bench.turn()
    assert bench.taken == [1, 2, 3, 4]
    assert transport.reading
    assert bench.counters["clients_paused"] == 1


def test_others_go_on(bench: Crowded) -> None:
    feeder, other = bench.open_rawsocket(), bench.open_rawsocket()
    send(feeder, '[1, "b"]')
    send(other, "[2]", '[3, "d"]')
    assert (feeder.reading, other.reading) == (False, True)
    assert bench.taken == [2, 3]


def test_who_feeds_two_waits_for_both(bench: Crowded) -> None:
    transport = bench.open_rawsocket()
    send(transport, '[1, "b", "c"]', "[2]")
    bench.relieve(B)
    bench.turn()
    assert bench.taken == []
    bench.relieve(C)
    bench.turn()
    assert bench.taken == [1, 2]
    assert bench.counters["clients_paused"] == 1


def test_who_waits_longest_comes_first_and_nobody_twice_before_the_others(bench: Crowded) -> None:
    feeders = [bench.open_rawsocket() for _ in range(3)]
    for number, feeder in enumerate(feeders):
        send(feeder, f'[{number}, "b"]', f'[{10 + number}, "b"]')
    for _ in range(6):
        bench.room = 1
        bench.relieve(B)
        bench.turn(), bench.turn()
    assert bench.taken == [0, 1, 2, 10, 11, 12]
    assert bench.counters["clients_paused"] == 6


def test_a_gate_that_opens_does_not_let_him_go(bench: Crowded) -> None:
    transport = bench.open_rawsocket()
    send(transport, '[1, "b"]')
    send(transport, "[2]")  # TLS may have read it before
    bench.gate.poll()
    bench.turn()
    assert bench.taken == []
    bench.relieve(B)
    bench.turn()
    assert bench.taken == [1, 2]


def test_what_waited_is_not_routed_while_this_node_may_not_serve(bench: Crowded) -> None:
    transport = bench.open_rawsocket()
    send(transport, '[1, "b"]', "[2]")
    bench.serving = False
    bench.relieve(B)
    bench.turn()
    assert bench.taken == []  # rule 1
    bench.serving = True
    bench.gate.changed(True)
    assert bench.taken == [1, 2]


def test_his_silence_is_not_held_against_him(bench: Crowded) -> None:
    transport = bench.open_rawsocket()
    send(transport, '[1, "b"]')
    bench.clock.pump([0.1] * 600)
    assert not transport.aborted
    bench.relieve(B)
    bench.clock.pump([0.1] * 600)
    assert transport.aborted
    assert bench.counters["clients_cut_silent"] == 1


def test_who_is_sent_away_can_still_close_and_what_waited_is_not_routed(bench: Crowded) -> None:
    transport = bench.open_rawsocket()
    send(transport, '[1, "b"]')
    bench.router.conversations[0].client.finish()
    bench.behind.clear()
    bench.turn()
    assert transport.reading
    assert bench.taken == []


def test_who_is_gone_is_forgotten(bench: Crowded) -> None:
    transport = bench.open_rawsocket()
    send(transport, '[1, "b"]')
    transport.lose()
    assert not bench.delivery.pressure._waiting
    assert not bench.delivery.pressure._awaited
    bench.relieve(B)
    bench.turn()
    assert bench.taken == []
