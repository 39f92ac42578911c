"""What two Autobahn|Python sessions see of the session meta API and of testaments; prints it as JSON.

    python autobahn_python_sessions.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

The first session watches, asks and kills, the second one leaves testaments. `tests/integration/js/autobahn_sessions.js`
does the same and prints the same keys.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

from autobahn.wamp.exception import ApplicationError
from autobahn_python import Client, failure_of
from twisted.internet import defer, task


async def conversation(reactor: Any, transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests compare, once."""
    one = Client(reactor, transport, serializer, first_port, "meta")
    two = Client(reactor, transport, serializer, second_port, "meta")
    first, second = await one.joined, await two.joined
    topic, subject = f"test.n{uuid.uuid4().hex}", second._session_id
    told: defer.DeferredQueue[Any] = defer.DeferredQueue()
    await first.subscribe(lambda *args, **kwargs: told.put([list(args), kwargs]), topic)
    await first.subscribe(lambda session, *_: session == subject and told.put("left"), "wamp.session.on_leave")
    seen = await known(reactor, first, second)
    for word, scope in (("second", "destroyed"), ("first", "detached")):
        await second.call("wamp.session.add_testament", topic, [word], {"n": 1}, scope=scope)
    await second.call("wamp.session.flush_testaments", scope="destroyed")
    options = {"publish_options": {"exclude_authrole": ["nobody"]}}
    await second.call("wamp.session.add_testament", topic, ["third"], {}, **options)
    own = await failure_of(first.call("wamp.session.kill", first._session_id))
    await first.call("wamp.session.kill", subject, reason="test.enough", message="Enough.")
    seen |= {"own": own.error, "reason": await two.left, "told": [await told.get() for _ in range(3)]}
    first.leave()
    await one.left
    print(json.dumps(seen))


async def known(reactor: Any, first: Any, second: Any) -> dict[str, Any]:
    """Of the second session; its node reports it a moment after WELCOME."""
    while True:
        try:
            details = await first.call("wamp.session.get", second._session_id)
        except ApplicationError:
            await task.deferLater(reactor, 0.02)
        else:
            break
    listed = await first.call("wamp.session.list")
    counted = await first.call("wamp.session.count", ["anonymous"])
    return {
        "details": [details["session"] == second._session_id, details["authrole"], details["authmethod"]],
        "listed": second._session_id in listed and counted >= 2,
    }


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(conversation(reactor, *sys.argv[1:])))
