"""What sessions of xconn see of kept events, shared procedures, other sessions and testaments; prints it as JSON.

    python xconn_python_advanced.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

In one what `autobahn_python_kept.py`, `_shared.py` and `_sessions.py` see, less what this library does not tell.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import Any

from xconn.exception import ApplicationError
from xconn.types import Event, Invocation, Result
from xconn_python import ACKNOWLEDGE, connect, failure_of


async def conversation(transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests compare, once."""
    ports = (first_port, second_port, first_port, second_port)
    one, two, three, four = [await connect(transport, serializer, port, "meta") for port in ports]
    name = f"n{uuid.uuid4().hex}"
    seen = {
        "kept": await kept(one, two, f"history.{name}"),
        "shared": await shared(one, two, three, four, f"test.{name}"),
        "sessions": await sessions(one, two, f"test.{name}"),
    }
    for session in (one, three, four):
        await session.leave()
    print(json.dumps(seen))


async def kept(first: Any, second: Any, topic: str) -> dict[str, Any]:
    """The last event at once, and all of them when asked for."""
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def hear(event: Event) -> None:
        heard.put_nowait([(event.args or [None])[0], (event.details or {}).get("retained") is True])

    retain = {**ACKNOWLEDGE, "retain": True}
    for number in (1, 2):
        await second.publish(topic, [number], None, retain)
    subscription = await first.subscribe(topic, hear, {"get_retained": True})
    retained = await heard.get()
    await second.publish(topic, [3], None, retain)
    live = await heard.get()
    history = await first.call("wamp.subscription.get_events", [subscription.subscription_id])
    return {"retained": retained, "live": live, "history": [event["args"][0] for event in history.args or []]}


async def shared(one: Any, two: Any, three: Any, caller: Any, procedure: str) -> dict[str, Any]:
    """Callees take turns, are refused, and put out."""

    async def offer(session: Any, word: str, options: dict[str, Any]) -> Any:
        async def answer(_: Invocation) -> Result:
            return Result([word])

        return await session.register(procedure, answer, options)

    await offer(one, "one", {"invoke": "roundrobin"})
    await offer(two, "two", {"invoke": "roundrobin"})
    turns = [(await caller.call(procedure)).args[0] for _ in range(4)]
    conflict = await failure_of(offer(three, "three", {"invoke": "random"}))
    await offer(three, "three", {"force_reregister": True})
    forced = await caller.call(procedure)
    return {
        "turns": [*sorted(turns[:2]), turns[:2] == turns[2:]],
        "conflict": conflict.message,
        "forced": (forced.args or [""])[0],
    }


async def sessions(first: Any, second: Any, topic: str) -> dict[str, Any]:
    """What others learn of a session, and what it leaves when it is killed."""
    told: asyncio.Queue[Any] = asyncio.Queue()
    subject = second._base_session.id

    async def hear(event: Event) -> None:
        told.put_nowait((event.args or [""])[0])

    async def hear_leave(event: Event) -> None:
        if (event.args or [None])[0] == subject:
            told.put_nowait("left")

    await first.subscribe(topic, hear)
    await first.subscribe("wamp.session.on_leave", hear_leave)
    details = await known(first, subject)
    for word, scope in (("second", "destroyed"), ("first", "detached")):
        await second.call("wamp.session.add_testament", [topic, [word], {}], {"scope": scope})
    await first.call("wamp.session.kill", [subject], {"reason": "test.enough"})
    return {"details": [details["authrole"], details["authmethod"]], "told": [await told.get() for _ in range(3)]}


async def known(session: Any, subject: int) -> dict[str, Any]:
    """The details of a session; its node reports it a moment after WELCOME."""
    while True:
        try:
            details: dict[str, Any] = (await session.call("wamp.session.get", [subject])).args[0]
        except ApplicationError:
            await asyncio.sleep(0.02)
        else:
            return details


if __name__ == "__main__":
    asyncio.run(conversation(*sys.argv[1:]))
