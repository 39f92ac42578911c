"""The handshake alone: who gets in, and what an attacker in the middle cannot do."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wampha.cluster.frames import FrameReader
from wampha.cluster.handshake import (
    VERSIONS,
    Channel,
    Handshake,
    HandshakeRefused,
    Hello,
    Membership,
    Proof,
    Refusal,
    Refused,
    RefusedByPeer,
    Stage,
    configuration_hash,
    configuration_terms,
    refusal,
)
from wampha.errors import LinkRefused

VOTERS = ("n1", "n2", "n3")
HASH = configuration_hash("demo", VOTERS, {"F": 1.5})
SECRET = b"only members know it"


def _membership(name: str, **changes) -> Membership:
    settings = {
        "cluster": "demo",
        "voters": frozenset(VOTERS),
        "configuration": HASH,
        "address": "h:1",
        "secret": SECRET,
    }
    return Membership(name=name, **(settings | changes))


def _dialer(
    name: str = "n2", expects: str = "n1", channel: Channel = Channel.DATA, nonce: int = 2, **changes
) -> Handshake:
    return Handshake(
        membership=_membership(name, **changes),
        identity=(20, 200),
        nonce=bytes([nonce]) * 32,
        expects=expects,
        channel=channel,
    )


def _acceptor(name: str = "n1", nonce: int = 1, **changes) -> Handshake:
    return Handshake(membership=_membership(name, **changes), identity=(10, 100), nonce=bytes([nonce]) * 32)


def _body(frame: bytes) -> bytes:
    (body,) = FrameReader(4096).frames(frame)
    return body


def _run(dialer: Handshake, acceptor: Handshake) -> None:
    """Carry frames to and fro until nobody answers."""
    frame, receiver, other = dialer.begin(), acceptor, dialer
    while frame:
        frame = receiver.receive(_body(frame))
        receiver, other = other, receiver


def _reason(run) -> Refusal:
    with pytest.raises(HandshakeRefused) as caught:
        run()
    return caught.value.reason


def test_members_come_together_and_know_each_other():
    dialer, acceptor = _dialer(), _acceptor()
    _run(dialer, acceptor)
    assert dialer.stage is acceptor.stage is Stage.DONE
    assert (dialer.peer.name, dialer.peer.life, dialer.peer.incarnation) == ("n1", 10, 100)
    assert (acceptor.peer.name, acceptor.peer.life, acceptor.peer.incarnation) == ("n2", 20, 200)
    assert acceptor.channel is Channel.DATA
    assert dialer.version == acceptor.version == VERSIONS[1]


def test_without_a_secret_on_either_side_members_come_together():
    dialer, acceptor = _dialer(secret=b""), _acceptor(secret=b"")
    _run(dialer, acceptor)
    assert dialer.stage is acceptor.stage is Stage.DONE


@pytest.mark.parametrize(
    ("dialer", "acceptor", "reason"),
    [
        ({"cluster": "other"}, {}, Refusal.CLUSTER),
        ({"configuration": configuration_hash("demo", VOTERS[::-1], {"F": 1.5})}, {}, Refusal.CONFIGURATION),
        ({"versions": (VERSIONS[1] + 1, VERSIONS[1] + 2)}, {}, Refusal.VERSION),
        ({"versions": (1, 1)}, {"versions": (2, 3)}, Refusal.VERSION),
        ({"name": "n1"}, {}, Refusal.OWN_NAME),
        ({"expects": "n3"}, {}, Refusal.EXPECTED),
        ({"name": "n0", "voters": frozenset({"n0", "n1"})}, {"voters": frozenset({"n0", "n1"})}, Refusal.DIRECTION),
        ({"secret": b"guessed"}, {}, Refusal.PROOF),
        ({"secret": b""}, {}, Refusal.PROOF),
        ({}, {"secret": b""}, Refusal.PROOF),
    ],
    ids=lambda value: value.name if isinstance(value, Refusal) else None,
)
def test_whoever_is_wrong_is_refused(dialer, acceptor, reason):
    dialing, accepting = _dialer(**dialer), _acceptor(**acceptor)
    assert _reason(lambda: _run(dialing, accepting)) is reason
    assert Stage.DONE not in (dialing.stage, accepting.stage)


def test_the_highest_common_version_is_spoken():
    dialer, acceptor = _dialer(versions=(1, 3)), _acceptor(versions=(2, 5))
    _run(dialer, acceptor)
    assert dialer.version == acceptor.version == 3


def test_an_observer_may_have_any_name_and_dials_the_voter():
    dialer, acceptor = _dialer("an observer"), _acceptor()
    _run(dialer, acceptor)
    assert acceptor.peer.name == "an observer"
    voter_dials = _dialer("n1", expects="an observer"), _acceptor("an observer")
    assert _reason(lambda: _run(*voter_dials)) is Refusal.DIRECTION


def test_the_dialer_refuses_another_node_than_it_dialled():
    dialer, impostor = _dialer("n3", expects="n1"), _acceptor("n2")
    hello = msgspec.structs.replace(_hello_of(dialer), expects="n2")
    answer = impostor.receive(msgspec.msgpack.encode(hello))
    assert _reason(lambda: dialer.receive(_body(answer))) is Refusal.EXPECTED


def _hello_of(handshake: Handshake) -> Hello:
    return msgspec.msgpack.decode(_body(handshake.begin()), type=Hello)


@pytest.mark.parametrize("channel", ["control", "gossip", ""])
def test_the_channel_must_be_the_one_that_was_asked_for(channel):
    dialer = _dialer(channel=Channel.DATA)
    dialer.begin()
    answer = msgspec.structs.replace(_hello_of(_dialer("n1", "n2")), channel=channel, expects="")
    assert _reason(lambda: dialer.receive(msgspec.msgpack.encode(answer))) is Refusal.CHANNEL


def test_an_unknown_channel_is_refused():
    hello = msgspec.structs.replace(_hello_of(_dialer()), channel="gossip")
    assert _reason(lambda: _acceptor().receive(msgspec.msgpack.encode(hello))) is Refusal.CHANNEL


# ---- attacks


def test_a_proof_that_is_reflected_proves_nothing():
    dialer = _dialer()
    dialer.begin()
    attackers_hello = _hello_of(_dialer("n1", "n2", secret=b"unknown to it"))
    own_proof = dialer.receive(msgspec.msgpack.encode(msgspec.structs.replace(attackers_hello, expects="")))
    assert _reason(lambda: dialer.receive(_body(own_proof))) is Refusal.PROOF


def test_a_reflected_hello_is_refused():
    dialer = _dialer()
    assert _reason(lambda: dialer.receive(_body(dialer.begin()))) is Refusal.OWN_NAME


def test_a_recorded_handshake_cannot_be_replayed():
    dialer, acceptor = _dialer(), _acceptor(nonce=1)
    hello = dialer.begin()
    proof = dialer.receive(_body(acceptor.receive(_body(hello))))
    assert acceptor.receive(_body(proof))
    later = _acceptor(nonce=3)
    later.receive(_body(hello))
    assert _reason(lambda: later.receive(_body(proof))) is Refusal.PROOF


def _tampered(frame: bytes, position: int, bits: int) -> bytes:
    body = bytearray(_body(frame))
    body[position % len(body)] ^= bits
    return bytes(body)


@given(st.integers(0, 400), st.integers(1, 255), st.booleans())
def test_hellos_changed_on_their_way_are_noticed(position, bits, forwards):
    dialer, acceptor = _dialer(), _acceptor()
    hello = dialer.begin()
    with pytest.raises(LinkRefused):
        answer = acceptor.receive(_tampered(hello, position, bits) if forwards else _body(hello))
        proof = dialer.receive(_body(answer) if forwards else _tampered(answer, position, bits))
        acceptor.receive(_body(proof))
    assert Stage.DONE not in (dialer.stage, acceptor.stage)


def test_a_fresh_field_of_a_later_version_is_passed_over():
    hello = msgspec.msgpack.decode(_body(_dialer().begin()))
    acceptor = _acceptor()
    assert acceptor.receive(msgspec.msgpack.encode([*hello, "a field of version 9"]))


@given(st.binary(max_size=300))
def test_garbage_is_refused_by_either_side(body):
    for handshake in (_dialer(), _acceptor()):
        handshake.begin()
        with pytest.raises(LinkRefused):
            handshake.receive(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"\x91" * 4096, b"GET / HTTP/1.1\r\n\r\n", msgspec.msgpack.encode(["wampha-hello", 1, 1, "demo"])],
    ids=["nothing", "deep", "http", "short"],
)
def test_hostile_first_frames_are_refused(body):
    assert _reason(lambda: _acceptor().receive(body)) is Refusal.GARBAGE


def test_frames_out_of_turn_are_refused():
    assert _reason(lambda: _acceptor().receive(msgspec.msgpack.encode(Proof(bytes(32))))) is Refusal.GARBAGE
    acceptor = _acceptor()
    hello = _body(_dialer().begin())
    acceptor.receive(hello)
    assert _reason(lambda: acceptor.receive(hello)) is Refusal.GARBAGE


def test_a_refusal_of_the_peer_ends_the_handshake_with_its_sentence():
    dialer = _dialer()
    dialer.begin()
    with pytest.raises(RefusedByPeer, match="clusters of different names"):
        dialer.receive(_body(refusal(Refusal.CLUSTER)))


@pytest.mark.parametrize("reason", Refusal)
def test_a_refusal_on_the_wire_says_only_what_anybody_may_know(reason):
    sentence = msgspec.msgpack.decode(_body(refusal(reason)), type=Refused).sentence
    assert sentence == reason.value
    for private in ("demo", "n1", SECRET.decode(), HASH.hex()):
        assert private not in sentence


def test_the_secret_is_in_no_hello_and_no_log():
    assert SECRET not in _dialer().begin()
    assert "members know" not in repr(_membership("n1"))


# ---- configuration hash


def test_the_hash_tells_cluster_voters_their_order_and_constants_apart():
    hashes = {
        configuration_hash("demo", VOTERS, {"F": 1.5, "P": 0.1}),
        configuration_hash("demo2", VOTERS, {"F": 1.5, "P": 0.1}),
        configuration_hash("demo", VOTERS[::-1], {"F": 1.5, "P": 0.1}),
        configuration_hash("demo", ("n1", "n2,n3"), {"F": 1.5, "P": 0.1}),
        configuration_hash("demo", VOTERS, {"F": 2.0, "P": 0.1}),
    }
    assert len(hashes) == 5
    assert configuration_hash("demo", VOTERS, {"P": 0.1, "F": 1.5}) in hashes


def test_who_refuses_another_configuration_says_in_its_log_how_the_two_differ():
    ours = {"terms": configuration_terms(VOTERS, 0.5)}
    theirs = {"configuration": bytes(32), "terms": configuration_terms((*VOTERS, "n4", "n5"), 1.0)}
    with pytest.raises(HandshakeRefused) as refused:
        _run(_dialer(**theirs), _acceptor(**ours))
    for told in ("election_timeout_s 1 and 5 voter(s): n1, n2, n3, n4, n5", "0.5 and 3 voter(s): n1, n2, n3", "'n2'"):
        assert told in str(refused.value)


def test_an_older_hello_says_nothing_of_its_terms():
    hello = msgspec.msgpack.decode(_body(_dialer(configuration=bytes(32)).begin()))
    with pytest.raises(HandshakeRefused, match="'n2' has not said what"):
        _acceptor().receive(msgspec.msgpack.encode(hello[:-1]))


def test_terms_are_bounded_and_fit_a_hello():
    terms = configuration_terms([f"node-{number}" for number in range(100)], 0.5)
    assert len(terms) == 255 and terms.startswith("election_timeout_s 0.5 and 100 voter(s): node-0, node-1")
    _run(_dialer(terms=terms), _acceptor())


def test_memberships_are_compared_by_who_dials():
    own = _membership("n1")
    assert own.dials("n2", "n1") and not own.dials("n1", "n2")
    assert own.dials("a", "n1") and not own.dials("n1", "a")
    assert own.dials("b", "a") and not own.dials("a", "b")
    assert dataclasses.replace(own, voters=frozenset()).dials("n1", "a")


def test_a_peer_is_one_of_the_nodes_that_its_certificate_names():
    dialer, acceptor = _dialer(), _acceptor()
    dialer.certify({"n1", "localhost"})
    acceptor.certify({"n2", "localhost"})
    _run(dialer, acceptor)
    assert dialer.stage is acceptor.stage is Stage.DONE


@pytest.mark.parametrize("names", [(), ("n3",), ("N2", "n2.", "n*", "*")])
def test_an_acceptor_refuses_who_says_it_is_a_node_that_its_certificate_does_not_name(names):
    dialer, acceptor = _dialer(), _acceptor()
    acceptor.certify(names)
    with pytest.raises(HandshakeRefused, match=r"certificate is that of another node .*not for 'n2'") as refused:
        acceptor.receive(_body(dialer.begin()))
    assert refused.value.reason is Refusal.CERTIFICATE


def test_a_dialer_says_nothing_to_a_node_with_the_certificate_of_another_one():
    with pytest.raises(HandshakeRefused, match=r"it is for n2, n3, and not for 'n1'"):
        _dialer().certify({"n3", "n2"})
