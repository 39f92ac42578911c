"""One conversation of two Autobahn|Python sessions; prints what they saw as JSON.

    python autobahn_python.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

The first session subscribes and registers, the second publishes and calls. The scripts for the other client
libraries (`tests/integration/js`) hold the same conversation and print the same keys.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any, Final

from autobahn.twisted.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.serializer import SERID_TO_SER
from autobahn.wamp.types import CallResult, PublishOptions, SubscribeOptions
from twisted.internet import defer, task

PAYLOAD: Final = (7, "zwei", None, {"deep": [1.5, True]})
NAMED: Final = {"name": "value", "n": -1}
BINARY: Final = bytes(range(256))


def component(transport: str, serializer: str, port: str, realm: str) -> Component:
    """A client for one node; it does not try again."""
    endpoint = {"type": "tcp", "host": "127.0.0.1", "port": int(port)}
    if serializer.endswith(".batched"):  # a Component can make it, but asks here whether there is such a thing
        SERID_TO_SER[serializer] = SERID_TO_SER[serializer.removesuffix(".batched")]
    if transport == "websocket":
        place = {"type": transport, "url": f"ws://127.0.0.1:{port}/ws", "serializers": [serializer]}
    else:
        place = {"type": transport, "url": f"rs://127.0.0.1:{port}", "serializer": serializer}
    return Component(transports=[{**place, "endpoint": endpoint, "max_retries": 0}], realm=realm)


class Client:
    """A session, and the Deferred that fires when it has left."""

    def __init__(self, reactor: Any, transport: str, serializer: str, port: str, realm: str = "realm1") -> None:
        self.joined: defer.Deferred[Any] = defer.Deferred()
        self.left: defer.Deferred[str] = defer.Deferred()
        made = component(transport, serializer, port, realm)
        made.on("join", lambda session, details: self.joined.callback(session))
        made.on("leave", lambda session, details: self.left.callback(details.reason))
        made.start(reactor).addErrback(lambda failure: self.joined.called or self.joined.errback(failure))


async def conversation(reactor: Any, transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests of foreign clients compare, once."""
    one = Client(reactor, transport, serializer, first_port)
    two = Client(reactor, transport, serializer, second_port)
    first, second = await one.joined, await two.joined
    prefix = f"test.n{uuid.uuid4().hex}"
    seen = {
        **await events(first, second, prefix),
        **await calls(first, second, prefix),
    }
    first.leave()
    second.leave()
    seen["left"] = [await one.left, await two.left]
    print(json.dumps(seen))


async def events(first: Any, second: Any, prefix: str) -> dict[str, Any]:
    """Exact, pattern, binary and own events."""
    heard: defer.DeferredQueue[Any] = defer.DeferredQueue()
    patterned: defer.DeferredQueue[Any] = defer.DeferredQueue()
    acknowledged = PublishOptions(acknowledge=True)

    topic = f"{prefix}.topic"
    subscription = await first.subscribe(lambda *args, **kwargs: heard.put([list(args), kwargs]), topic)
    await first.subscribe(
        lambda *args, details, **kwargs: patterned.put(details.topic),
        prefix,
        SubscribeOptions(match="prefix", details_arg="details"),
    )
    await second.publish(topic, *PAYLOAD, **NAMED, options=acknowledged)
    event = await heard.get()
    pattern_topic = await patterned.get()
    await second.publish(topic, BINARY, options=acknowledged)
    (binary,), _ = await heard.get()
    await first.publish(topic, "own", options=PublishOptions(acknowledge=True, exclude_me=False))
    own = await heard.get()
    await subscription.unsubscribe()
    await second.publish(topic, "unheard", options=acknowledged)
    await second.publish(f"{prefix}.end", options=acknowledged)
    while (await patterned.get()) != f"{prefix}.end":
        continue
    return {
        "event": event,
        "pattern_topic": pattern_topic.removeprefix(prefix),
        "binary": binary.hex(),
        "own": own,
        "after_unsubscribe": len(heard.pending),
    }


async def calls(first: Any, second: Any, prefix: str) -> dict[str, Any]:
    """Results, application errors and the router's own errors."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ApplicationError("com.example.refused", *args, **kwargs)

    echo = await first.register(CallResult, f"{prefix}.echo")
    await first.register(refuse, f"{prefix}.refuse")
    result = await second.call(f"{prefix}.echo", *PAYLOAD, **NAMED)
    error = await failure_of(second.call(f"{prefix}.refuse", *PAYLOAD, **NAMED))
    taken = await failure_of(second.register(refuse, f"{prefix}.echo"))
    await echo.unregister()
    gone = await failure_of(second.call(f"{prefix}.echo"))
    return {
        "result": [list(result.results), result.kwresults],
        "error": [error.error, list(error.args), error.kwargs],
        "taken": taken.error,
        "after_unregister": gone.error,
    }


async def failure_of(call: Any) -> ApplicationError:
    """The error that a request ends with."""
    try:
        unexpected = await call
    except ApplicationError as error:
        return error
    raise AssertionError(f"no error but {unexpected}")


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(conversation(reactor, *sys.argv[1:])))
