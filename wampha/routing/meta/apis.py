"""All that the router itself answers and publishes: which part of the meta API stands where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from wampha.counters import Counters
from wampha.limits import Limits
from wampha.routing.gather import Gather
from wampha.routing.meta.cluster import Announce, ClusterApi
from wampha.routing.meta.history import GET_EVENTS, HistoryApi
from wampha.routing.ports import Ledger
from wampha.routing.realm import Realm
from wampha.state.changes import NodeGone, NodeUp


class MetaApis:
    """The meta API of every realm of one node."""

    def __init__(
        self,
        *,
        realms: Iterable[Realm],
        ledger: Ledger,
        gather: Gather,
        limits: Limits,
        counters: Counters,
        announce: Announce,
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        """`announce` is `Router.announce`, `status` what the node tells its operator."""
        self._cluster: Final = ClusterApi(ledger=ledger, gather=gather, announce=announce, status=status)
        for realm in realms:
            self._cluster.offer(realm.procedures)
            history = HistoryApi(
                realm=realm.name, ledger=ledger, retention=realm.retention, limits=limits, counters=counters
            )
            realm.procedures.add(GET_EVENTS, history.get_events)
        self._events: Final[Mapping[type, Callable[[Any], None]]] = {
            NodeUp: self._cluster.node_up,
            NodeGone: self._cluster.node_gone,
        }

    def applied(self, changes: Sequence[Any]) -> None:
        """Tell this node's clients of what the log has changed, in its order; the other nodes tell theirs."""
        for change in changes:
            tell = self._events.get(type(change))
            if tell is not None:
                tell(change)
