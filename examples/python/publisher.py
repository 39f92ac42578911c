"""Publishes one event and leaves.    python publisher.py [ws://127.0.0.1:8082/ws [text]]"""

import sys

from autobahn.twisted.component import Component, run
from autobahn.wamp.types import PublishOptions

url, text = (*sys.argv[1:], *("ws://127.0.0.1:8082/ws", "hello")[len(sys.argv) - 1 :])
component = Component(transports=url, realm="realm1")


@component.on_join
async def joined(session, details):
    # Acknowledged: it returns when the event is on its way to every node that has a subscriber.
    publication = await session.publish("com.example.hello", text, options=PublishOptions(acknowledge=True))
    print("published:", publication.id, flush=True)
    session.leave()


run([component])
