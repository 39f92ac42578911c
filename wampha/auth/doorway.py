"""The methods by which one listener lets clients in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from wampha.auth import cookie
from wampha.auth.cookie import CookieFirst
from wampha.auth.steps import Chance, Claim, Steps, offered
from wampha.errors import SessionRefused


class Method(Protocol):
    """One way to prove who one is."""

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """The steps for one client, which begin when the generator is first resumed."""


class Doorway:
    """What a listener accepts; the client's order decides which method is used."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = dict(methods)

    def become(self, other: Doorway) -> None:
        """Whoever says HELLO from now on is let in as by the other one."""
        self._methods = other._methods

    def choose(self, authmethods: Sequence[str] | None, recognised: bool = False) -> Method:
        """The first method of HELLO that is accepted here; raises SessionRefused if there is none.

        `recognised`: the client's cookie is known. Else the method `cookie` is passed over.
        """
        names = [
            name for name in offered(authmethods) if name in self._methods and (recognised or name != cookie.METHOD)
        ]
        if names:
            method = self._methods[names[0]]
            return CookieFirst(method, self._methods[names[1]]) if names[0] == cookie.METHOD and names[1:] else method
        accepted = ", ".join(self._methods) or "none"
        raise SessionRefused(
            "wamp.error.no_matching_auth_method",
            f"None of the authentication methods offered is accepted here (accepted: {accepted}).",
        )
