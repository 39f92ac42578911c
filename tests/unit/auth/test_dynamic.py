"""Principals that an authenticator knows: its answers, sensible or not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from autobahn.wamp.auth import compute_wcs

from tests.unit.auth.steps import chance, claim
from wampha.auth import dynamic
from wampha.auth.anonymous import Presented
from wampha.auth.cryptosign import Cryptosign
from wampha.auth.dynamic import Dynamic
from wampha.auth.grant import Grant
from wampha.auth.scram import Scram
from wampha.auth.steps import AUTHENTICATION_FAILED, Answer, Ask, Asked, Challenge, Steps
from wampha.auth.ticket import Ticket
from wampha.auth.wampcra import WampCra
from wampha.errors import SessionRefused


class Talk:
    """One authentication with an authenticator that the test plays."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.step: Any = next(steps)

    def send(self, value: Any) -> Any:
        self.step = self.steps.send(value)
        return self.step

    def end(self, value: Any) -> Grant:
        with pytest.raises(StopIteration) as end:
            self.steps.send(value)
        granted: Grant = end.value.value
        return msgspec.structs.replace(granted, standing=b"")

    def refused(self, value: Any) -> str:
        """The cause that the log gets; the client is told nothing of it."""
        with pytest.raises(SessionRefused) as caught:
            self.steps.send(value)
        assert caught.value.reason == AUTHENTICATION_FAILED
        assert "com.auth" not in str(caught.value)
        return caught.value.cause


def ticket() -> Talk:
    talk = Talk(Ticket(Dynamic("com.auth", None, dynamic.ticket_holder)).steps(claim(), chance()))
    assert isinstance(talk.step, Challenge)
    talk.send(Answer("geheim", {}))
    return talk


def test_the_authenticator_of_tickets_gets_the_ticket_and_decides() -> None:
    talk = ticket()
    details = {"authmethod": "ticket", "authextra": {}, "session": 7, "transport": {"peer": "here"}, "ticket": "geheim"}
    assert talk.step == Ask("realm1", "com.auth", ("realm1", "joe", details))
    assert talk.end(Asked("user")) == Grant("joe", "user", "ticket", "dynamic")


def test_an_answer_may_rename_the_client_and_say_more_than_is_known_here() -> None:
    answer = {"role": "admin", "authid": "root", "realm": "realm1", "extra": {"a": 1}}
    assert ticket().end(Asked(answer)) == Grant("root", "admin", "ticket", "dynamic")


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        (Asked(error="com.error.no"), "com.auth answered com.error.no"),
        (Asked(None), "makes no sense"),
        (Asked(7), "makes no sense"),
        (Asked({}), "makes no sense"),
        (Asked({"role": 7}), "makes no sense"),
        (Asked({"role": "user", "realm": "realm2"}), "another realm"),
    ],
)
def test_errors_and_nonsense_let_nobody_in(asked: Asked, cause: str) -> None:
    assert cause in ticket().refused(asked)


def test_an_anonymous_client_is_shown_to_the_authenticator_first() -> None:
    source = Dynamic("com.auth", "auth.realm", dynamic.ticket_holder)
    talk = Talk(Presented(source).steps(claim(None, peer_wants="this"), chance()))
    assert isinstance(talk.step, Ask)
    assert (talk.step.realm, talk.step.args[1]) == ("auth.realm", "")
    assert talk.step.args[2]["authextra"] == {"peer_wants": "this"}
    assert talk.end(Asked("guest")) == Grant("01" * 8, "guest", "anonymous", "dynamic")


def test_a_secret_of_the_authenticator_s_is_what_the_challenge_is_signed_by() -> None:
    talk = Talk(WampCra(Dynamic("com.auth", None, dynamic.secret_holder)).steps(claim(), chance()))
    step = talk.send(Asked({"role": "user", "secret": "abc", "salt": "s", "iterations": 10, "keylen": 16}))
    assert (step.extra["salt"], step.extra["iterations"], step.extra["keylen"]) == ("s", 10, 16)
    signature = compute_wcs(b"abc", step.extra["challenge"].encode()).decode()
    assert talk.end(Answer(signature, {})).authprovider == "dynamic"


METHODS = {
    "wampcra": (WampCra(Dynamic("com.auth", None, dynamic.secret_holder)), {}),
    "scram": (Scram(Dynamic("com.auth", None, dynamic.verifier), "scram"), {"nonce": "abc"}),
    "cryptosign": (Cryptosign(Dynamic("com.auth", None, dynamic.key_holder)), {"pubkey": "00" * 32}),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "said",
    [
        "user",
        {"role": "user"},
        {"role": "user", "secret": "", "pubkey": "zz", "stored-key": "zz", "server-key": "zz"},
        {"role": "user", "secret": 1, "authorized_keys": "x", "kdf": 1},
        {"role": "user", "secret": "", "kdf": "md5", "salt": "YQ==", "stored-key": "00" * 32, "server-key": "00" * 32},
    ],
)
def test_an_answer_without_what_the_method_needs_lets_nobody_in(method: str, said: Any) -> None:
    by, extra = METHODS[method]
    assert "makes no sense" in Talk(by.steps(claim(**extra), chance())).refused(Asked(said))


def test_a_verifier_of_the_authenticator_s_becomes_the_challenge() -> None:
    said = {"role": "user", "kdf": "argon2id-13", "salt": "YQ==", "iterations": 4, "memory": 512}
    talk = Talk(METHODS["scram"][0].steps(claim(nonce="abc"), chance()))
    step = talk.send(Asked({**said, "stored-key": "00" * 32, "server-key": "00" * 32}))
    assert (step.extra["kdf"], step.extra["memory"], step.extra["salt"]) == ("argon2id-13", 512, "YQ==")


def test_a_key_of_the_authenticator_s_is_the_one_that_must_have_signed() -> None:
    talk = Talk(METHODS["cryptosign"][0].steps(claim(pubkey="00" * 32), chance()))
    assert talk.send(Asked({"role": "user", "pubkey": "00" * 32})).method == "cryptosign"
