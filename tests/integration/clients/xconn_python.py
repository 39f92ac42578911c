"""One conversation of two sessions of xconn; prints what they saw as JSON.

    python xconn_python.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

The same conversation as `autobahn_python.py` holds, with the same keys.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable
from typing import Any, Final

from wampproto import serializers
from xconn.async_client import AsyncClient
from xconn.exception import ApplicationError
from xconn.types import Event, Invocation, Result

PAYLOAD: Final = [7, "zwei", None, {"deep": [1.5, True]}]
NAMED: Final = {"name": "value", "n": -1}
BINARY: Final = bytes(range(256))
ACKNOWLEDGE: Final = {"acknowledge": True}
SERIALIZERS: Final[dict[str, Any]] = {
    "json": serializers.JSONSerializer,
    "msgpack": serializers.MsgPackSerializer,
    "cbor": serializers.CBORSerializer,
}


async def connect(transport: str, serializer: str, port: str, realm: str = "realm1") -> Any:
    """A joined session."""
    url = f"ws://127.0.0.1:{port}/ws" if transport == "websocket" else f"rs://127.0.0.1:{port}"
    return await AsyncClient(serializer=SERIALIZERS[serializer]()).connect(url, realm)


async def conversation(transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests of foreign clients compare, once."""
    first = await connect(transport, serializer, first_port)
    second = await connect(transport, serializer, second_port)
    prefix = f"test.n{uuid.uuid4().hex}"
    seen = {
        **await events(first, second, prefix, serializer),
        **await calls(first, second, prefix),
    }
    await first.leave()
    await second.leave()
    print(json.dumps(seen))


async def events(first: Any, second: Any, prefix: str, serializer: str) -> dict[str, Any]:
    """Exact, pattern, binary and own events."""
    heard: asyncio.Queue[Any] = asyncio.Queue()
    patterned: asyncio.Queue[Any] = asyncio.Queue()

    async def hear(event: Event) -> None:
        heard.put_nowait([event.args or [], event.kwargs or {}])

    async def hear_pattern(event: Event) -> None:
        patterned.put_nowait((event.details or {})["topic"])

    topic = f"{prefix}.topic"
    subscription = await first.subscribe(topic, hear)
    await first.subscribe(prefix, hear_pattern, {"match": "prefix"})
    await second.publish(topic, PAYLOAD, NAMED, ACKNOWLEDGE)
    event = await heard.get()
    pattern_topic = await patterned.get()
    binary = None
    if serializer != "json":  # it cannot send binary values over JSON
        await second.publish(topic, [BINARY], None, ACKNOWLEDGE)
        binary = (await heard.get())[0][0].hex()
    await first.publish(topic, ["own"], None, {**ACKNOWLEDGE, "exclude_me": False})
    own = await heard.get()
    await subscription.unsubscribe()
    await second.publish(topic, ["unheard"], None, ACKNOWLEDGE)
    await second.publish(f"{prefix}.end", None, None, ACKNOWLEDGE)
    while (await patterned.get()) != f"{prefix}.end":
        continue
    return {
        "event": event,
        "pattern_topic": pattern_topic.removeprefix(prefix),
        "binary": binary,
        "own": own,
        "after_unsubscribe": heard.qsize(),
    }


async def calls(first: Any, second: Any, prefix: str) -> dict[str, Any]:
    """Results, application errors and the router's own errors."""

    async def give_back(invocation: Invocation) -> Result:
        return Result(invocation.args, invocation.kwargs)

    async def refuse(invocation: Invocation) -> Result:
        raise ApplicationError("com.example.refused", *(invocation.args or []))

    echo = await first.register(f"{prefix}.echo", give_back)
    await first.register(f"{prefix}.refuse", refuse)
    result = await second.call(f"{prefix}.echo", PAYLOAD, NAMED)
    error = await failure_of(second.call(f"{prefix}.refuse", PAYLOAD))
    taken = await failure_of(second.register(f"{prefix}.echo", refuse))
    await echo.unregister()
    gone = await failure_of(second.call(f"{prefix}.echo"))
    return {
        "result": [result.args, result.kwargs],
        "error": [error.message, list(error.args)],
        "taken": taken.message,
        "after_unregister": gone.message,
    }


async def failure_of(call: Awaitable[Any]) -> ApplicationError:
    """The error that a request ends with."""
    try:
        unexpected = await call
    except ApplicationError as error:
        return error
    raise AssertionError(f"no error but {unexpected}")


if __name__ == "__main__":
    asyncio.run(conversation(*sys.argv[1:]))
