"""What two Autobahn|Python sessions see of options of PUBLISH and CALL; prints it as JSON.

    python autobahn_python_options.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

The first session subscribes and registers, the second publishes and calls. The scripts for the other client
libraries (`tests/integration/js/*_options.js`) do the same and print the same keys.
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from autobahn_python import Client, failure_of
from twisted.internet import defer, task


async def conversation(reactor: Any, transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests compare, once."""
    one = Client(reactor, transport, serializer, first_port, "lenient")
    two = Client(reactor, transport, serializer, second_port, "lenient")
    first, second = await one.joined, await two.joined
    prefix = f"test.n{uuid.uuid4().hex}"
    seen = {**await events(first, second, prefix), **await calls(reactor, first, second, prefix)}
    first.leave()
    second.leave()
    await one.left
    await two.left
    print(json.dumps(seen))


async def events(first: Any, second: Any, prefix: str) -> dict[str, Any]:
    """Black and white lists; this library cannot ask for its disclosure."""
    heard: defer.DeferredQueue[Any] = defer.DeferredQueue()
    await first.subscribe(
        lambda word, details: heard.put(word), f"{prefix}.topic", SubscribeOptions(details_arg="details")
    )
    for word, options in (
        ("excluded", {"exclude": [first._session_id]}),
        ("not eligible", {"eligible": [second._session_id]}),
        ("eligible", {"eligible": [first._session_id]}),
    ):
        await second.publish(f"{prefix}.topic", word, options=PublishOptions(acknowledge=True, **options))
    return {"heard": [await heard.get(), *heard.pending], "publisher": None}


async def calls(reactor: Any, first: Any, second: Any, prefix: str) -> dict[str, Any]:
    """Progressive results, a timeout, CANCEL, and who called."""
    interrupted: list[str] = []

    async def count(until: int, details: Any) -> str:
        for number in range(until):
            details.progress(number)
        return "end" if details.caller == second._session_id else "who calls?"

    def hang() -> defer.Deferred[None]:
        return defer.Deferred(lambda _: interrupted.append("interrupted"))

    await first.register(count, f"{prefix}.count", RegisterOptions(details_arg="details"))
    await first.register(hang, f"{prefix}.hang")
    progress: list[int] = []
    options = CallOptions(on_progress=progress.append)
    # Autobahn says who calls only where the router does so by itself; see the realm of the test.
    end = await second.call(f"{prefix}.count", 3, options=options)
    late = await failure_of(second.call(f"{prefix}.hang", options=CallOptions(timeout=50)))
    canceled = second.call(f"{prefix}.hang")
    await task.deferLater(reactor, 0.1)
    canceled.cancel()
    try:
        await canceled
    except (ApplicationError, defer.CancelledError):
        ended = True
    again = await second.call(f"{prefix}.count", 0)
    return {"progress": [*progress, end], "timeout": late.error, "canceled": ended, "after": again}


if __name__ == "__main__":
    task.react(lambda reactor: defer.ensureDeferred(conversation(reactor, *sys.argv[1:])))
