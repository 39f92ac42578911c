"""Method `wamp-scram`: the specification's example (that of RFC 7677), and Autobahn|Python's own form."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.auth.steps import Talk, all_equal, chance, claim
from wampha.auth.principals import Principals
from wampha.auth.scram import NONCE_LENGTH_MAX, PBKDF2, Scram, Verifier, stranger
from wampha.auth.steps import Challenge
from wampha.errors import SessionRefused

SALT = base64.b64encode(b"0123456789abcdef").decode()


def keys(password: str, salt: str = SALT, iterations: int = 4096) -> tuple[bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def verifier(password: str, role: str = "user") -> Verifier:
    client, server = keys(password)
    return Verifier(role, PBKDF2, SALT, 4096, hashlib.sha256(client).digest(), server)


VERIFIERS = Principals({"joe": verifier("pencil"), "a,b=c": verifier("pen")}, b"k" * 32, stranger)


class Client:
    """A client by the specification; `bare`: as Autobahn|Python does it."""

    def __init__(self, authid: str = "joe", password: str = "pencil", bare: bool = False, **extra: Any) -> None:
        self.authid, self.password, self.bare = authid, password, bare
        self.nonce = "abcdEFGH"
        steps = Scram(VERIFIERS, "wamp-scram").steps(claim(authid, **{"nonce": self.nonce, **extra}), chance())
        self.talk = Talk(steps)
        self.message = ""

    def sign(self, challenge: Challenge) -> str:
        extra = challenge.extra
        name = self.authid if self.bare else self.authid.replace("=", "=3D").replace(",", "=2C")
        binding = "" if self.bare else "biws"
        self.message = (
            f"n={name},r={self.nonce},r={extra['nonce']},s={extra['salt']},i={extra['iterations']},"
            f"c={binding},r={extra['nonce']}"
        )
        key, self.server_key = keys(self.password, extra["salt"], extra["iterations"])
        signature = hmac.digest(hashlib.sha256(key).digest(), self.message.encode(), "sha256")
        return base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(("authid", "password"), [("joe", "pencil"), ("a,b=c", "pen")])
def test_who_knows_the_password_is_let_in_and_sees_that_the_router_knows_it(
    authid: str, password: str, bare: bool
) -> None:
    client = Client(authid, password, bare)
    challenge = client.talk.challenge()
    assert challenge.method == "wamp-scram"
    assert challenge.extra["nonce"].startswith(client.nonce)
    assert "memory" not in challenge.extra
    grant = client.talk.grant(client.sign(challenge), nonce=challenge.extra["nonce"])
    proof = base64.b64encode(hmac.digest(client.server_key, client.message.encode(), "sha256")).decode()
    assert grant.authextra == {"verifier": proof, "scram_server_signature": proof}


def test_a_proof_for_another_nonce_is_refused() -> None:
    former = Client()
    proof = former.sign(former.talk.challenge())
    later = Client()
    later.talk = Talk(Scram(VERIFIERS, "scram").steps(claim(nonce=later.nonce), chance(9)))
    later.talk.challenge()
    later.talk.refused(proof)


def test_an_answer_that_names_another_nonce_is_refused() -> None:
    client = Client()
    client.talk.refused(client.sign(client.talk.challenge()), nonce="other")


@pytest.mark.parametrize("signature", ["", "x", "é", base64.b64encode(b"short").decode(), "A" * 44])
def test_nonsense_wrong_passwords_and_strangers_get_the_same_answer(signature: str) -> None:
    clients = [Client(), Client("nobody")]
    for client in clients:
        client.talk.challenge()
    wrong = Client(password="pen")
    answers = [wrong.talk.refused(wrong.sign(wrong.talk.challenge()))]
    assert all_equal([*answers, *(client.talk.refused(signature) for client in clients)])


def test_a_stranger_is_shown_the_same_salt_each_time() -> None:
    salts = [Client("nobody").talk.challenge().extra["salt"] for _ in range(2)]
    assert salts[0] == salts[1] != SALT


@pytest.mark.parametrize("nonce", [None, "", 1, "x" * (NONCE_LENGTH_MAX + 1)])
def test_a_client_without_a_usable_nonce_is_refused(nonce: Any) -> None:
    with pytest.raises(SessionRefused):
        Client(nonce=nonce).talk.challenge()


def test_who_insists_on_channel_binding_is_told_that_there_is_none() -> None:
    with pytest.raises(SessionRefused, match="binding"):
        Client(channel_binding="tls-unique").talk.challenge()


@given(st.binary(min_size=32, max_size=32))
def test_no_guess_is_a_proof(proof: bytes) -> None:
    client = Client()
    client.talk.challenge()
    client.talk.refused(base64.b64encode(proof).decode())
