"""Room for clients: some of the process's file descriptors are kept for other nodes, ports and files.

Without it, a crowd of clients would take the last one, and a node whose links break then could not come back. Whoever
finds no room is refused at once, and can try another node; to leave it waiting in the queue of the port would cost it a
time-out.
"""

from __future__ import annotations

import resource
from collections.abc import Sized
from typing import Final

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.limits import Limits

_ROOMY: Final = 0.9  # so full or less, it may be said again that there is no room


def descriptors() -> int:
    """How many files this process may have open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


def take_all_descriptors() -> None:
    """Raise the soft limit to the hard one: many systems start a process with 1024, for programs that use `select`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # a system that allows no more than it gave
        return


class Room:
    """What all client ports of a node share."""

    _log = Logger(namespace="wampha.transport")

    def __init__(self, *, descriptors: int, limits: Limits, counters: Counters) -> None:
        self.descriptors: Final = descriptors
        self.clients_max: Final = descriptors - min(limits.descriptors_reserved, descriptors // 2)
        self._counters: Final = counters
        self._connections: Final[list[Sized]] = []  # of each port
        self._told = False

    def share(self, connections: Sized) -> None:
        """Count these connections, those of one port, from now on."""
        self._connections.append(connections)

    @property
    def connections(self) -> int:
        """How many there are."""
        return sum(map(len, self._connections))

    def has_place(self) -> bool:
        """Whether one more client may connect; if not, that is counted, and said once until there is room again."""
        connections = self.connections
        if connections < self.clients_max:
            if self._told and connections < self.clients_max * _ROOMY:
                self._told = False
                self._log.info("there is room for clients again")
            return True
        self._counters.add("connections_refused_full")
        if not self._told:
            self._told = True
            self._log.warn(
                "new clients are refused: there are {connections}, and the remaining file descriptors are for other "
                "nodes and files; the limit of open files of this process says how many there can be",
                connections=connections,
            )
        return False
