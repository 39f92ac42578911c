"""What two Autobahn|Python sessions see of the meta API; prints it as JSON.

    python autobahn_python_meta.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

The first session watches and asks, the second one subscribes and registers. `tests/integration/js/autobahn_meta.js`
does the same and prints the same keys.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

from autobahn_python import Client, failure_of
from twisted.internet import defer, task

LIFE = {
    "subscription": ("on_create", "on_subscribe", "on_unsubscribe", "on_delete"),
    "registration": ("on_create", "on_register", "on_unregister", "on_delete"),
}


async def conversation(reactor: Any, transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests compare, once."""
    one = Client(reactor, transport, serializer, first_port, "meta")
    two = Client(reactor, transport, serializer, second_port, "meta")
    first, second = await one.joined, await two.joined
    uri = f"test.n{uuid.uuid4().hex}"
    seen = {"subscription": await subscription(first, second, uri)}
    seen["registration"] = await registration(first, second, uri)
    first.leave()
    second.leave()
    await one.left
    await two.left
    print(json.dumps(seen))


async def watch(session: Any, kind: str) -> defer.DeferredQueue[str]:
    """The names of the events that tell of a kind."""
    heard: defer.DeferredQueue[str] = defer.DeferredQueue()
    for name in LIFE[kind]:
        await session.subscribe(lambda *_, name=name: heard.put(name), f"wamp.{kind}.{name}")
    return heard


async def subscription(first: Any, second: Any, topic: str) -> dict[str, Any]:
    """The life of a subscription. This library announces revocation, and gives its session up when it comes."""
    heard = await watch(first, "subscription")
    made = await second.subscribe(lambda: None, topic)
    found = await first.call("wamp.subscription.lookup", topic)
    details = await first.call("wamp.subscription.get", found)
    subscribers = await first.call("wamp.subscription.list_subscribers", found)
    counted = await first.call("wamp.subscription.count_subscribers", found)
    await made.unsubscribe()
    events = [await heard.get() for _ in range(4)]
    refused = await failure_of(first.call("wamp.subscription.get", 2**40))
    return {
        "found": found == made.id,
        "details": [details["uri"] == topic, details["match"]],
        "members": [subscribers == [second._session_id], counted],
        "events": events,
        "gone": not made.active,
        "unknown": refused.error,
    }


async def registration(first: Any, second: Any, procedure: str) -> dict[str, Any]:
    """The life of a registration that ends by revocation."""
    heard = await watch(first, "registration")
    made = await second.register(lambda: None, procedure)
    found = await first.call("wamp.registration.match", procedure)
    details = await first.call("wamp.registration.get", found)
    callees = await first.call("wamp.registration.list_callees", found)
    counted = await first.call("wamp.registration.count_callees", found)
    await first.call("wamp.registration.remove_callee", found, second._session_id, "enough")
    events = [await heard.get() for _ in range(4)]
    gone = await failure_of(second.call(procedure))  # the library takes no notice but in its log
    refused = await failure_of(first.call("wamp.registration.get", 2**40))
    return {
        "found": found == made.id,
        "details": [details["uri"] == procedure, details["match"]],
        "members": [callees == [second._session_id], counted],
        "events": events,
        "gone": gone.error == "wamp.error.no_such_procedure",
        "unknown": refused.error,
    }


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(conversation(reactor, *sys.argv[1:])))
