"""The specification's single-message vectors: see `vectors/README.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from autobahn.wamp import message as autobahn_message

from tests.support.wire import FAMILIES, Wire
from wampha.errors import ProtocolViolation
from wampha.messages import model, writing
from wampha.messages.payload import NOTHING, Family, Payload
from wampha.messages.values import dump, load

VECTORS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "vectors").glob("*.json"))]
SAMPLES = [(vector["wamp_message_code"], sample) for vector in VECTORS for sample in vector["samples"]]
WITH_BYTES = [(code, sample) for code, sample in SAMPLES if "serializers" in sample]
OPTION_SAMPLES = [(code, sample) for code, sample in SAMPLES if "wmsg" in sample]

SENT_BY_CLIENTS = {1, 3, 5, 6, 16, 32, 34, 48, 49, 64, 66, 70}
SENT_BY_ROUTERS = set(writing._CODES.values())

# expected attribute -> where our message, or Autobahn's, has it
ATTRIBUTES = {"request_id": "request", "subscription_id": "subscription", "registration_id": "registration"}


def variants(sample: dict[str, Any], family: Family) -> list[bytes]:
    return [bytes.fromhex(variant["bytes_hex"]) for variant in sample["serializers"][family.name.lower()]]


def titles(samples: list[tuple[int, Any]]) -> list[str]:
    return [f"{code}-{sample['description'][:50]}" for code, sample in samples]


FROM_CLIENTS = [(code, sample) for code, sample in WITH_BYTES if code in SENT_BY_CLIENTS]
FROM_ROUTERS = [(code, sample) for code, sample in WITH_BYTES if code in SENT_BY_ROUTERS]


def class_of(code: int, elements: list[Any]) -> Any:
    """The class of such a message; where a revocation has one of its own, the one with so many elements."""
    kinds = [kind for kind, its in writing._CODES.items() if its == code]
    return next(kind for kind in kinds if len(kinds) == 1 or len(kind.__struct_fields__) == len(elements) - 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("code", "sample"), FROM_CLIENTS, ids=titles(FROM_CLIENTS))
def test_all_spellings_of_a_clients_message_are_read_alike(family: Family, code: int, sample: dict[str, Any]) -> None:
    wire = Wire()
    for data in variants(sample, family):
        agrees(wire[family].parse(data), sample["expected_attributes"])


def agrees(message: Any, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        sealed = expected.get("payload")  # one binary value in place of Arguments
        if name in ("message_type", "payload"):
            continue
        if name in ("args", "kwargs") and sealed:
            assert message.payload.elements() == [bytes.fromhex(sealed)]
        elif name in ("args", "kwargs"):
            assert getattr(message.payload, name)() == (value or type(getattr(message.payload, name)())())
        elif name == "options":
            assert message.options == {key: item for key, item in value.items() if key != "forward_for"}
        elif name == "roles":
            assert set(message.roles) == set(value)
        elif name == "details":
            assert isinstance(message, autobahn_message.Goodbye | autobahn_message.Abort)
        elif name == "extra":
            assert (message.extra or {}) == value
        else:
            assert getattr(message, ATTRIBUTES.get(name, name)) == value


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("code", "sample"), FROM_ROUTERS, ids=titles(FROM_ROUTERS))
def test_our_spelling_of_a_routers_message_is_one_of_theirs(family: Family, code: int, sample: dict[str, Any]) -> None:
    spellings = variants(sample, family)
    elements = load(family, spellings[-1])
    kind = class_of(code, elements)
    names = [name for name in kind.__struct_fields__ if name != "payload"]
    fields = elements[1 : 1 + len(names)]
    rest = elements[1 + len(names) :]
    payload = Payload(Family.MSGPACK, len(rest), dump(Family.MSGPACK, rest)[1:]) if rest else NOTHING
    message = kind(*fields, payload) if "payload" in kind.__struct_fields__ else kind(*fields)
    assert Wire()[family].encode(message) in spellings


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("code", "sample"), OPTION_SAMPLES, ids=titles(OPTION_SAMPLES))
def test_options_are_judged_as_the_samples_say(family: Family, code: int, sample: dict[str, Any]) -> None:
    message, error = sample["wmsg"], sample.get("expected_error")
    if code == 36:
        error = {"contains": "EVENT is sent by routers only"}
    if error:
        with pytest.raises(ProtocolViolation, match=error["contains"]):
            Wire().parse(family, message)
    else:
        assert isinstance(Wire().parse(family, message), model.Publish | model.Subscribe)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_vector_is_used(family: Family) -> None:
    used = {id(sample) for _, sample in FROM_CLIENTS + FROM_ROUTERS + OPTION_SAMPLES}
    unused = [(code, sample) for code, sample in SAMPLES if id(sample) not in used]
    assert [code for code, _ in unused] == [337]  # EVENT_RECEIVED: we do not announce the feature
    for data in variants(unused[-1][1], family):
        with pytest.raises(ProtocolViolation, match="337 is not the type"):
            Wire()[family].parse(data)
