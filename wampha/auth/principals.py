"""Who may prove to be whom: the principals of one method, here those of the configuration.

Whoever asks for an unknown authid gets the same challenge as for a known one, always the same one for the same
authid, and then the same refusal: so nobody learns who exists.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from wampha.auth.steps import Claim, Step, failed

STATIC: Final = "static"


class Principal(Protocol):
    """What every principal has, whatever proves it."""

    @property
    def role(self) -> str:
        """The role of its sessions."""

    @property
    def realm(self) -> str | None:
        """The only realm that it may join, or None for every one that has the role."""


P = TypeVar("P", bound=Principal)
Stranger = Callable[[str, "Principals[P]"], P]  # of an authid, and the others for their shape and noise


class Found(NamedTuple, Generic[P]):
    """What is known of who claims to be `authid`."""

    authid: str | None
    principal: P  # of a stranger: what decides how the challenge looks
    known: bool


class Source(Protocol[P]):
    """Where a method finds its principals."""

    @property
    def provider(self) -> str:
        """WELCOME.Details.authprovider of those found here."""

    def find(self, claim: Claim, method: str, **more: Any) -> Generator[Step, Any, Found[P]]:
        """Steps that end with what is known of the claim; `more` is what the client has said since HELLO."""


class Principals(Generic[P]):
    """The principals of one method by authid."""

    provider: Final = STATIC

    def __init__(self, by_authid: Mapping[str, P], key: bytes, stranger: Stranger[P]) -> None:
        """`key`: random, as long as the process lives; what strangers are shown comes from it.

        `stranger` makes what stands for an unknown authid.
        """
        self._stranger: Final = stranger
        self._by_authid: Final = dict(by_authid)
        self._shapes: Final = tuple(by_authid.values())
        self._key: Final = key

    def find(self, claim: Claim, method: str, **more: Any) -> Generator[Step, Any, Found[P]]:
        """What is known, without asking anybody; raises SessionRefused without an authid."""
        if not claim.authid:
            raise failed()
        known = self.known(claim.authid, claim.realm)
        return Found(claim.authid, known or self._stranger(claim.authid, self), known is not None)
        yield  # a generator, like all sources

    def known(self, authid: str, realm: str) -> P | None:
        """The principal of this authid, if it may join the realm."""
        principal = self._by_authid.get(authid)
        if principal is None or principal.realm not in (None, realm):
            return None
        return principal

    def like(self, authid: str) -> P | None:
        """Some principal whose kind of challenge a stranger of that authid is shown; None if there are none."""
        if not self._shapes:
            return None
        return self._shapes[int.from_bytes(self.noise(authid, 8), "big") % len(self._shapes)]

    def noise(self, authid: str, length: int) -> bytes:
        """At most 32 bytes in place of a stranger's salt or key: always the same, never to be foreseen."""
        return hmac.digest(self._key, authid.encode(errors="replace"), hashlib.sha256)[:length]
