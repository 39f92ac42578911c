"""Calls a procedure, in vain and in earnest.    python caller.py [ws://127.0.0.1:8081/ws]"""

import sys

from autobahn.twisted.component import Component, run
from autobahn.wamp.exception import ApplicationError

component = Component(transports=sys.argv[1] if sys.argv[1:] else "ws://127.0.0.1:8081/ws", realm="realm1")


@component.on_join
async def joined(session, details):
    try:
        await session.call("com.example.divide", 1, 0)
    except ApplicationError as error:
        print("error:", error.error, error.args, error.kwargs, flush=True)
    print("result:", await session.call("com.example.divide", 1, 4), flush=True)
    session.leave()


run([component])
