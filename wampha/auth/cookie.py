"""Method `cookie`: a browser is known again by the cookie with which somebody has proved who they are before.

Whoever comes by it is asked for nothing, but must still be somebody: the principal is looked up as at the first time,
and must be as it was then (role, secret, keys). An authenticator is asked again, with `cookie: true` in its details.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from wampha.auth.grant import Grant
from wampha.auth.principals import Principal, Source
from wampha.auth.steps import Chance, Claim, Steps, failed
from wampha.errors import SessionRefused

METHOD: Final = "cookie"
LOGOUT: Final = "wamp.close.logout"  # reason of a GOODBYE, or of a kill, that ends what the cookie stands for
_DIGEST_BYTES: Final = 16


class Cookie:
    """Lets in who has proved by another method of the same listener who they are, and brings that time's cookie."""

    def __init__(self, sources: Mapping[str, Source[Any]]) -> None:
        """`sources`: of the methods whose principals may come again by a cookie."""
        self._sources: Final = sources

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Look the principal up, and compare it with the one of that time."""
        identity = claim.identity
        if identity is None or claim.cookie is None:
            raise failed("no cookie that is known")
        source = self._sources.get(identity.authmethod)
        if source is None or claim.authid not in (None, identity.name):
            raise failed("the cookie is another one's")
        named = msgspec.structs.replace(claim, authid=identity.name)
        found = yield from source.find(named, identity.authmethod, cookie=True)
        if not found.known or not hmac.compare_digest(
            identity.proof, proof(claim.cookie.value, standing(found.principal))
        ):
            raise failed("the principal of the cookie has gone, or has changed")
        authid = found.authid or identity.name
        return Grant(authid, found.principal.role, METHOD, source.provider)


class Method(Protocol):
    """As `doorway.Method`."""

    def steps(self, claim: Claim, chance: Chance) -> Steps: ...


class CookieFirst:
    """Try the cookie, and what else the client has offered if that comes to nothing."""

    def __init__(self, cookie: Method, other: Method) -> None:
        self._cookie: Final = cookie
        self.other: Final = other

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """As the one, then as the other method does."""
        try:
            return (yield from self._cookie.steps(claim, chance))
        except SessionRefused:
            return (yield from self.other.steps(claim, chance))


def digest_of(cookie: str) -> bytes:
    """What the cluster keeps of a cookie: nobody can make the cookie from it."""
    return hashlib.sha256(cookie.encode()).digest()[:_DIGEST_BYTES]


def standing(principal: Principal) -> bytes:
    """16 bytes that change when anything of the principal does."""
    return hashlib.sha256(msgspec.msgpack.encode(principal)).digest()[:_DIGEST_BYTES]


def proof(cookie: str, standing: bytes) -> bytes:
    """The same for one cookie: it tells those nothing who know the principal's shape, and guess its secret."""
    return hmac.digest(cookie.encode(), standing, hashlib.sha256)[:_DIGEST_BYTES]
