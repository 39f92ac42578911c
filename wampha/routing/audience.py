"""Who of a topic's subscribers may get a publication (advanced profile, "Subscriber Black- and Whitelisting")."""

from __future__ import annotations

from typing import Final

from wampha.errors import InvalidArgument
from wampha.messages.model import Options
from wampha.messages.options import RECEIVER_LISTS
from wampha.routing.session import Session

_NOBODY: Final[frozenset[int | str]] = frozenset()


class Audience:
    """The black and white lists of one publication."""

    __slots__ = ("_eligible", "_excluded")

    def __init__(self, options: Options) -> None:
        # By session, authid and authrole, in this order; a white list that is not there admits everybody.
        white = [options.get(name) for name in ("eligible", "eligible_authid", "eligible_authrole")]
        black = [options.get(name, ()) for name in ("exclude", "exclude_authid", "exclude_authrole")]
        self._eligible: Final = [None if names is None else frozenset(names) for names in white]
        self._excluded: Final = [frozenset(names) if names else _NOBODY for names in black]

    @classmethod
    def of(cls, options: Options) -> Audience | None:
        """From the options of a PUBLISH; None if they restrict nothing."""
        return None if RECEIVER_LISTS.isdisjoint(options) else cls(options)

    def admits(self, session: Session) -> bool:
        """Whether the subscriber stands on every white list that there is, and on no black one."""
        names = (session.id, session.authid, session.authrole)
        for name, eligible, excluded in zip(names, self._eligible, self._excluded, strict=True):
            if name in excluded or (eligible is not None and name not in eligible):
                return False
        return True


def check_lists(options: Options, entries_max: int) -> None:
    """Raise InvalidArgument if the lists have more than `entries_max` entries together."""
    if sum(len(options.get(name, ())) for name in RECEIVER_LISTS) > entries_max:
        raise InvalidArgument(f"The black and white lists of a publication may have {entries_max} entries together.")
