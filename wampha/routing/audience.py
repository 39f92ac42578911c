"""Who of a topic's subscribers may get a publication (advanced profile, "Subscriber Black- and Whitelisting")."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from wampha.errors import InvalidArgument
from wampha.messages.model import Options
from wampha.messages.options import RECEIVER_LISTS
from wampha.routing.session import Session

_OF: Final = (("", attrgetter("id")), ("_authid", attrgetter("authid")), ("_authrole", attrgetter("authrole")))


class Audience:
    """The black and white lists of one publication."""

    __slots__ = ("_black", "_white")

    def __init__(self, options: Options) -> None:
        # What a list is about, and its entries; a list that is not there restricts nothing, an empty white one all.
        self._white: Final = [
            (name_of, frozenset(options[f"eligible{of}"])) for of, name_of in _OF if f"eligible{of}" in options
        ]
        self._black: Final = [
            (name_of, frozenset(options[f"exclude{of}"])) for of, name_of in _OF if f"exclude{of}" in options
        ]

    @classmethod
    def of(cls, options: Options) -> Audience | None:
        """From the options of a PUBLISH; None if they restrict nothing."""
        return None if RECEIVER_LISTS.isdisjoint(options) else cls(options)

    def select(self, subscribers: Iterable[Session]) -> tuple[Session, ...]:
        """Those who stand on every white list that there is, and on no black one, in the same order."""
        for name_of, eligible in self._white:
            subscribers = [session for session in subscribers if name_of(session) in eligible]
        for name_of, excluded in self._black:
            subscribers = [session for session in subscribers if name_of(session) not in excluded]
        return tuple(subscribers)


def check_lists(options: Options, entries_max: int) -> None:
    """Raise InvalidArgument if the lists have more than `entries_max` entries together."""
    if sum(len(options.get(name, ())) for name in RECEIVER_LISTS) > entries_max:
        raise InvalidArgument(f"The black and white lists of a publication may have {entries_max} entries together.")
