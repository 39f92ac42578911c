"""`wampha.retained.*`: which topics have a retained event, and how to take it away; WAMP has no words for that."""

from __future__ import annotations

from typing import Final

from wampha.errors import PayloadSizeExceeded
from wampha.limits import Limits
from wampha.routing.meta.listing import match_of
from wampha.routing.meta.procedures import MetaCall
from wampha.routing.ports import Ledger
from wampha.routing.realm import Realm
from wampha.state.commands import Clear

LIST: Final = "wampha.retained.list"
CLEAR: Final = "wampha.retained.clear"


class RetainedApi:
    """The retained events of one realm, for its operator."""

    def __init__(self, *, realm: Realm, ledger: Ledger, limits: Limits) -> None:
        self._realm: Final = realm
        self._ledger: Final = ledger
        self._limits: Final = limits

    def offer(self) -> None:
        """Answer from now on."""
        self._realm.procedures.add(LIST, self.list_topics)
        self._realm.procedures.add(CLEAR, self.clear, changes=True)

    def list_topics(self, call: MetaCall) -> None:
        """The topics that match and have a retained event."""
        match, topic = self._pattern(call)
        archive = self._ledger.tables.kept.of(self._realm.name)
        topics = [] if archive is None else archive.topics(match, topic)
        most = self._limits.meta_list_max
        if len(topics) > most:
            raise PayloadSizeExceeded(f"There are {len(topics)}; a list may have {most} (`limits.meta_list_max`).")
        call.answer(topics)

    def clear(self, call: MetaCall) -> None:
        """The topics that match have no retained event any more; answered when that is so on every node."""
        match, topic = self._pattern(call)
        self._realm.keeper.check_room()
        self._realm.keeper.keep(Clear(self._realm.name, match, topic), lambda _: call.answer())

    def _pattern(self, call: MetaCall) -> tuple[str, str]:
        match, topic = match_of(call), call.text(0, "topic")
        self._realm.uris.check_pattern(match, topic)
        return match, topic
