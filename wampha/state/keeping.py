"""How events come to be kept: what their publishers' home nodes state, each once and in their order.

A node numbers its statements from 1 and makes the next one when the last has taken effect. So one that was lost may be
stated again, and one that was not has no effect twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wampha.state.commands import Clear, Command, Keep, Outcome, Owner
from wampha.state.ground import Ground, Handler
from wampha.state.kept import Handled, Kept


class Keeping:
    """The rules of the table of kept events."""

    def __init__(self, ground: Ground) -> None:
        self._ground: Final = ground
        self.handlers: Final[Mapping[type[Command], Handler]] = {Keep: self._keep}

    def bury(self, owner: Owner) -> None:
        """What the incarnation had kept stays: it is its realm's, and not the node's."""
        self._ground.tables.kept.handled.pop(owner, None)

    def _keep(self, index: int, keep: Keep) -> Outcome:
        ground, kept = self._ground, self._ground.tables.kept
        if keep.owner not in ground.tables.up:
            return ground.dead()
        if keep.number != kept.handled_of(keep.owner).number + 1:
            ground.counters.add("commands_stale")
            return Outcome.STALE
        refused = []
        for place, wish in enumerate(keep.wishes):
            archive = kept.in_realm(wish.realm)
            if isinstance(wish, Clear):
                archive.clear(wish.match, wish.topic)
                continue
            event = Kept(index, place, wish.event)
            if wish.retain and not archive.retain(event, keep.topics_max, keep.bytes_max):
                refused.append(place)
                continue
            for ring in wish.rings:
                archive.history(ring.match, ring.topic).add(event, ring)
        kept.handled[keep.owner] = Handled(keep.number, index, tuple(refused))
        return Outcome.OK
