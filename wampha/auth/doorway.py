"""The methods by which one listener lets clients in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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

    def choose(self, authmethods: Sequence[str] | None) -> Method:
        """The first method of HELLO that is accepted here; raises SessionRefused if there is none."""
        for name in offered(authmethods):
            method = self._methods.get(name)
            if method is not None:
                return method
        accepted = ", ".join(self._methods) or "none"
        raise SessionRefused(
            "wamp.error.no_matching_auth_method",
            f"None of the authentication methods offered is accepted here (accepted: {accepted}).",
        )
