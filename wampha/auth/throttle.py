"""Guessing is slowed down: who fails too often, by name or by address, waits before the next attempt is looked at.

A bucket of attempts per (realm, authid) and per address; a failure takes one, time gives them back. With an empty
bucket even the right secret is refused: else guessing would go on unseen. Only failures count, so nobody else notices.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final

_BUCKETS_MAX: Final = 10_000  # remembered; more and those are forgotten that failed longest ago
_MAPPED: Final = "::ffff:"  # before the address of an IPv4 client of an IPv6 port
_IPV6_PREFIX: Final = 4  # groups of an IPv6 address that are one household: 64 bits


class Throttle:
    """Buckets of one kind."""

    def __init__(self, *, burst: int, per_minute: float) -> None:
        """`burst`: failures before anybody waits; 0 means never. `per_minute`: how many are forgiven in that time."""
        self._burst: Final = burst
        self._refill_s: Final = 60.0 / per_minute
        self._full_at: Final[dict[Hashable, float]] = {}  # when the bucket is full again; the last to fail is last

    def wait_s(self, who: Hashable, now: float) -> int:
        """Whole seconds until the next attempt is looked at; 0: now."""
        if not self._burst:
            return 0
        missing = (self._full_at.get(who, now) - now) / self._refill_s
        return max(0, math.ceil((missing - self._burst + 1) * self._refill_s))

    def failed(self, who: Hashable, now: float) -> None:
        """An attempt has failed."""
        full_at = max(self._full_at.pop(who, now), now) + self._refill_s
        self._full_at[who] = min(full_at, now + self._burst * self._refill_s)
        if len(self._full_at) > _BUCKETS_MAX:
            del self._full_at[next(iter(self._full_at))]

    def forget(self, now: float) -> None:
        """Drop buckets that are full again, as far as they are the oldest."""
        for who, full_at in list(self._full_at.items()):
            if full_at > now:
                return
            del self._full_at[who]

    def __len__(self) -> int:
        return len(self._full_at)


def household(address: str) -> str:
    """What stands for an address: an IPv6 network has more addresses than anybody could count."""
    address = address.removeprefix(_MAPPED)
    if ":" not in address:
        return address
    groups = address.partition("%")[0].split("::")[0].split(":")
    return ":".join(groups[:_IPV6_PREFIX])
