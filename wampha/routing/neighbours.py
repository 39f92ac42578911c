"""What other nodes send: each message to the realm, the call or the question that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from wampha.counters import Counters
from wampha.messages.relayed import (
    PROGRESS,
    CancelInvoke,
    Forward,
    Invoke,
    InvokeMore,
    Query,
    QueryReply,
    Relayed,
    Reply,
    Reported,
)
from wampha.routing.callees import not_delivered
from wampha.routing.calls import Calls
from wampha.routing.gather import Gather
from wampha.routing.ports import Ledger, Outbox
from wampha.routing.realm import Realm
from wampha.routing.rerouting import Why
from wampha.state.commands import Owner


class Neighbours:
    """Where the messages of other nodes go."""

    def __init__(
        self,
        *,
        realms: Mapping[str, Realm],
        calls: Calls,
        gather: Gather,
        ledger: Ledger,
        outbox: Outbox,
        counters: Counters,
        marked: Callable[[Owner, int], None],
    ) -> None:
        """`marked` takes the marks that other nodes send behind their events."""
        self._realms: Final = realms
        self._calls: Final = calls
        self._gather: Final = gather
        self._ledger: Final = ledger
        self._outbox: Final = outbox
        self._counters: Final = counters
        self._marked: Final = marked
        self._relayed: Final[Mapping[type, Callable[[Owner, Any], None]]] = {
            Forward: self._forwarded,
            Invoke: self._invoked,
            InvokeMore: self._invoked_more,
            Reply: self._replied,
            CancelInvoke: self._canceled,
            Query: self._queried,
            QueryReply: self._query_replied,
            Reported: self._reported,
        }

    def relayed(self, source: Owner, relayed: Relayed) -> None:
        """A message of another node's incarnation, addressed to this node's present one (rule 29)."""
        if source.incarnation in self._ledger.tables.dead:
            # Invariant 3. It stood still, does not know it yet, and sends again what came here before its end.
            self._counters.add("forwards_of_the_dead")
            return
        self._relayed[type(relayed)](source, relayed)

    def lost(self, owner: Owner) -> None:
        """This incarnation is dead, or frames from or to it are lost: nobody waits for it any more."""
        for pending in self._calls.node_lost(owner):
            self._realms[pending.caller.realm].dealer.declined(pending, Why.LOST)
        self._gather.node_lost(owner)

    def _forwarded(self, source: Owner, forward: Forward) -> None:
        realm = self._realms.get(forward.realm)
        if realm is not None:
            realm.broker.deliver_forwarded(forward)

    def _invoked(self, source: Owner, invoke: Invoke) -> None:
        realm = self._realms.get(invoke.realm)
        if realm is None:
            self._outbox.forward(source, not_delivered(invoke.call))
        else:
            realm.dealer.callees.invoke(source, invoke)

    def _invoked_more(self, source: Owner, part: InvokeMore) -> None:
        served = self._calls.served(source, part.call)
        if served is not None:
            assert served.callee is not None, "a callee works on what is served"
            self._realms[served.callee.realm].dealer.callees.invoke_more(served, part)

    def _replied(self, source: Owner, reply: Reply) -> None:
        find = self._calls.awaited if reply.answer is PROGRESS else self._calls.replied
        pending = find(source, reply.call)
        if pending is not None:
            self._realms[pending.caller.realm].dealer.replied(pending, reply)

    def _canceled(self, source: Owner, cancel: CancelInvoke) -> None:
        self._calls.canceled_there(source, cancel)

    def _queried(self, source: Owner, query: Query) -> None:
        self._gather.asked(source, query)

    def _query_replied(self, source: Owner, reply: QueryReply) -> None:
        self._gather.answered(source, reply)

    def _reported(self, source: Owner, mark: Reported) -> None:
        self._marked(source, mark.number)
