"""The stages of a node, from its start to its end: what it does for clients in each (protocol section 1).

    JOINING --> SERVING <--> SUSPENDED
       ^           |             |        the incarnation is fenced (final for it, rule 4): a new one joins
       `-----------+-------------'
    any of them --> DRAINING --> LEAVING

Being fenced is no stage: the process draws a new incarnation in the same turn, and that one is joining.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Stage(enum.Enum):
    """Where a node stands."""

    JOINING = "joining"  # this incarnation has not served yet (rule 25): nobody is let in
    SERVING = "serving"
    SUSPENDED = "suspended"  # no lease (rule 2): sessions are kept, nothing is read from them, nobody is let in
    DRAINING = "draining"  # it stops: clients are sent away one after the other, and served until their turn
    LEAVING = "leaving"  # it never serves again (rule 5)


class Event(enum.Enum):
    """What moves a node from one stage to the next."""

    LEASED = "a lease came"
    LAPSED = "the lease is over"
    FENCED = "the incarnation is dead"
    STOPPED = "the process was told to stop"
    EMPTIED = "all clients have gone, or their time is up"


_NEXT: Final[Mapping[Stage, Mapping[Event, Stage]]] = {
    Stage.JOINING: {Event.LEASED: Stage.SERVING, Event.STOPPED: Stage.DRAINING},
    Stage.SERVING: {Event.LAPSED: Stage.SUSPENDED, Event.FENCED: Stage.JOINING, Event.STOPPED: Stage.DRAINING},
    Stage.SUSPENDED: {Event.LEASED: Stage.SERVING, Event.FENCED: Stage.JOINING, Event.STOPPED: Stage.DRAINING},
    Stage.DRAINING: {Event.EMPTIED: Stage.LEAVING},
    Stage.LEAVING: {},
}


def after(stage: Stage, event: Event) -> Stage:
    """The stage that follows; an event that does not concern `stage` leaves it as it is."""
    return _NEXT[stage].get(event, stage)
