"""Method `wampcra`: advanced profile, "Challenge Response Authentication"; signed as Autobahn's clients do."""

from __future__ import annotations

import json

import pytest
from autobahn.wamp.auth import compute_wcs, derive_key

from tests.unit.auth.steps import Talk, all_equal, chance, claim
from wampha.auth.principals import Principals
from wampha.auth.wampcra import Salt, SecretHolder, WampCra, stranger
from wampha.errors import SessionRefused

DERIVED = derive_key("password", "salt123", 100, 32).decode()
HOLDERS = Principals(
    {"joe": SecretHolder("user", "secret2"), "peter": SecretHolder("user", DERIVED, salted=Salt("salt123", 100, 32))},
    b"k" * 32,
    stranger,
)


def sign(secret: str, challenge: str) -> str:
    return compute_wcs(secret.encode(), challenge.encode()).decode()


def talk(authid: str | None, start: int = 1) -> Talk:
    return Talk(WampCra(HOLDERS).steps(claim(authid), chance(start)))


def test_the_challenge_says_who_joins_what() -> None:
    said = json.loads(talk("joe").challenge().extra["challenge"])
    assert said.pop("nonce") == "01" * 32
    assert said == {
        "authid": "joe",
        "authrole": "user",
        "authmethod": "wampcra",
        "authprovider": "static",
        "timestamp": "2026-11-25T00:00:00.000+00:00",
        "session": 7,
    }


def test_who_signs_by_the_secret_is_let_in() -> None:
    talking = talk("joe")
    grant = talking.grant(sign("secret2", talking.challenge().extra["challenge"]))
    assert (grant.authid, grant.authrole, grant.authmethod) == ("joe", "user", "wampcra")


def test_a_salted_password_is_derived_by_the_client() -> None:
    talking = talk("peter")
    extra = talking.challenge().extra
    key = derive_key("password", extra["salt"], extra["iterations"], extra["keylen"]).decode()
    assert talking.grant(sign(key, extra["challenge"])).authid == "peter"


def test_a_signature_of_another_challenge_is_refused() -> None:
    former = talk("joe").challenge().extra["challenge"]
    talking = talk("joe", 2)
    assert talking.challenge().extra["challenge"] != former
    talking.refused(sign("secret2", former))


@pytest.mark.parametrize("signature", ["", "x", "\ud800"])
def test_nonsense_and_strangers_get_the_same_answer(signature: str) -> None:
    talks = [talk("joe"), talk("nobody")]
    for talking in talks:
        talking.challenge()
    assert all_equal(talking.refused(signature) for talking in talks)


def test_a_stranger_is_shown_the_same_salt_each_time_and_others_another_one() -> None:
    strangers = [f"stranger{number}" for number in range(20)]
    first, again = ([talk(authid).challenge().extra.get("salt") for authid in strangers] for _ in range(2))
    salts = [salt for salt in first if salt]
    assert first == again
    assert 0 < len(salts) < 20
    assert len(set(salts)) == len(salts)


def test_a_stranger_s_secret_cannot_be_guessed_from_what_is_known() -> None:
    talking = talk("nobody")
    talking.refused(sign("", talking.challenge().extra["challenge"]))


def test_who_gives_no_authid_is_refused() -> None:
    with pytest.raises(SessionRefused):
        talk(None).challenge()
