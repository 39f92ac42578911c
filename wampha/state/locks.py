"""Sessions that can be resumed after the death of their node: what opens them, and who they were.

Of such a session only its identity is left; what it had was its node's (docs/resumable-sessions.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from wampha.state.commands import Owner

LOST_MAX: Final = 10_000  # sessions of dead nodes that are remembered; some 3 MB


class Lost(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A session whose node is dead."""

    id: int
    realm: str
    owner: Owner
    authid: str
    authrole: str
    authmethod: str
    authprovider: str
    digest: bytes  # of the token that opens it


class Locks:
    """The digests of all tokens, and the sessions of dead nodes."""

    __slots__ = ("_digests", "_lost")

    def __init__(self) -> None:
        self._digests: Final[dict[int, bytes]] = {}  # session id -> of sessions that are there
        self._lost: Final[dict[int, Lost]] = {}  # session id -> those that are not, in the order of the log

    def lost(self, realm: str, session: int) -> Lost | None:
        """The session, if its node is dead and nobody has resumed it."""
        lost = self._lost.get(session)
        return lost if lost is not None and lost.realm == realm else None

    def standing(self) -> Mapping[int, bytes]:
        """The digests of sessions that are there."""
        return self._digests

    def __iter__(self) -> Iterator[Lost]:
        """The sessions of dead nodes, in the order of the log."""
        return iter(self._lost.values())

    # ---- written by `roll.py`, `sessions.py` and snapshots only

    def lock(self, session: int, digest: bytes) -> None:
        """The session can be resumed by the token of this digest, and by no other one."""
        self._digests[session] = digest

    def unlock(self, session: int) -> bytes | None:
        """The session is over; gives the digest, if it had one."""
        return self._digests.pop(session, None)

    def lose(self, lost: Lost) -> None:
        """The session's node is dead."""
        if len(self._lost) >= LOST_MAX:
            del self._lost[next(iter(self._lost))]
        self._lost[lost.id] = lost

    def find(self, session: int) -> None:
        """A session of a dead node was resumed."""
        del self._lost[session]
