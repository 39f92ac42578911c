"""Method `ticket`: advanced profile, "Ticket-based Authentication"."""

from __future__ import annotations

import pytest

from tests.unit.auth.steps import Talk, all_equal, chance, claim
from wampha.auth.principals import Principals
from wampha.auth.ticket import TICKET_BYTES_MAX, Ticket, TicketHolder, hashed, stranger, verify
from wampha.errors import SessionRefused

HASH = hashed("geheim", b"s" * 16)
HOLDERS = Principals(
    {
        "joe": TicketHolder("user", ticket="secret!!!"),
        "eva": TicketHolder("admin", hashed=HASH),
        "tom": TicketHolder("user", realm="realm2", ticket="tom's"),
    },
    b"k" * 32,
    stranger,
)


def talk(authid: str | None = "joe", realm: str = "realm1") -> Talk:
    talk = Talk(Ticket(HOLDERS).steps(claim(authid, realm), chance()))
    if authid:
        assert talk.challenge().extra == {}
    return talk


def test_the_right_ticket_is_let_in_under_its_role() -> None:
    grant = talk().grant("secret!!!")
    assert (grant.authid, grant.authrole, grant.authmethod, grant.authprovider) == ("joe", "user", "ticket", "static")


def test_a_hashed_ticket_is_compared_outside_the_reactor() -> None:
    talking = talk("eva")
    assert talking.grant("geheim").authrole == "admin"
    assert talking.worked == 1


@pytest.mark.parametrize("said", ["", "secret", "secret!!!!", "geheim", "\ud800", "x" * (TICKET_BYTES_MAX + 1)])
def test_wrong_tickets_and_unknown_names_get_the_same_answer(said: str) -> None:
    assert all_equal(talk(authid).refused(said) for authid in ("joe", "nobody", "tom"))


def test_who_gives_no_authid_is_refused() -> None:
    with pytest.raises(SessionRefused):
        talk(None).challenge()


def test_a_principal_of_one_realm_cannot_join_another() -> None:
    talk("tom").refused("tom's")
    assert talk("tom", "realm2").grant("tom's").authid == "tom"


def test_an_unknown_name_costs_what_some_known_one_does() -> None:
    worked = {authid: talk(authid) for authid in (f"stranger{number}" for number in range(20))}
    for talking in worked.values():
        talking.refused("x")
    assert {talking.worked for talking in worked.values()} == {0, 1}


def test_a_hash_that_cannot_be_read_lets_nobody_in() -> None:
    assert verify(b"geheim", HASH)
    assert not verify(b"geheim", "$argon2id$nonsense")
    assert not verify(b"other", HASH)
