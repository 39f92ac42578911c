"""Prints every event of a topic.    python subscriber.py [ws://127.0.0.1:8081/ws]"""

import sys

from autobahn.twisted.component import Component, run

component = Component(transports=sys.argv[1] if sys.argv[1:] else "ws://127.0.0.1:8081/ws", realm="realm1")


@component.on_join
async def joined(session, details):
    def heard(*args, **kwargs):
        print("event:", args, kwargs, flush=True)

    await session.subscribe(heard, "com.example.hello")
    print("subscribed", flush=True)


run([component])
