"""Random ids: sessions and publications (basic profile, "IDs"). All other ids count or come from the log."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Protocol

ID_MAX: Final = 2**53  # the largest integer up to which every double is exact
_BITS: Final = 53
_SECRET_BITS: Final = 256


def derived_publication(topic: str, number: int) -> int:
    """The publication id of an event that every node publishes by itself; as good as random, and the same on each.

    `number`, an id of its own, stands for at most one event on the topic.
    """
    digest = blake2b(b"%b %d" % (topic.encode(), number), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _BITS)) + 1


class Chance(Protocol):
    """A source of random bits; a `random.Random` is one."""

    def getrandbits(self, bits: int, /) -> int:
        """A uniform integer of so many bits."""


class Ids:
    """Draws ids of the global scope from `chance`: the operating system's in production, seeded in simulation."""

    __slots__ = ("_getrandbits",)

    def __init__(self, chance: Chance) -> None:
        self._getrandbits: Final = chance.getrandbits

    def session(self) -> int:
        """A session id, uniform in 1..2^53."""
        return self._getrandbits(_BITS) + 1

    def publication(self) -> int:
        """A publication id, uniform in 1..2^53."""
        return self._getrandbits(_BITS) + 1

    def below(self, bound: int) -> int:
        """An integer in 0..bound-1, uniform as far as anyone can tell; `bound` is far below 2^53."""
        return self._getrandbits(_BITS) % bound

    def secret(self) -> str:
        """What nobody can guess; 64 characters."""
        return f"{self._getrandbits(_SECRET_BITS):064x}"
