"""Whom the cluster knows again by a cookie.

Of a cookie only a digest is kept. Time is counted in periods of PERIOD_S that the cluster ends through the log, and not
by a wall clock (P11): so all nodes forget a cookie at the same entry, and a node that came late knows how old each is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from wampha.state.commands import Identity

PERIOD_S: Final = 10.0
IDENTITY_COOKIES_MAX: Final = 32  # of one identity: somebody with so many browsers logs in again in the oldest


class Cookie(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One cookie that somebody has proved something with."""

    digest: bytes
    identity: Identity
    ends: int  # the period with which it is dropped
    void: bool = False  # that one has logged out: it lets nobody in


class Cookies:
    """All of them, in the order of the log."""

    __slots__ = ("_by_digest", "_by_identity", "period")

    def __init__(self) -> None:
        self.period = 0  # how many have ended
        self._by_digest: Final[dict[bytes, Cookie]] = {}
        self._by_identity: Final[dict[tuple[str, str], dict[bytes, None]]] = {}  # (realm, name) -> digests

    def get(self, digest: bytes) -> Cookie | None:
        return self._by_digest.get(digest)

    def identity(self, digest: bytes) -> Identity | None:
        """Who has proved to be whom with this cookie, and has not logged out since."""
        cookie = self._by_digest.get(digest)
        return None if cookie is None or cookie.void else cookie.identity

    def of(self, realm: str, name: str) -> tuple[bytes, ...]:
        """The digests of one identity's cookies, the oldest first."""
        return tuple(self._by_identity.get((realm, name), ()))

    def oldest(self) -> Cookie:
        return next(iter(self._by_digest.values()))

    def __iter__(self) -> Iterator[Cookie]:
        return iter(self._by_digest.values())

    def __len__(self) -> int:
        return len(self._by_digest)

    # ---- written by `remembering.py` and by snapshots only

    def put(self, cookie: Cookie) -> None:
        """Add a cookie; one with the same digest is replaced, and counts as new."""
        self.drop(cookie.digest)
        self._by_digest[cookie.digest] = cookie
        self._by_identity.setdefault(_key(cookie.identity), {})[cookie.digest] = None

    def drop(self, digest: bytes) -> None:
        """Know nothing of the cookie any more."""
        cookie = self._by_digest.pop(digest, None)
        if cookie is None:
            return
        key = _key(cookie.identity)
        digests = self._by_identity[key]
        del digests[digest]
        if not digests:
            del self._by_identity[key]


def _key(identity: Identity) -> tuple[str, str]:
    return identity.realm, identity.name
