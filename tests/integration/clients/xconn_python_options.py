"""What two sessions of xconn see of options of PUBLISH and CALL; prints it as JSON.

    python xconn_python_options.py TRANSPORT SERIALIZER PORT-OF-THE-FIRST PORT-OF-THE-SECOND

The same as `autobahn_python_options.py`, less progressive results and CANCEL, which this library does not have.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import Any

from xconn.types import Event, Invocation, Result
from xconn_python import ACKNOWLEDGE, connect, failure_of


async def conversation(transport: str, serializer: str, first_port: str, second_port: str) -> None:
    """Everything that the tests compare, once."""
    first = await connect(transport, serializer, first_port, "lenient")
    second = await connect(transport, serializer, second_port, "lenient")
    prefix = f"test.n{uuid.uuid4().hex}"
    seen = {**await events(first, second, prefix), **await calls(first, second, prefix)}
    await first.leave()
    await second.leave()
    print(json.dumps(seen))


async def events(first: Any, second: Any, prefix: str) -> dict[str, Any]:
    """Black and white lists, and who published."""
    heard: asyncio.Queue[Any] = asyncio.Queue()
    own, other = (session._base_session.id for session in (first, second))

    async def hear(event: Event) -> None:
        heard.put_nowait(((event.args or [""])[0], (event.details or {}).get("publisher") == other))

    topic = f"{prefix}.topic"
    await first.subscribe(topic, hear)
    for word, options in (
        ("excluded", {"exclude": [own]}),
        ("not eligible", {"eligible": [other]}),
        ("eligible", {"eligible": [own], "disclose_me": True}),
    ):
        await second.publish(topic, [word], None, {**ACKNOWLEDGE, **options})
    word, known = await heard.get()
    return {"heard": [word, *(heard.get_nowait()[0] for _ in range(heard.qsize()))], "publisher": known}


async def calls(first: Any, second: Any, prefix: str) -> dict[str, Any]:
    """A timeout, and who called."""
    other = second._base_session.id

    async def tell(invocation: Invocation) -> Result:
        return Result(["end" if (invocation.details or {}).get("caller") == other else "who calls?"])

    async def hang(_: Invocation) -> Result:
        await asyncio.sleep(3600)
        return Result()

    await first.register(f"{prefix}.tell", tell)
    await first.register(f"{prefix}.hang", hang)
    timeout = await failure_of(second.call(f"{prefix}.hang", options={"timeout": 100}))
    after = await second.call(f"{prefix}.tell", options={"disclose_me": True})
    return {"timeout": timeout.message, "after": (after.args or [""])[0]}


if __name__ == "__main__":
    asyncio.run(conversation(*sys.argv[1:]))
