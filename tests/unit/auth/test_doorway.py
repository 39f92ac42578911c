"""Which method lets a client in: the first of its own list that the listener accepts."""

from __future__ import annotations

import pytest

from tests.unit.auth.steps import chance, claim
from wampha.auth.anonymous import Anonymous
from wampha.auth.configured import doorway
from wampha.auth.doorway import Doorway
from wampha.auth.principals import Principals
from wampha.auth.ticket import Ticket, stranger
from wampha.config.authentication import Auth
from wampha.errors import SessionRefused

ANONYMOUS, TICKET = Anonymous("guest"), Ticket(Principals({}, b"", stranger))
DOORWAY = Doorway({"anonymous": ANONYMOUS, "ticket": TICKET})


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, ANONYMOUS),
        ([], ANONYMOUS),
        (["anonymous"], ANONYMOUS),
        (["ticket", "anonymous"], TICKET),
        (["cookie", "anonymous", "ticket"], ANONYMOUS),
    ],
)
def test_the_client_s_order_decides(offered: list[str] | None, chosen: object) -> None:
    assert DOORWAY.choose(offered) is chosen


@pytest.mark.parametrize("offered", [["wampcra"], ["tls", "cookie"]])
def test_who_offers_nothing_that_is_accepted_is_told_what_is(offered: list[str]) -> None:
    with pytest.raises(SessionRefused, match="accepted: anonymous, ticket"):
        DOORWAY.choose(offered)


def test_an_anonymous_client_gets_a_name_of_its_own_and_the_role() -> None:
    steps = ANONYMOUS.steps(claim("admin"), chance())
    with pytest.raises(StopIteration) as end:
        next(steps)
    grant = end.value.value
    assert (grant.authid, grant.authrole, grant.authmethod) == ("01" * 8, "guest", "anonymous")


def test_each_section_of_the_configuration_is_a_method() -> None:
    key = "ab" * 32
    auth = Auth.model_validate(
        {
            "anonymous": {"role": "guest"},
            "ticket": {"principals": {"joe": {"role": "user", "ticket": "x"}}},
            "wampcra": {"users": {"joe": {"role": "user", "secret": "x"}}},
            "scram": {
                "principals": {
                    "joe": {
                        "role": "user",
                        "kdf": "pbkdf2",
                        "salt": "YWJj",
                        "iterations": 4096,
                        "stored-key": key,
                        "server-key": key,
                    }
                }
            },
            "cryptosign": {"principals": {"joe": {"role": "user", "authorized_keys": (key,)}}},
        },
        strict=True,
    )
    door = doorway(auth, b"k" * 32)
    for name in ("anonymous", "ticket", "wampcra", "scram", "wamp-scram", "cryptosign"):
        assert door.choose([name])
