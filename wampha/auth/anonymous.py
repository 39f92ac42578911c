"""Method `anonymous` (advanced profile, "Authentication Methods"): nobody proves anything."""

from __future__ import annotations

from typing import Final

from wampha.auth.grant import Grant
from wampha.auth.principals import STATIC
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
