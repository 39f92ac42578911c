"""Method `cryptosign`: advanced profile, "Cryptosign-based Authentication", with its test vectors."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.auth.steps import Talk, all_equal, chance, claim
from wampha.auth.cryptosign import Cryptosign, KeyHolder, KeyHolders
from wampha.auth.steps import Claim
from wampha.errors import SessionRefused

KEY = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"2" * 32)
CHANNEL = "62e935ae755f3d48f80d4d59f6121358c435722a67e859cc0caa8b539027f2ff"
VECTORS = [  # private key, challenge, channel, signature: those of the specification
    (
        "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        None,
        "b32675b221f08593213737bef8240e7c15228b07028e19595294678c90d11c0cae80a357331bfc5cc9fb71081464e6e7"
        "5013517c2cf067ad566a6b7b728e5d03ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ),
    (
        "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
        "b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
        None,
        "d4209ad10d5aff6bfbc009d7e924795de138a63515efc7afc6b01b7fe5201372190374886a70207b042294af5bd64ce7"
        "25cd8dceb344e6d11c09d1aaaf4d660fb26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
    ),
    (
        "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        CHANNEL,
        "9b6f41540c9b95b4b7b281c3042fa9c54cef43c842d62ea3fd6030fcb66e70b3e80d49d44c29d1635da9348d02ec93f3"
        "ed1ef227dfb59a07b580095c2b82f80f9d16ca518aa0c2b707f2b2a609edeca73bca8dd59817a633f35574ac6fd80d00",
    ),
    (
        "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd",
        "b26c1f87c13fc1da14997f1b5a71995dff8fbe0a62fae8473c7bdbd05bfb607d",
        CHANNEL,
        "305aaa3ac25e98f651427688b3fc43fe7d8a68a7ec1d7d61c61517c519bd4a427c3015599d83ca28b4c6523339202238"
        "44ef0725eb5dc2febfd6af7677b73f01d0852a29b460fc92ec943242ac638a053bbacc200512b18b30d15083cbdc9282",
    ),
]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def method(*keys: Ed25519PrivateKey) -> Cryptosign:
    known = tuple(map(public, keys))
    return Cryptosign(KeyHolders({"joe": KeyHolder("user", known)}, b"k" * 32))


def talk(authid: str | None = "joe", key: Ed25519PrivateKey = KEY, start: int = 1) -> Talk:
    return Talk(method(KEY).steps(claim(authid, pubkey=public(key).hex()), chance(start)))


def sign(key: Ed25519PrivateKey, challenge: str) -> str:
    return key.sign(bytes.fromhex(challenge)).hex() + challenge


@pytest.mark.parametrize("authid", ["joe", None])
def test_who_signs_by_a_known_key_is_let_in_with_or_without_a_name(authid: str | None) -> None:
    talking = talk(authid)
    extra = talking.challenge().extra
    assert extra["channel_binding"] is None
    grant = talking.grant(sign(KEY, extra["challenge"]))
    assert (grant.authid, grant.authrole, grant.authmethod) == ("joe", "user", "cryptosign")


@pytest.mark.parametrize(("private", "challenge", "channel", "signature"), VECTORS)
def test_the_specification_s_signatures_are_accepted(
    private: str, challenge: str, channel: str | None, signature: str
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private))
    fixed = chance()
    fixed = type(fixed)(lambda length: bytes.fromhex(challenge), fixed.utc)
    talking = Talk(method(key).steps(bound(key, channel) if channel else claim(pubkey=public(key).hex()), fixed))
    talking.challenge()
    assert talking.grant(signature).authid == "joe"


def bound(key: Ed25519PrivateKey, channel: str, binding: str = "tls-unique") -> Claim:
    """The claim of a client that wants its proof bound to this channel."""
    made = claim(pubkey=public(key).hex(), channel_binding=binding)
    return msgspec.structs.replace(made, channel_id={binding: bytes.fromhex(channel)}.__getitem__)


@pytest.mark.parametrize("binding", ["tls-unique", "tls-exporter"])
def test_a_proof_that_is_bound_to_one_channel_is_worth_nothing_on_another_one(binding: str) -> None:
    """As a man in the middle would pass it on: he has another channel to the router than the client has to him."""
    for channel, right in ((CHANNEL, True), ("00" * 32, False), ("ff" * 32, False)):
        talking = Talk(method(KEY).steps(bound(KEY, channel, binding), chance()))
        extra = talking.challenge().extra
        assert extra["channel_binding"] == binding
        mixed = bytes(a ^ b for a, b in zip(bytes.fromhex(extra["challenge"]), bytes.fromhex(CHANNEL), strict=True))
        if right:
            assert talking.grant(sign(KEY, mixed.hex())).authid == "joe"
        else:
            talking.refused(sign(KEY, mixed.hex()))


def test_who_wants_a_channel_binding_where_there_is_none_is_refused_and_told_so() -> None:
    for pubkey in (KEY, OTHER):
        with pytest.raises(SessionRefused, match="channel binding is not available here: there is no TLS"):
            next(method(KEY).steps(claim(pubkey=public(pubkey).hex(), channel_binding="tls-unique"), chance()))


def test_a_signature_of_another_challenge_is_refused() -> None:
    former = talk().challenge().extra["challenge"]
    talking = talk(start=5)
    talking.challenge()
    talking.refused(sign(KEY, former))


def test_wrong_keys_strangers_and_nonsense_get_the_same_answer() -> None:
    answers = []
    for authid, key, by in (("joe", KEY, OTHER), ("joe", OTHER, OTHER), ("nobody", KEY, KEY), (None, OTHER, OTHER)):
        talking = talk(authid, key)
        answers.append(talking.refused(sign(by, talking.challenge().extra["challenge"])))
    for signature in ("", "zz" * 96, "00" * 96, "00" * 95):
        talking = talk()
        talking.challenge()
        answers.append(talking.refused(signature))
    assert all_equal(answers)


@pytest.mark.parametrize("pubkey", [None, 1, "", "00" * 31, "zz" * 32, "00" * 33])
def test_a_client_without_a_key_is_refused(pubkey: Any) -> None:
    with pytest.raises(SessionRefused):
        Talk(method(KEY).steps(claim(pubkey=pubkey), chance())).challenge()


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    talking = Talk(method(KEY).steps(claim(pubkey="ff" * 32), chance()))
    talking.refused("00" * 64 + talking.challenge().extra["challenge"])
