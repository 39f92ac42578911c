"""The client's side of each method, held against the router's."""

from __future__ import annotations

import base64
import hashlib
import hmac
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from wampha.auth.scram import Scram, Verifier
from wampha.auth.steps import Answer, Chance, Claim
from wampha.cli.proofs import Proof, ProofError
from wampha.cli.target import Credentials

KEY = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
SALT = base64.b64encode(b"0123456789abcdef").decode()


def test_who_is_anonymous_offers_nothing_but_a_name() -> None:
    assert Proof(Credentials("anonymous")).offer() == {}
    assert Proof(Credentials("anonymous", "joe")).offer() == {"authid": "joe"}


def test_a_ticket_is_said() -> None:
    assert Proof(Credentials("ticket", "joe", ticket="t")).answer("ticket", {}) == ("t", {})


def test_a_challenge_is_signed_by_the_secret_or_what_is_derived_from_it() -> None:
    proof = Proof(Credentials("wampcra", "joe", secret="password"))
    plain, _ = proof.answer("wampcra", {"challenge": "c"})
    assert plain == base64.b64encode(hmac.digest(b"password", b"c", "sha256")).decode()
    salted, _ = proof.answer("wampcra", {"challenge": "c", "salt": "s", "iterations": 10, "keylen": 16})
    key = base64.b64encode(hashlib.pbkdf2_hmac("sha256", b"password", b"s", 10, 16))
    assert salted == base64.b64encode(hmac.digest(key, b"c", "sha256")).decode()


def test_a_challenge_is_signed_by_the_key() -> None:
    proof = Proof(Credentials("cryptosign", key=b"1" * 32))
    assert proof.offer()["authextra"]["pubkey"] == KEY.public_key().public_bytes_raw().hex()
    signed, _ = proof.answer("cryptosign", {"challenge": "ab" * 32})
    KEY.public_key().verify(bytes.fromhex(signed[:128]), b"\xab" * 32)
    assert signed[128:] == "ab" * 32


class Known:
    """Knows one user."""

    provider = "static"

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def find(self, claim: Claim, method: str, **more: Any) -> Any:
        yield from ()
        return SimpleNamespace(known=True, authid=claim.authid, principal=self._verifier)


@pytest.mark.parametrize("kdf", ["pbkdf2", "argon2id-13"])
@pytest.mark.parametrize("name", ["joe", "jo=e,"])
def test_both_sides_of_scram_prove_that_they_know_the_password(kdf: str, name: str) -> None:
    salt = base64.b64decode(SALT)
    if kdf == "pbkdf2":
        salted = hashlib.pbkdf2_hmac("sha256", b"pencil", salt, 4)
    else:
        salted = Argon2id(salt=salt, length=32, iterations=4, lanes=1, memory_cost=64).derive(b"pencil")
    client, server = hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")
    memory = None if kdf == "pbkdf2" else 64
    verifier = Verifier("role", kdf, SALT, 4, hashlib.sha256(client).digest(), server, memory=memory)
    proof = Proof(Credentials("wamp-scram", name, secret="pencil"))
    claim = Claim(realm="realm1", authid=name, extra=proof.offer()["authextra"], session=1, peer="somewhere")
    steps = Scram(Known(verifier), "wamp-scram").steps(claim, Chance(lambda length: b"n" * length, str))
    challenge = next(steps)
    signature, extra = proof.answer("wamp-scram", challenge.extra)
    with pytest.raises(StopIteration) as ended:
        steps.send(Answer(signature, extra))
    proof.check(ended.value.value.authextra)
    with pytest.raises(ProofError, match="somebody else"):
        proof.check({"scram_server_signature": "AAAA"})
    with pytest.raises(ProofError, match="somebody else"):
        proof.check(None)


@pytest.mark.parametrize(
    ("credentials", "method", "extra"),
    [
        (Credentials("ticket", "joe", ticket="t"), "wampcra", {"challenge": "c"}),
        (Credentials("wampcra", "joe", secret="s"), "wampcra", {}),
        (Credentials("wampcra", "joe", secret="s"), "wampcra", {"challenge": "c", "salt": "s", "iterations": 10**12}),
        (Credentials("cryptosign", key=b"1" * 32), "cryptosign", {"challenge": "ab"}),
        (Credentials("cryptosign", key=b"1" * 32), "cryptosign", {"challenge": 5}),
        (Credentials("wamp-scram", "joe", secret="s"), "wamp-scram", {"nonce": "another"}),
    ],
)
def test_a_challenge_that_makes_no_sense_or_costs_too_much_is_not_answered(
    credentials: Credentials, method: str, extra: dict[str, Any]
) -> None:
    with pytest.raises(ProofError):
        Proof(credentials).answer(method, extra)


def test_a_huge_cost_in_memory_is_refused() -> None:
    proof = Proof(Credentials("wamp-scram", "joe", secret="s"), nonce="n")
    extra = {"nonce": "nn", "salt": SALT, "iterations": 1, "kdf": "argon2id-13", "memory": 2**40}
    with pytest.raises(ProofError, match="is not from 1"):
        proof.answer("wamp-scram", extra)
