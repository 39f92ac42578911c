"""Messages that clients may send, in each family."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from autobahn.wamp import message as autobahn_message

from tests.support.wire import ENCODE, FAMILIES, Wire
from wampha.errors import ProtocolViolation
from wampha.limits import Limits
from wampha.messages.model import (
    NO_OPTIONS,
    Call,
    Cancel,
    Error,
    Publish,
    Register,
    Subscribe,
    Unregister,
    Unsubscribe,
    Yield,
)
from wampha.messages.payload import NOTHING, Family, Payload

BINARY_FAMILIES = (Family.MSGPACK, Family.CBOR)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def payload(family: Family, *elements: Any) -> Payload:
    separator = b"," if family is Family.JSON else b""
    return Payload(family, len(elements), separator.join(ENCODE[family](element) for element in elements))


@pytest.mark.parametrize("family", FAMILIES)
def test_messages_with_payload_keep_it_as_it_came(wire: Wire, family: Family) -> None:
    args, kwargs = [1, "two", None, 2.5, {"k": [True]}], {"a": 1, "b": "ü"}
    both = payload(family, args, kwargs)
    assert wire.parse(family, [16, 7, {}, "a.b", args, kwargs]) == Publish(7, {}, "a.b", both)
    assert wire.parse(family, [48, 7, {}, "a.b", args, kwargs]) == Call(7, {}, "a.b", both)
    assert wire.parse(family, [70, 7, {}, args, kwargs]) == Yield(7, {}, both)
    assert wire.parse(family, [8, 68, 7, {}, "a.error", args, kwargs]) == Error(68, 7, {}, "a.error", both)
    assert wire.parse(family, [16, 7, {}, "a.b", args]).payload == payload(family, args)
    assert wire.parse(family, [16, 7, {}, "a.b"]).payload == NOTHING
    assert wire.parse(family, [16, 7, {}, "a.b", [], {}]).payload == payload(family, [], {})


@pytest.mark.parametrize("family", FAMILIES)
def test_messages_without_payload_are_read(wire: Wire, family: Family) -> None:
    assert wire.parse(family, [32, 7, {"match": "prefix"}, "a."]) == Subscribe(7, {"match": "prefix"}, "a.")
    assert wire.parse(family, [34, 7, 8]) == Unsubscribe(7, 8)
    assert wire.parse(family, [34, 7, 8, {}]) == Unsubscribe(7, 8)
    assert wire.parse(family, [64, 7, {"invoke": "single"}, "a"]) == Register(7, {"invoke": "single"}, "a")
    assert wire.parse(family, [66, 7, 8]) == Unregister(7, 8)
    assert wire.parse(family, [66, 7, 8, {}]) == Unregister(7, 8)
    assert wire.parse(family, [49, 7, {"mode": "kill"}]) == Cancel(7, {"mode": "kill"})


@pytest.mark.parametrize("family", FAMILIES)
def test_messages_of_a_sessions_start_and_end_are_autobahns(wire: Wire, family: Family) -> None:
    hello = wire.parse(family, [1, "realm1", {"roles": {"caller": {"features": {"caller_identification": True}}}}])
    assert isinstance(hello, autobahn_message.Hello)
    assert (hello.realm, list(hello.roles)) == ("realm1", ["caller"])
    assert isinstance(wire.parse(family, [6, {}, "wamp.close.normal"]), autobahn_message.Goodbye)
    assert isinstance(wire.parse(family, [3, {}, "wamp.error.no"]), autobahn_message.Abort)
    assert wire.parse(family, [5, "signature", {"x": 1}]).signature == "signature"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("request_id", [1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53])
def test_ids_from_1_to_2_to_the_53_are_accepted(wire: Wire, family: Family, request_id: int) -> None:
    assert wire.parse(family, [32, request_id, {}, "a"]).request == request_id


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("code", [16, 32, 48, 64])
@pytest.mark.parametrize("uri", ["", "a b", "a..b", "#", "wamp.x", "ü" * 300, "x" * 70_000])
def test_a_bad_uri_reaches_the_core(wire: Wire, family: Family, code: int, uri: str) -> None:
    message = wire.parse(family, [code, 7, {}, uri])
    assert uri in (getattr(message, "topic", None), getattr(message, "procedure", None))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("code", [16, 32, 48, 64])
def test_no_options_are_one_shared_constant(wire: Wire, family: Family, code: int) -> None:
    assert wire.parse(family, [code, 7, {}, "a"]).options is NO_OPTIONS
    assert wire.parse(family, [code, 7, {"forward_for": []}, "a"]).options is NO_OPTIONS


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_small_options_are_decoded_once(wire: Wire, family: Family) -> None:
    first = wire.parse(family, [16, 7, {"acknowledge": True}, "a"])
    second = wire.parse(family, [16, 8, {"acknowledge": True}, "b"])
    assert first.options == {"acknowledge": True}
    assert first.options is second.options


@pytest.mark.parametrize("family", FAMILIES)
def test_remembered_options_are_bounded(wire: Wire, family: Family) -> None:
    for number in range(3000):
        assert wire.parse(family, [16, 7, {"_n": number}, "a"]).options == {"_n": number}
    reader = wire[family]._read.__self__
    remembered = (reader.options if family is not Family.CBOR else reader._options)["PUBLISH"]._remembered
    assert len(remembered) <= 1024


@pytest.mark.parametrize("family", FAMILIES)
def test_endless_lists_of_receivers_are_cut_where_the_broker_refuses_them(wire: Wire, family: Family) -> None:
    longest = Limits().publish_receivers_max
    for entries, kept in ((longest, longest), (longest + 1, longest + 1), (longest + 2, longest + 1)):
        options = wire.parse(family, [16, 7, {"exclude": [5] * entries, "_own": [5] * entries}, "a"]).options
        assert (len(options["exclude"]), len(options["_own"])) == (kept, entries)


@pytest.mark.parametrize("family", FAMILIES)
def test_options_are_bounded_in_bytes(wire: Wire, family: Family) -> None:
    longest = Limits().options_bytes_max
    assert wire.parse(family, [16, 7, {"_own": "x" * (longest - 20)}, "a"]).options
    for options in ({"_own": "x" * longest}, {"exclude": [2**40] * 900_000}):
        with pytest.raises(ProtocolViolation, match=f"PUBLISH has options of more than {longest} bytes"):
            wire.parse(family, [16, 7, options, "a"])
    assert wire.counters["messages_malformed"] == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_session_ids_in_lists_may_be_whole_floats(wire: Wire, family: Family) -> None:
    options = wire.parse(family, [16, 7, {"exclude": [float(2**53), 7]}, "a"]).options
    assert {2**53, 7} == set(options["exclude"])
    for wrong in (1.5, float("1e400"), True, "7", None):
        if family is not Family.JSON or wrong != float("1e400"):
            with pytest.raises(ProtocolViolation, match="exclude"):
                wire.parse(family, [16, 7, {"exclude": [wrong]}, "a"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_binary_value_may_stand_for_the_arguments_if_enc_algo_says_so(wire: Wire, family: Family) -> None:
    sealed = "\0AQI=" if family is Family.JSON else b"\1\2"
    options = {"enc_algo": "x_mine", "enc_key": "k", "enc_serializer": "cbor"}
    for head in ([16, 7, options, "a"], [48, 7, options, "a"], [70, 7, options], [8, 68, 7, options, "a.e"]):
        message = wire.parse(family, [*head, sealed])
        assert message.payload.elements() == [b"\1\2"]
        for other in FAMILIES:
            assert Payload(other, 1, message.payload.data_in(other)).elements() == [b"\1\2"]
    for wrong in ([16, 7, {}, "a", sealed], [16, 7, options, "a", sealed, {}], [16, 7, options, "a", 7]):
        with pytest.raises(ProtocolViolation, match="Arguments"):
            wire.parse(family, wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_that_autobahn_does_not_know_are_kept(wire: Wire, family: Family) -> None:
    features = {"call_cancelling": True, "progressive_call_invocations": False, "x_other": 1}
    hello = wire.parse(family, [1, "realm1", {"roles": {"callee": {"features": features}, "caller": {}}}])
    callee = hello.roles["callee"]
    assert (callee.call_cancelling, callee.progressive_call_invocations) == (True, False)
    with pytest.raises(ProtocolViolation, match="call_cancelling"):
        wire.parse(family, [1, "realm1", {"roles": {"callee": {"features": {"call_cancelling": 1}}}}])


@pytest.mark.parametrize("family", FAMILIES)
def test_options_are_remembered_per_type_of_message(wire: Wire, family: Family) -> None:
    assert wire.parse(family, [32, 7, {"match": "prefix"}, "a"]).options == {"match": "prefix"}
    assert wire.parse(family, [48, 7, {"match": 1}, "a"]).options == {"match": 1}
    with pytest.raises(ProtocolViolation, match="match"):
        wire.parse(family, [32, 7, {"match": 1}, "a"])


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_options_are_kept(wire: Wire, family: Family) -> None:
    options = {
        "_trace": {"id": [1, 2]},
        "x_vendor": "v",
        "ppt_scheme": "x_scheme",
        "ppt_serializer": "cbor",
        "progress": True,
        "rkey": "shard-1",
    }
    assert wire.parse(family, [48, 7, options, "a"]).options == options


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("code", [16, 48])
def test_what_only_routers_say_about_sessions_is_dropped(wire: Wire, family: Family, code: int) -> None:
    forged = {
        "caller": 1,
        "caller_authid": "root",
        "caller_authrole": "admin",
        "publisher": 1,
        "publisher_authid": "root",
        "publisher_authrole": "admin",
        "forward_for": [{"session": 1, "authid": "root", "authrole": "admin"}],
    }
    assert wire.parse(family, [code, 7, {**forged, "_kept": 1}, "a"]).options == {"_kept": 1}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_option_without_a_value_counts_as_absent(wire: Wire, family: Family) -> None:
    assert wire.parse(family, [32, 7, {"match": None, "_x": 1}, "a"]).options == {"_x": 1}
    hello = wire.parse(family, [1, "r", {"roles": {"caller": {"features": {"call_timeout": None}}}, "authid": None}])
    assert hello.authid is None
    extra = {"mine": None, "roles": {"a": None}}
    hello = wire.parse(family, [1, "r", {"roles": {"caller": {}}, "authextra": extra}])
    assert hello.authextra == extra


def test_cbor_undefined_counts_as_absent(wire: Wire) -> None:
    undefined = cbor2.undefined
    assert wire.parse(Family.CBOR, [32, 7, {"match": undefined}, "a"]).options is NO_OPTIONS
    assert wire.parse(Family.CBOR, [32, 7, {"_x": [undefined]}, "a"]).options == {"_x": [None]}
    details = {
        "roles": {"subscriber": {"features": {"pattern_based_subscription": undefined}}},
        "authmethods": undefined,
    }
    assert wire.parse(Family.CBOR, [1, "realm1", details]).authmethods is None


def test_json_may_be_spaced_out(wire: Wire) -> None:
    message = wire[Family.JSON].parse(b' \n[ 16 , 7,{ "acknowledge" :true } ,"a" , [ 1 ] , {"a": 2 } ]\t')
    assert message == Publish(7, {"acknowledge": True}, "a", Payload(Family.JSON, 2, b'[ 1 ],{"a": 2 }'))


def test_long_digits_and_nul_in_json_are_read_where_clients_can(wire: Wire) -> None:
    for args in (
        b"[" + b"9" * 4300 + b"]",
        b'["' + b"9" * 9000 + b'"]',
        b"[1e999]",
        b'["\\"\\u0000?"]',
        b'["\\u0000AQI="]',
    ):
        assert wire[Family.JSON].parse(b'[16,7,{},"a",' + args + b"]").payload.data == args


def test_json_strings_of_the_header_are_unescaped(wire: Wire) -> None:
    assert wire[Family.JSON].parse(b'[32,7,{},"a.\\u00fc"]').topic == "a.ü"


@pytest.mark.parametrize(
    "data",
    [
        "9f 10 07 a0 61 61 81 01 ff",  # a list of indefinite length
        "98 05 10 07 a0 61 61 81 01",  # its length in more bytes than needed
        "85 10 07 bf ff 61 61 81 01",  # options of indefinite length
        "85 10 07 a0 7f 61 61 ff 81 01",  # the topic in chunks
        "85 18 10 1b 00 00 00 00 00 00 00 07 a0 78 01 61 81 01",  # long heads
    ],
)
def test_unusual_cbor_of_a_message_is_read(wire: Wire, data: str) -> None:
    assert wire[Family.CBOR].parse(bytes.fromhex(data)) == Publish(7, {}, "a", Payload(Family.CBOR, 1, b"\x81\x01"))


def test_cbor_payload_is_verbatim_even_when_unusual(wire: Wire) -> None:
    args = bytes.fromhex("9f 1801 7f6161ff c11a514b67b0 f7 a1410102 ff")
    assert wire[Family.CBOR].parse(bytes.fromhex("85 10 07 a0 61 61") + args).payload.data == args


def test_cbor_payload_may_hold_what_marks_its_end(wire: Wire) -> None:
    payload = ENCODE[Family.CBOR]([1.1, 1.1])
    assert wire[Family.CBOR].parse(bytes.fromhex("85 10 07 a0 61 61") + payload).payload.data == payload
    with pytest.raises(ProtocolViolation):
        wire[Family.CBOR].parse(bytes.fromhex("85 10 07 a0 61 61") + payload + ENCODE[Family.CBOR](1.1) + b"junk")


@pytest.mark.parametrize("family", BINARY_FAMILIES)
def test_binary_and_huge_arguments_are_kept(wire: Wire, family: Family) -> None:
    args = [bytes(range(256)) * 4096, 2**64 - 1, -(2**63), float("nan")]
    assert wire.parse(family, [16, 7, {}, "a", args]).payload == payload(family, args)


@pytest.mark.parametrize("family", FAMILIES)
def test_autobahns_own_path_gives_a_list_and_knows_the_kind_of_frame(wire: Wire, family: Family) -> None:
    data = ENCODE[family]([32, 7, {}, "a"])
    serializer = wire[family]
    assert serializer.unserialize(data, serializer.BINARY) == [Subscribe(7, {}, "a")]
    assert serializer.unserialize(data) == [Subscribe(7, {}, "a")]
    with pytest.raises(ProtocolViolation, match="travels in"):
        serializer.unserialize(data, not serializer.BINARY)
