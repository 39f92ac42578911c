"""Whom this node dials, and where.

Observers dial voters; of two voters, or two observers, the larger name dials (`Membership.dials`). Control is dialled
all the time, data only while control is up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from twisted.internet import defer
from twisted.python.failure import Failure

from wampha.cluster.dialer import Dialer
from wampha.cluster.handshake import Channel, Membership
from wampha.routing.ports import Clock


class Contacts:
    """A dialer for each peer and channel that is this node's to dial, between `start` and `stop`."""

    def __init__(
        self,
        *,
        membership: Membership,
        voters: Mapping[str, str],
        clock: Clock,
        chance: random.Random,
        connect: Callable[[str, str, Channel], defer.Deferred[Any]],
        failed: Callable[[str, str], None],
    ) -> None:
        """`voters` maps names to `host:port`. `connect(address, name, channel)` makes one attempt.

        `failed(name, sentence)` hears of each attempt that made no connection.
        """
        self._membership: Final = membership
        self._clock: Final = clock
        self._chance: Final = chance
        self._connect: Final = connect
        self._failed: Final = failed
        self._active = False
        self._addresses: Final = dict(voters)  # peer -> host:port
        self._dialers: Final[dict[tuple[str, Channel], Dialer]] = {}

    def start(self) -> None:
        """Dial those voters that this node has to dial, from now on."""
        self._active = True
        for voter in sorted(self._membership.voters):
            self.keep(voter)

    def stop(self) -> None:
        """Dial nobody any more; connections that exist are left alone."""
        self._active = False
        for dialer in self._dialers.values():
            dialer.stop()

    def keep(self, name: str, channel: Channel = Channel.CONTROL) -> None:
        """Dial that peer from now on, if it is for this node to dial."""
        own = self._membership
        if not self._active or name == own.name or not own.dials(own.name, name):
            return
        dialer = self._dialers.get((name, channel))
        if dialer is None:
            dialer = self._dialers[name, channel] = Dialer(
                clock=self._clock,
                connect=lambda: self._connect(self._addresses[name], name, channel),
                failed=lambda failure: self._unreachable(name, failure),
                chance=self._chance,
            )
        dialer.start()

    def _unreachable(self, name: str, failure: Failure) -> None:
        self._failed(name, f"{self._addresses.get(name)} cannot be reached: {failure.getErrorMessage()}")

    def pause(self, name: str, channel: Channel) -> None:
        """Do not dial that peer until it is to be kept again."""
        if (name, channel) in self._dialers:
            self._dialers[name, channel].stop()

    def lost(self, name: str, channel: Channel, connection: object, lasted: bool) -> None:
        """A dialled connection is gone; see `Dialer.lost`."""
        self._dialers[name, channel].lost(connection, lasted)

    def moved(self, name: str, address: str | None) -> None:
        """Where a peer can be reached, as the replicated table says; None: it is gone. It is dialled at once.

        A voter's address is the configured one, and it is dialled for ever.
        """
        if name in self._membership.voters:
            self.keep(name)
        elif address is None:
            self._addresses.pop(name, None)
            for channel in Channel:
                self.pause(name, channel)
        else:
            self._addresses[name] = address
            self.keep(name)

    def only(self, names: Collection[str]) -> None:
        """Whoever is not one of these is gone."""
        for name in [name for name in self._addresses if name not in names]:
            if name not in self._membership.voters:
                self.moved(name, None)
