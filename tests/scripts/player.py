"""Plays a golden script: blocks of commands, each followed by `----` and the trace that it causes.

    nodes a b c                          the cluster
    s joins a | s joins a everything     a client named s at node a, which announces nothing or every feature
    s subscribes x. match=prefix         SUBSCRIBE; likewise publishes, registers, calls, yields, fails, cancels,
                                         unsubscribes, unregisters, leaves
    s continues 1 x                      CALL with a request id that is in use
    passes a 0.1                         seconds at node a
    commit | settle                      the log: applied and claimed everywhere; settle also empties the wires
    apply a | claim a                    the log: at one node
    carry a b                            all that is on the wire from a to b
    down a                               node a is declared dead
    suspend a | resume a                 node a loses its lease, or gets it back

The trace shows what each client was sent (`s <`) and what went onto a wire (`a -> b`), in that order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.core import EVERYTHING, Cluster, Peer
from wampha.messages.model import Error, Event, Goodbye, Invocation, Published, Result, Welcome
from wampha.messages.payload import NOTHING, Payload
from wampha.messages.relayed import CancelInvoke, Forward, Invoke, InvokeMore, Reply
from wampha.state.commands import Down


class Player:
    """One script on its way."""

    def __init__(self) -> None:
        self._cluster: Cluster
        self._peers: dict[str, Peer] = {}
        self._shown: dict[tuple[str, str], int] = {}

    def play(self, block: str) -> str:
        """Carry out the commands of a block; returns the trace."""
        for line in block.splitlines():
            words = line.partition("#")[0].split()
            if words:
                self._step(words)
        return "".join(f"{line}\n" for line in self._trace())

    def _step(self, words: list[str]) -> None:
        name, *rest = words
        if name == "nodes":
            self._cluster = Cluster(*rest)
        elif name in _CLUSTER:
            _CLUSTER[name](self._cluster, *rest)
        elif rest[0] == "joins":
            features = EVERYTHING if rest[2:] == ["everything"] else {}
            self._peers[name] = self._cluster[rest[1]].join(features=features)
        else:
            options = {name: _value(text) for name, text in (word.split("=") for word in rest[2:] if "=" in word)}
            args = [word for word in rest[2:] if "=" not in word]
            _CLIENT[rest[0]](self._peers[name], rest[1] if rest[1:] else "", args, options)

    def _trace(self) -> list[str]:
        lines = [f"{name} < {_shown(message)}" for name, peer in self._peers.items() for message in peer.take()]
        for (source, target), wire in self._cluster.wires.items():
            waiting = list(wire)
            new = waiting[self._shown.get((source, target), 0) :]
            lines += [f"{source} -> {target} {_relayed(relayed)}" for _, _, relayed in new]
            self._shown[source, target] = len(waiting)
        return lines


def _carry(cluster: Cluster, source: str, target: str) -> None:
    cluster.carry(source, target)


def _down(cluster: Cluster, name: str) -> None:
    cluster.log.append(Down(cluster.nodes.pop(name).owner, 1))
    for wire in [wire for wire in cluster.wires if name in wire]:
        del cluster.wires[wire]


_CLUSTER: dict[str, Callable[..., None]] = {
    "commit": lambda cluster: cluster.commit(),
    "settle": lambda cluster: cluster.settle(),
    "propose": lambda cluster, name: cluster[name].ledger.commit(),
    "apply": lambda cluster, name: cluster[name].ledger.apply(),
    "claim": lambda cluster, name: cluster[name].ledger.claim(),
    "carry": _carry,
    "down": _down,
    "suspend": lambda cluster, name: cluster[name].ledger.serve(False),
    "passes": lambda cluster, name, seconds: cluster[name].clock.advance(float(seconds)),
    "resume": lambda cluster, name: cluster[name].ledger.serve(True),
}


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdigit() else text


_CLIENT: dict[str, Callable[[Peer, str, list[str], dict[str, Any]], Any]] = {
    "subscribes": lambda peer, topic, _, options: peer.subscribe(topic, **options),
    "unsubscribes": lambda peer, subscription, *_: peer.unsubscribe(int(subscription)),
    "publishes": lambda peer, topic, args, options: peer.publish(topic, Payload.of(args), **options),
    "registers": lambda peer, procedure, _, options: peer.register(procedure, **options),
    "unregisters": lambda peer, registration, *_: peer.unregister(int(registration)),
    "calls": lambda peer, procedure, args, options: peer.call(procedure, Payload.of(args), **options),
    "continues": lambda peer, request, args, options: peer.call_on(
        int(request), args[0], Payload.of(args[1:]), **options
    ),
    "cancels": lambda peer, request, _, options: peer.cancel(int(request), **options),
    "yields": lambda peer, invocation, args, options: peer.result(int(invocation), Payload.of(args), **options),
    "fails": lambda peer, invocation, args, _: peer.error(int(invocation), args[0], Payload.of(args[1:])),
    "leaves": lambda peer, *_: peer.conversation.lost(),
}


def _payload(payload: Payload) -> str:
    if payload == NOTHING:
        return ""
    return f" {payload.args()}" + (f" {payload.kwargs()}" if payload.kwargs() else "")


def _shown(message: Any) -> str:
    name = type(message).__name__.upper()
    if isinstance(message, Event):
        text = f"{message.subscription} {dict(message.details) or ''}"
    elif isinstance(message, Invocation):
        text = f"{message.request} of registration {message.registration} {dict(message.details) or ''}"
    elif isinstance(message, Error):
        text = f"{message.request} {message.error}"
    elif isinstance(message, Goodbye):
        text = message.reason
    elif isinstance(message, Published):
        text = f"{message.request}"
    elif isinstance(message, Result):
        text = f"{message.request} {dict(message.details) or ''}"
    elif isinstance(message, Welcome):
        text = ""
    else:
        text = " ".join(str(getattr(message, field)) for field in message.__struct_fields__)
    return f"{name} {text.strip()}{_payload(getattr(message, 'payload', NOTHING))}".strip()


def _relayed(relayed: Any) -> str:
    if isinstance(relayed, Forward):
        return f"FORWARD {relayed.topic}{_payload(relayed.payload)}"
    if isinstance(relayed, Invoke):
        return f"INVOKE {relayed.call} {relayed.procedure}{_payload(relayed.payload)}"
    if isinstance(relayed, Reply):
        return f"REPLY {relayed.call} {relayed.answer.name} {relayed.error}".strip() + _payload(relayed.payload)
    if isinstance(relayed, InvokeMore):
        return f"INVOKE MORE {relayed.call} {'' if relayed.more else 'the last'}".strip() + _payload(relayed.payload)
    assert isinstance(relayed, CancelInvoke)
    return f"CANCEL {relayed.call} {relayed.mode}"
