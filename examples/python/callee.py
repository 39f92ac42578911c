"""Offers a procedure.    python callee.py [ws://127.0.0.1:8083/ws]"""

import sys

from autobahn.twisted.component import Component, run
from autobahn.wamp.exception import ApplicationError

component = Component(transports=sys.argv[1] if sys.argv[1:] else "ws://127.0.0.1:8083/ws", realm="realm1")


def divide(a, b):
    if b == 0:
        raise ApplicationError("com.example.division_by_zero", f"{a} divided by nothing", dividend=a)
    return a / b


@component.on_join
async def joined(session, details):
    await session.register(divide, "com.example.divide")
    print("registered", flush=True)


run([component])
