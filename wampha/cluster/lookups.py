"""Looking names up, with an end: the system's resolver may keep a question for 40 s, and nothing makes it give it back.

That is what happens to a question for the name of a node that has just gone, where a name service passes on what it
does not know and hears nothing. Soon after, the node is back under a new address, and another question is answered at
once: so who asks is told after LOOKUP_TIMEOUT_S that there is no answer, and asks anew.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from zope.interface import implementer

from wampha.counters import Counters

LOOKUP_TIMEOUT_S: Final = 2.0
LOOKUPS_MAX: Final = 4  # per name that are under way: each holds a thread of the reactor until the system gives it up
THREADS: Final = 20  # for the lookups of four peers


def bound_lookups(reactor: Any, counters: Counters) -> None:
    """Let all lookups of this reactor end in time."""
    reactor.suggestThreadPoolSize(THREADS)
    reactor.installNameResolver(Lookups(reactor.nameResolver, reactor=reactor, counters=counters))


@implementer(IHostResolution)
class _Unanswered:
    """A lookup that was not even begun."""

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def cancel(self) -> None:
        """Nothing is under way."""


@implementer(IHostnameResolver)
class Lookups:
    """A resolver that answers with no addresses when the one behind it takes too long, or has too much to do."""

    def __init__(self, behind: Any, *, reactor: Any, counters: Counters) -> None:
        """`behind` is Twisted's IHostnameResolver; `reactor` gives the time."""
        self._behind: Final = behind
        self._reactor: Final = reactor
        self._counters: Final = counters
        self._under_way: Final = Counter[str]()

    def resolveHostName(self, receiver: Any, hostName: str, *args: Any, **kwargs: Any) -> Any:  # noqa: N802, N803
        """As IHostnameResolver says; `receiver` hears the end within LOOKUP_TIMEOUT_S."""
        if self._under_way[hostName] >= LOOKUPS_MAX:
            self._counters.add("lookups_given_up")
            resolution = _Unanswered(hostName)
            receiver.resolutionBegan(resolution)
            receiver.resolutionComplete()
            return resolution
        self._under_way[hostName] += 1
        return self._behind.resolveHostName(_Patience(receiver, self, hostName), hostName, *args, **kwargs)

    def start(self, patience: _Patience) -> Any:
        """The timer of a lookup."""
        return self._reactor.callLater(LOOKUP_TIMEOUT_S, patience.give_up)

    def given_up(self) -> None:
        """A lookup took too long."""
        self._counters.add("lookups_given_up")

    def over(self, name: str) -> None:
        """The resolver behind has ended a lookup, in time or not."""
        self._under_way[name] -= 1
        if not self._under_way[name]:
            del self._under_way[name]


class _Patience:
    """Passes on what comes in time."""

    def __init__(self, receiver: Any, lookups: Lookups, name: str) -> None:
        self._receiver: Any = receiver
        self._lookups: Final = lookups
        self._name: Final = name
        self._timer: Any = None

    def resolutionBegan(self, resolution: Any) -> None:  # noqa: N802 - Twisted's name
        self._receiver.resolutionBegan(resolution)
        self._timer = self._lookups.start(self)

    def addressResolved(self, address: Any) -> None:  # noqa: N802 - likewise
        if self._receiver is not None:
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:  # noqa: N802 - likewise
        self._lookups.over(self._name)
        if self._receiver is not None:
            self._timer.cancel()
            receiver, self._receiver = self._receiver, None
            receiver.resolutionComplete()

    def give_up(self) -> None:
        """The answer is that there is none."""
        self._lookups.given_up()
        receiver, self._receiver = self._receiver, None
        receiver.resolutionComplete()
