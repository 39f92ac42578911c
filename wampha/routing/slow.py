"""Clients that do not read as fast as events come: what a realm does about them, and what is told of it."""

from __future__ import annotations

import enum
from typing import Final


class SlowPolicy(enum.Enum):
    """What happens when more than `client_queue_bytes_max` waits for a client; `realms[].slow_clients`."""

    DISCONNECT = "disconnect"
    DROP_NEWEST = "drop_newest"  # what waits stays, and no event is added
    DROP_OLDEST = "drop_oldest"  # the oldest events that wait make room


# The router's own events, for the subscribers of the realm on every node:
ON_SLOW: Final = "wampha.session.on_slow"  # args [session], kwargs {waiting, limit}: it was cut
ON_EVENTS_DROPPED: Final = "wampha.session.on_events_dropped"  # args [session], kwargs {count}; at most one a second

# A session that is slow itself is not told: each of these would wait for it too, or cost it an event, which would be
# told again.
ABOUT_SLOW: Final = frozenset((ON_SLOW, ON_EVENTS_DROPPED))
