"""Method `cookie`: who has proved something by another method is known again, as long as the principal is the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.auth.steps import chance, claim
from wampha.auth.anonymous import Anonymous
from wampha.auth.cookie import METHOD, Cookie, proof, standing
from wampha.auth.doorway import Doorway
from wampha.auth.dynamic import Dynamic, ticket_holder
from wampha.auth.grant import Grant
from wampha.auth.principals import Principals
from wampha.auth.steps import Ask, Asked, BrowserCookie, Claim, Steps
from wampha.auth.ticket import Ticket, TicketHolder, stranger
from wampha.errors import SessionRefused
from wampha.state.commands import Identity

COOKIE = BrowserCookie("c" * 24, 60.0)
JOE = TicketHolder("user", ticket="secret")


def ticket(**holders: TicketHolder) -> Ticket:
    return Ticket(Principals(holders, b"k" * 32, stranger))


def again(name: str = "joe", as_was: TicketHolder = JOE, method: str = "ticket", **more: Any) -> Claim:
    """The claim of a browser that was let in before, when the principal was `as_was`."""
    identity = Identity("realm1", name, method, proof(COOKIE.value, standing(as_was)))
    return msgspec.structs.replace(claim(None), cookie=COOKIE, identity=identity, **more)


def granted(steps: Steps) -> Grant:
    with pytest.raises(StopIteration) as end:
        next(steps)
    grant: Grant = end.value.value
    return grant


def test_a_browser_is_known_again_without_a_challenge() -> None:
    by = Cookie({"ticket": ticket(joe=JOE).source})
    grant = granted(by.steps(again(), chance()))
    assert (grant.authid, grant.authrole, grant.authmethod, grant.authprovider) == ("joe", "user", "cookie", "static")
    assert granted(by.steps(msgspec.structs.replace(again(), authid="joe"), chance())).authid == "joe"


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"joe": TicketHolder("admin", ticket="secret")},
        {"joe": TicketHolder("user", ticket="changed")},
        {"joe": TicketHolder("user", ticket="secret", realm="realm2")},
        {"eva": JOE},
    ],
    ids=["gone", "another-role", "another-secret", "another-realm", "renamed"],
)
def test_a_principal_that_has_gone_or_changed_is_not_known_again(now: dict[str, TicketHolder]) -> None:
    with pytest.raises(SessionRefused):
        next(Cookie({"ticket": ticket(**now).source}).steps(again(), chance()))


def test_what_was_proved_with_another_cookie_or_by_a_method_that_has_gone_is_worth_nothing() -> None:
    by = Cookie({"ticket": ticket(joe=JOE).source})
    other = msgspec.structs.replace(again(), cookie=BrowserCookie("d" * 24, 60.0))
    for each in (other, again(method="wampcra"), msgspec.structs.replace(again(), authid="eva"), claim("joe")):
        with pytest.raises(SessionRefused):
            next(by.steps(each, chance()))


def test_an_authenticator_is_asked_again_and_may_say_no() -> None:
    """It gets no ticket, and sees that a cookie stands for it."""
    by = Cookie({"ticket": Dynamic("com.auth", None, ticket_holder)})
    steps = by.steps(again(as_was=TicketHolder("user")), chance())
    ask = next(steps)
    assert isinstance(ask, Ask)
    _, name, details = ask.args
    assert (name, details["authmethod"], details["cookie"]) == ("joe", "ticket", True)
    assert "ticket" not in details
    with pytest.raises(StopIteration) as end:
        steps.send(Asked({"role": "user", "authid": "joe2"}))
    assert (end.value.value.authid, end.value.value.authprovider) == ("joe2", "dynamic")
    for answer in (Asked("admin"), Asked(error="com.error.unknown"), Asked(7)):
        steps = by.steps(again(as_was=TicketHolder("user")), chance())
        next(steps)
        with pytest.raises(SessionRefused):
            steps.send(answer)


def test_the_method_is_passed_over_while_the_cookie_is_not_known_and_followed_by_the_next_one() -> None:
    methods = {METHOD: Cookie({"ticket": ticket().source}), "anonymous": Anonymous("guest"), "ticket": ticket()}
    doorway = Doorway(methods)
    assert doorway.choose(["cookie", "ticket"]) is methods["ticket"]
    assert doorway.choose(["cookie"], recognised=True) is methods[METHOD]
    assert doorway.choose(["ticket", "cookie"], recognised=True) is methods["ticket"]
    with pytest.raises(SessionRefused, match="accepted: cookie, anonymous, ticket"):
        doorway.choose(["cookie"])
    fallen = granted(doorway.choose(["cookie", "unknown", "anonymous"], recognised=True).steps(again(), chance()))
    assert fallen.authmethod == "anonymous"
