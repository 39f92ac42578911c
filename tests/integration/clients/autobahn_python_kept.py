"""What two Autobahn|Python sessions see of retained events and history; prints it as JSON.

    python autobahn_python_kept.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

The first session subscribes and asks, the second publishes. `tests/integration/js/autobahn_kept.js` does the same.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

from autobahn.wamp.types import PublishOptions, SubscribeOptions
from autobahn_python import Client
from twisted.internet import defer, task


async def conversation(reactor: Any, transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests compare, once."""
    one = Client(reactor, transport, serializer, first_port)
    two = Client(reactor, transport, serializer, second_port)
    first, second = await one.joined, await two.joined
    topic = f"history.n{uuid.uuid4().hex}"
    retain = PublishOptions(acknowledge=True, retain=True)
    for number in (1, 2):
        await second.publish(topic, number, options=retain)
    heard: defer.DeferredQueue[Any] = defer.DeferredQueue()
    subscription = await first.subscribe(
        lambda number, details: heard.put([number, details.retained is True]),
        topic,
        SubscribeOptions(details_arg="details", get_retained=True),
    )
    seen = {"retained": await heard.get()}
    await second.publish(topic, 3, options=retain)
    seen["live"] = await heard.get()
    history = await first.call("wamp.subscription.get_events", subscription.id)
    seen["history"] = [event["args"][0] for event in history.results]
    last = await first.call("wamp.subscription.get_events", subscription.id, limit=1, reverse=True)
    seen["last"] = last["args"]
    first.leave()
    second.leave()
    await one.left
    await two.left
    print(json.dumps(seen))


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(conversation(reactor, *sys.argv[1:])))
