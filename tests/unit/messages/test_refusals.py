"""What clients must not send: each ends in one `ProtocolViolation` with a sentence for the client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.wire import ENCODE, FAMILIES, Wire
from wampha.errors import ProtocolViolation
from wampha.messages.payload import Family

ID = "an integer from 1 to 9007199254740992"

# (message, sentence), the same in all families
WRONG: list[tuple[Any, str]] = [
    ({}, "a WAMP message is a list that begins with an integer, the message type"),
    ("hello", "a WAMP message is a list that begins with an integer, the message type"),
    (16, "a WAMP message is a list that begins with an integer, the message type"),
    (None, "a WAMP message is a list that begins with an integer, the message type"),
    ([], "a WAMP message is a list that begins with an integer, the message type"),
    (["16"], "a WAMP message is a list that begins with an integer, the message type"),
    ([True, 1], "a WAMP message is a list that begins with an integer, the message type"),
    ([7], "7 is not the type of a WAMP message"),
    ([-1], "-1 is not the type of a WAMP message"),
    ([16000, 1, {}, "a"], "16000 is not the type of a WAMP message"),
    ([2, 1, {}], "WELCOME is sent by routers only"),
    ([4, "ticket", {}], "CHALLENGE is sent by routers only"),
    ([17, 1, 2], "PUBLISHED is sent by routers only"),
    ([33, 1, 2], "SUBSCRIBED is sent by routers only"),
    ([35, 1], "UNSUBSCRIBED is sent by routers only"),
    ([36, 1, 2, {}], "EVENT is sent by routers only"),
    ([50, 1, {}], "RESULT is sent by routers only"),
    ([65, 1, 2], "REGISTERED is sent by routers only"),
    ([67, 1], "UNREGISTERED is sent by routers only"),
    ([68, 1, 2, {}], "INVOCATION is sent by routers only"),
    ([69, 1, {}], "INTERRUPT is sent by routers only"),
    ([16], "PUBLISH has 4 to 6 elements, not 1"),
    ([16, 1, {}], "PUBLISH has 4 to 6 elements, not 3"),
    ([16, 1, {}, "a", [], {}, 1], "PUBLISH has 4 to 6 elements, not 7"),
    ([32, 1, {}, "a", []], "SUBSCRIBE has 4 elements, not 5"),
    ([34, 1], "UNSUBSCRIBE has 3 to 4 elements, not 2"),
    ([8, 68, 1, {}], "ERROR has 5 to 7 elements, not 4"),
    ([70, 1], "YIELD has 3 to 5 elements, not 2"),
    ([49, 1], "CANCEL has 3 elements, not 2"),
    ([16, 0, {}, "a"], f"PUBLISH.Request must be {ID}, not 0"),
    ([16, -1, {}, "a"], f"PUBLISH.Request must be {ID}, not -1"),
    ([16, 2**53 + 1, {}, "a"], f"PUBLISH.Request must be {ID}, not 9007199254740993"),
    ([16, 2**64 - 1, {}, "a"], f"PUBLISH.Request must be {ID}, not 18446744073709551615"),
    ([16, 1.0, {}, "a"], f"PUBLISH.Request must be {ID}, not 1.0"),
    ([16, "1", {}, "a"], f"PUBLISH.Request must be {ID}, not '1'"),
    ([16, None, {}, "a"], f"PUBLISH.Request must be {ID}, not None"),
    ([16, True, {}, "a"], f"PUBLISH.Request must be {ID}, not True"),
    ([16, [], {}, "a"], f"PUBLISH.Request must be {ID}, not a list"),
    ([34, 1, 0], f"UNSUBSCRIBE.SUBSCRIBED.Subscription must be {ID}, not 0"),
    ([66, 1, "2"], f"UNREGISTER.REGISTERED.Registration must be {ID}, not '2'"),
    ([70, 0, {}], f"YIELD.INVOCATION.Request must be {ID}, not 0"),
    ([8, 48, 1, {}, "a"], "ERROR.REQUEST.Type must be 68 (INVOCATION), not 48"),
    ([8, 68, 0, {}, "a"], f"ERROR.REQUEST.Request must be {ID}, not 0"),
    ([16, 1, [], "a"], "PUBLISH.Options must be a map with string keys, not a list"),
    ([16, 1, None, "a"], "PUBLISH.Options must be a map with string keys, not None"),
    ([16, 1, "{}", "a"], "PUBLISH.Options must be a map with string keys, not '{}'"),
    ([34, 1, 2, []], "UNSUBSCRIBE.Options must be a map with string keys, not a list"),
    ([8, 68, 1, 0, "a"], "ERROR.Details must be a map with string keys, not 0"),
    ([16, 1, {}, 5], "PUBLISH.Topic must be a string, not 5"),
    ([48, 1, {}, None], "CALL.Procedure must be a string, not None"),
    ([64, 1, {}, ["a"]], "REGISTER.Procedure must be a string, not a list"),
    ([8, 68, 1, {}, {}], "ERROR.Error must be a string, not a map"),
    ([16, 1, {}, "a", "args"], "PUBLISH.Arguments must be a list, not 'args'"),
    ([16, 1, {}, "a", {}], "PUBLISH.Arguments must be a list, not a map"),
    ([16, 1, {}, "a", None], "PUBLISH.Arguments must be a list, not None"),
    ([48, 1, {}, "a", 5], "CALL.Arguments must be a list, not 5"),
    ([70, 1, {}, "x" * 99], "YIELD.Arguments must be a list, not '" + "x" * 59 + "..."),
    ([16, 1, {}, "a", [], []], "PUBLISH.ArgumentsKw must be a map with string keys, not a list"),
    ([16, 1, {}, "a", [], "kw"], "PUBLISH.ArgumentsKw must be a map with string keys, not 'kw'"),
    ([16, 1, {}, "a", [], None], "PUBLISH.ArgumentsKw must be a map with string keys, not None"),
    ([16, 1, {"acknowledge": 1}, "a"], "PUBLISH.Options.acknowledge must be true or false"),
    ([16, 1, {"exclude": ["x"]}, "a"], "PUBLISH.Options.exclude must be a list of session ids"),
    ([16, 1, {"eligible_authid": "x"}, "a"], "PUBLISH.Options.eligible_authid must be a list of strings"),
    ([16, 1, {"forward_for": "x"}, "a"], "PUBLISH.Options.forward_for must be a list"),
    ([32, 1, {"match": "regex"}, "a"], "SUBSCRIBE.Options.match must be exact, prefix or wildcard"),
    ([32, 1, {"match": []}, "a"], "SUBSCRIBE.Options.match must be exact, prefix or wildcard"),
    ([64, 1, {"match": "regex"}, "a"], "REGISTER.Options.match must be exact, prefix or wildcard"),
    ([48, 1, {"timeout": -1}, "a"], "CALL.Options.timeout must be an integer from 0"),
    ([48, 1, {"timeout": 1.5}, "a"], "CALL.Options.timeout must be an integer from 0"),
    ([48, 1, {"ppt_scheme": 1}, "a"], "CALL.Options.ppt_scheme must be a string"),
    ([70, 1, {"progress": "yes"}], "YIELD.Options.progress must be true or false"),
    ([1, "realm1"], "HELLO cannot be read: invalid message length 2 for HELLO"),
    ([1, 5, {}], "HELLO cannot be read:"),
    ([1, "realm 1", {"roles": {"caller": {}}}], "HELLO cannot be read:"),
    ([1, "realm1", {}], "HELLO cannot be read: missing mandatory roles attribute"),
    ([1, "realm1", {"roles": {"caller": {"features": {"self": True}}}}], "HELLO cannot be read:"),
    ([1, "realm1", {"roles": {"caller": {"features": {"call_timeout": "yes"}}}}], "HELLO cannot be read:"),
    ([3, {}, 7], "ABORT cannot be read:"),
    ([5, 7, {}], "AUTHENTICATE cannot be read:"),
    ([6, [], "a"], "GOODBYE cannot be read:"),
    ([6, {}, "a b"], "GOODBYE cannot be read:"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("message", "sentence"), WRONG, ids=[str(message)[:60] for message, _ in WRONG])
def test_a_wrong_message_is_refused_with_a_sentence(family: Family, message: Any, sentence: str) -> None:
    wire = Wire()
    with pytest.raises(ProtocolViolation) as refused:
        wire.parse(family, message)
    assert str(refused.value).startswith(sentence)
    assert wire.counters["messages_malformed"] == 1


JSON_WRONG = [
    (b"", "the message is not valid JSON: Input data was truncated"),
    (b'\xef\xbb\xbf[32,1,{},"a"]', "the message is not valid JSON"),
    (b'[32,1,{},"a"', "the message is not valid JSON: Input data was truncated"),
    (b'[32,1,{},"a"]]', "the message is not valid JSON: JSON is malformed: trailing characters"),
    (b'[32,1,{},"a"][32,1,{},"a"]', "the message is not valid JSON"),
    (b"[32,1,{},'a']", "the message is not valid JSON"),
    (b'[16,1,{},"a",["\xff"]]', "the message is not valid JSON: 'utf-8' codec"),
    (b'[16,1,{},"a",["\xed\xa0\x80"]]', "the message is not valid JSON: 'utf-8' codec"),
    (b'[16,1,{},"a",["\\ud800"]]', "the message is not valid JSON"),
    (b'[16,1,{},"a",["\\x41"]]', "the message is not valid JSON"),
    (b'[16,1,{},"a",["\x01"]]', "the message is not valid JSON"),
    (b'[16,1,{},"a",[NaN]]', "the message is not valid JSON"),
    (b'[16,1,{},"a",[01]]', "the message is not valid JSON"),
    (b'[16,1,{},"a",[1,]]', "the message is not valid JSON"),
    (b'[16,1,{},"a",[1}]', "the message is not valid JSON"),
    (b'[16,1,{},"a",[],{1:2}]', "the message is not valid JSON"),
    (b"[16," + b"9" * 5000 + b',{},"a"]', "the message is not valid JSON"),
    (b"[16," + b"9" * 400 + b',{},"a"]', f"PUBLISH.Request must be {ID}, not an integer of more than 128 bits"),
    (b'[32,1,{"_x":1e999},"a"]', "the message is not valid JSON"),
    (b'[32,1,{"_x":"\\u0000***"},"a"]', "the message cannot be delivered: a JSON string begins with NUL"),
    (b'[16,1,{},"a",["\\u0000***"]]', "the message cannot be delivered: a JSON string begins with NUL"),
    (b'[16,1,{},"a",["\\u0000AQI"]]', "the message cannot be delivered: a JSON string begins with NUL"),
    (b'[16,1,{},"a",[' + b"9" * 4301 + b"]]", "the message cannot be delivered: Exceeds the limit"),
    (
        b'[16,1,{},"a",[' + b" " * 3000 + b"-" + b"1" * 4301 + b"]]",
        "the message cannot be delivered: Exceeds the limit",
    ),
    (
        b'[32,1,{"_x":' + b"9" * 30 + b'},"a"]',
        "SUBSCRIBE has options that WAMP cannot carry: an integer beyond 64 bits",
    ),
]

MSGPACK_WRONG = [
    ("", "the message is not valid MessagePack: Unpack failed: incomplete input"),
    ("c1", "the message is not valid MessagePack"),
    ("94 20 01 80", "the message is not valid MessagePack: Unpack failed: incomplete input"),
    (
        "94 20 01 80 a1 61 00",
        "the message is not valid MessagePack: unpack(b) received extra data",
    ),
    ("94 20 01 80 a1 ff", "the message is not valid MessagePack: 'utf-8' codec"),
    ("95 10 01 80 a1 61 91 a1 ff", "the message is not valid MessagePack: 'utf-8' codec"),
    ("95 10 01 80 a1 61 91 a3 ed a0 80", "the message is not valid MessagePack: 'utf-8' codec"),
    ("95 10 01 80 a1 61 91 c1", "the message is not valid MessagePack"),
    ("95 10 01 80 a1 61 dd ff ff ff ff", "the message is not valid MessagePack: 4294967295 exceeds"),
    ("95 10 01 80 a1 61 91 81 01 02", "the message is not valid MessagePack: int is not allowed for map key"),
    ("96 10 01 80 a1 61 90 81 01 02", "the message is not valid MessagePack: int is not allowed for map key"),
    (
        "96 10 01 80 a1 61 90 81 c4 01 61 02",
        "PUBLISH.ArgumentsKw must be a map with string keys, not a map with other keys",
    ),
    ("94 10 01 81 01 02 a1 61", "the message is not valid MessagePack: int is not allowed for map key"),
    ("94 10 01 81 c4 01 61 02 a1 61", "PUBLISH.Options must be a map with string keys, not a map with other keys"),
    ("94 10 01 81 a2 5f 78 d4 01 00 a1 61", "PUBLISH has options that WAMP cannot carry: a value of type Ext"),
    ("94 10 01 81 a2 5f 78 cb 7ff8000000000000 a1 61", "PUBLISH has options that WAMP cannot carry: JSON cannot"),
    ("94 10 01 80 c4 01 61", "PUBLISH.Topic must be a string, not b'a'"),
    ("94 10 cb 3ff0000000000000 80 a1 61", f"PUBLISH.Request must be {ID}, not 1.0"),
]

CBOR_WRONG = [
    ("", "the message is not valid CBOR: premature end"),
    ("ff", "the message is not valid CBOR"),
    ("1c", "the message is not valid CBOR"),
    ("84 1820 01 a0", "the message is not valid CBOR: premature end"),
    ("84 1820 01 a0 61", "the message is not valid CBOR: premature end"),
    ("84 1820 1b 00", "the message is not valid CBOR: premature end"),
    ("84 1820 01 a0 61 61 00", "the message is not valid CBOR: bytes follow the value"),
    ("84 1820 01 a0 61 ff", "the message is not valid CBOR: error decoding text string"),
    ("84 1820 01 a1 61 61 61 61", "the message is not valid CBOR: premature end"),
    ("84 1820 01 bb ffffffffffffffff 61 61", "the message is not valid CBOR: premature end"),
    ("85 10 01 a0 61 61", "the message is not valid CBOR: premature end"),
    ("85 10 01 a0 61 61 9b ffffffffffffffff", "the message is not valid CBOR: premature end"),
    ("85 10 01 a0 61 61 7b ffffffffffffffff", "the message is not valid CBOR: premature end"),
    ("85 10 01 a0 61 61 81 61 ff", "the message is not valid CBOR: error decoding text string"),
    ("85 10 01 a0 61 61 81 01 01", "the message is not valid CBOR: bytes follow the value"),
    ("85 10 01 a0 61 61 80 ff 00", "the message is not valid CBOR: bytes follow the value"),
    ("85 10 01 a0 61 61 80 fb3ff199999999999a 00", "the message is not valid CBOR: bytes follow the value"),
    ("85 10 01 a0 61 61 81 d81c 81 d81d 00", "the message is not valid CBOR: error decoding semantic tag"),
    ("85 10 01 a0 61 61 81 d823 61 61", "the message is not valid CBOR: error decoding semantic tag 35"),
    ("85 10 01 a0 61 61 81 d901 00 80", "the message is not valid CBOR: error decoding semantic tag 256"),
    ("85 10 01 a0 61 61 81 c0 61 61", "the message is not valid CBOR: error decoding"),
    ("86 10 01 a0 61 61 80 a1 01 02", "the message is not valid CBOR: error decoding map: map key must be"),
    ("86 10 01 a0 61 61 80 a1 41 01 02", "PUBLISH.ArgumentsKw must be a map with string keys, not a map with other"),
    ("84 10 01 a1 01 02 61 61", "the message is not valid CBOR: error decoding map: map key must be"),
    ("84 10 01 a1 41 01 02 61 61", "PUBLISH.Options must be a map with string keys, not a map with other keys"),
    ("84 10 01 a1 62 5f 78 c1 01 61 61", "PUBLISH has options that WAMP cannot carry: a value of type datetime"),
    ("84 10 01 a0 41 61", "PUBLISH.Topic must be a string, not b'a'"),
    ("84 10 fb 3ff0000000000000 a0 61 61", f"PUBLISH.Request must be {ID}, not 1.0"),
    ("d9 d9f7 84 10 01 a0 61 61", "a WAMP message is a list that begins with an integer"),
    ("84 10 20 a0 61 61", f"PUBLISH.Request must be {ID}, not -1"),
]


@pytest.mark.parametrize(("data", "sentence"), JSON_WRONG)
def test_malformed_json_is_refused(data: bytes, sentence: str) -> None:
    refuses(Family.JSON, data, sentence)


@pytest.mark.parametrize(("data", "sentence"), MSGPACK_WRONG)
def test_malformed_messagepack_is_refused(data: str, sentence: str) -> None:
    refuses(Family.MSGPACK, bytes.fromhex(data), sentence)


@pytest.mark.parametrize(("data", "sentence"), CBOR_WRONG)
def test_malformed_cbor_is_refused(data: str, sentence: str) -> None:
    refuses(Family.CBOR, bytes.fromhex(data), sentence)


def refuses(family: Family, data: bytes, sentence: str) -> None:
    with pytest.raises(ProtocolViolation) as refused:
        Wire()[family].parse(data)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("family", FAMILIES)
def test_sentences_are_short_whatever_arrives(family: Family) -> None:
    for message in (
        [16, "x" * 10_000, {}, "a"],
        [1, "r", {"roles": {"x" * 10_000: {}}}],
        [16, 1, {}, "a", "x" * 10_000],
    ):
        with pytest.raises(ProtocolViolation) as refused:
            Wire().parse(family, message)
        assert len(str(refused.value)) <= 300


@pytest.mark.parametrize("family", FAMILIES)
def test_every_cut_of_a_message_is_refused(family: Family) -> None:
    wire = Wire()
    data = ENCODE[family]([16, 300, {"_x": [1, {"y": 70_000}]}, "a.topic", ["text", 2**40, 1.5, None], {"k": [{}]}])
    for end in range(len(data)):
        with pytest.raises(ProtocolViolation):
            wire[family].parse(data[:end])
