"""What four Autobahn|Python sessions see of a procedure that several of them offer; prints it as JSON.

    python autobahn_python_shared.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

Callees are on both nodes, the caller is on the second. The script for JavaScript (`tests/integration/js/*_shared.js`)
does the same and prints the same keys.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

from autobahn.wamp.types import RegisterOptions
from autobahn_python import Client, failure_of
from twisted.internet import defer, task


async def conversation(reactor: Any, transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests compare, once."""
    ports = (first_port, second_port, first_port, second_port)
    clients = [Client(reactor, transport, serializer, port) for port in ports]
    one, two, three, caller = [await client.joined for client in clients]
    procedure = f"test.n{uuid.uuid4().hex}"
    shared = RegisterOptions(invoke="roundrobin")
    await one.register(lambda: "one", procedure, shared)
    await two.register(lambda: "two", procedure, shared)
    turns = [await caller.call(procedure) for _ in range(4)]
    conflict = await failure_of(three.register(lambda: "three", procedure, RegisterOptions(invoke="random")))
    await three.register(lambda: "three", procedure, RegisterOptions(force_reregister=True))
    forced = await caller.call(procedure)

    hanging: defer.Deferred[str] = defer.Deferred()
    await one.register(lambda: hanging, f"{procedure}.limited", RegisterOptions(concurrency=1))
    pending = caller.call(f"{procedure}.limited")
    full = await failure_of(caller.call(f"{procedure}.limited"))
    hanging.callback("done")
    seen = {
        "turns": [*sorted(turns[:2]), turns[:2] == turns[2:]],
        "conflict": conflict.error,
        "forced": forced,
        "goes_on": one.is_attached(),
        "full": full.error,
        "done": await pending,
    }
    for client, session in zip(clients, (one, two, three, caller), strict=True):
        session.leave()
        await client.left
    print(json.dumps(seen))


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(conversation(reactor, *sys.argv[1:])))
