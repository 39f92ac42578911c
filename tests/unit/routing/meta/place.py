"""Those whom the meta API is about, and one who asks and watches, at the same node or at two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.support.core import ALL, Cluster, Peer
from wampha.messages.model import Error, Event, Result, Subscribed
from wampha.messages.payload import Payload
from wampha.routing.permissions import ACTIONS, Permission
from wampha.state.commands import Down

MEANT: Final = (ALL, Permission("wamp.", "prefix", frozenset(ACTIONS)))
NOWHERE: Final[Mapping[str, tuple[str, ...]]] = {}


class Place:
    """The asker lives at node `a`, the others at `home`; there is a third node, `c`."""

    def __init__(self, home: str, **options: Any) -> None:
        self.cluster: Final = Cluster("a", "b", "c", **{"permissions": MEANT, "attends": True, **options})
        self.home: Final = self.cluster[home]
        self.asker: Final = self.cluster["a"].join()

    def join(self, features: Mapping[str, tuple[str, ...]] = NOWHERE, node: str = "", **options: Any) -> Peer:
        """Somebody at the other node, or at the one that is named."""
        return (self.cluster[node] if node else self.home).join(features=features, **options)

    def subscribed(self, peer: Peer, topic: str, **options: Any) -> int:
        peer.subscribe(topic, **options)
        self.cluster.settle()
        answer = [message for message in peer.take() if isinstance(message, Subscribed)]
        return int(answer[0].subscription)

    def registered(self, peer: Peer, procedure: str, **options: Any) -> int:
        peer.register(procedure, **options)
        self.cluster.settle()
        return int(peer.one().registration)

    def watch(self, *topics: str) -> Peer:
        """Somebody at the asker's node who hears these events."""
        watcher = self.cluster["a"].join()
        for topic in topics:
            self.subscribed(watcher, topic)
        return watcher

    def rest(self) -> None:
        """Until what sessions' homes report has been told everywhere."""
        for _ in range(4):
            for node in self.cluster.nodes.values():
                node.tick()
            self.cluster.settle()

    def ask(self, procedure: str, *args: Any, peer: Peer | None = None, **kwargs: Any) -> Result | Error:
        peer = peer or self.asker
        peer.call(procedure, Payload.of(args, kwargs))
        self.cluster.settle()
        answer = peer.one()
        assert isinstance(answer, Result | Error)
        return answer

    def result(self, procedure: str, *args: Any, **options: Any) -> Any:
        """The only positional result."""
        answer = self.ask(procedure, *args, **options)
        assert isinstance(answer, Result), answer
        assert answer.payload.kwargs() == {}
        (value,) = answer.payload.args()
        return value

    def refusal(self, procedure: str, *args: Any, **options: Any) -> str:
        """The URI of the ERROR."""
        answer = self.ask(procedure, *args, **options)
        assert isinstance(answer, Error), answer
        return answer.error

    def kill(self, name: str) -> None:
        """Declare a node dead (rule 26) on all others."""
        node = self.cluster.nodes.pop(name)
        self.cluster.log.append(Down(node.owner, 1))
        for wire in [wire for wire in self.cluster.wires if name in wire]:
            del self.cluster.wires[wire]
        self.cluster.settle()


def heard(watcher: Peer) -> list[list[Any]]:
    """The arguments of the events since the last call."""
    events = watcher.take()
    assert all(isinstance(event, Event) for event in events), events
    return [event.payload.args() for event in events]
