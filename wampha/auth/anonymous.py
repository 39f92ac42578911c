"""Method `anonymous` (advanced profile, "Authentication Methods"): nobody proves anything."""

from __future__ import annotations

from typing import Any, Final

from wampha.auth.grant import Grant
from wampha.auth.principals import STATIC, Source
from wampha.auth.steps import Chance, Claim, Steps

METHOD: Final = "anonymous"


class Anonymous:
    """Lets everybody in under one role."""

    def __init__(self, role: str) -> None:
        self._role: Final = role

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Grant at once; the authid is drawn, never the client's claim."""
        return Grant(chance.bytes(8).hex(), self._role, METHOD, STATIC)
        yield  # a generator, like all methods


class Presented:
    """Lets in whom an authenticator wants to be let in, without a proof that the router understands."""

    def __init__(self, source: Source[Any]) -> None:
        self._source: Final = source

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Ask about the client; without another name it gets a drawn one."""
        found = yield from self._source.find(claim, METHOD)
        authid = chance.bytes(8).hex() if found.authid in (None, claim.authid) else found.authid
        return Grant(authid, found.principal.role, METHOD, self._source.provider)
