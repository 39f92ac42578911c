"""Events to many: encoded once per kind of connection, and left out for who cannot be sent them."""

from __future__ import annotations

from typing import Any

from tests.support.fakerouter import JsonStandIn, MsgpackStandIn, UnwritableError
from tests.support.transports import Bench
from tests.unit.transport.test_outbox import event, messages, subscribers


def test_an_event_is_encoded_once_for_all_receivers_of_a_kind() -> None:
    serializers = [JsonStandIn(), MsgpackStandIn()]
    bench = Bench(serializers=serializers)
    raw = [bench.open_rawsocket() for _ in range(3)]
    web = [bench.open_websocket() for _ in range(3)]
    bench.delivery.deliver(subscribers(bench), event())
    bench.delivery.flush()
    assert serializers[0].encoded == 2
    assert serializers[1].encoded == 0
    assert len({id(transport.writes[0]) for transport in raw}) == 1
    assert [messages(transport) for transport in raw] == [[[36, 1, 7, {}, "[1]"]]] * 3
    assert len({transport.taken() for transport in web}) == 1


def test_an_event_that_a_client_does_not_accept_is_left_out_for_it_alone_and_counted() -> None:
    bench = Bench()
    small, large = bench.open_rawsocket(0x11), bench.open_rawsocket(0xF1)
    bench.delivery.deliver(subscribers(bench), event(b"[" + b" " * 2000 + b"]"))
    bench.delivery.deliver(subscribers(bench), event(publication=8))
    bench.delivery.flush()
    assert [message[2] for message in messages(small)] == [8]
    assert [message[2] for message in messages(large)] == [7, 8]
    assert bench.counted["events_undeliverable"] == 1


def test_a_payload_that_one_serializer_cannot_write_reaches_the_others() -> None:
    class Refusing(MsgpackStandIn):
        def encode(self, message: Any) -> bytes:
            raise UnwritableError("an integer of 70 bits")

    bench = Bench(serializers=[JsonStandIn(), Refusing()])
    json_client, msgpack_client = bench.open_rawsocket(0xF1), bench.open_rawsocket(0xF2)
    bench.delivery.deliver(subscribers(bench), event())
    bench.delivery.flush()
    assert len(messages(json_client)) == 1
    assert msgpack_client.writes == []
    assert bench.counted["events_undeliverable"] == 1


def test_a_client_that_is_closing_gets_no_events_and_is_not_counted() -> None:
    bench = Bench()
    transport = bench.open_rawsocket()
    bench.router.conversations[0].client.finish()
    bench.delivery.deliver(subscribers(bench), event())
    bench.clock.advance(0)
    assert transport.writes == []
    assert "events_undeliverable" not in bench.counted
