"""Joins a realm by a proof; prints who the router says one is, or why it let one not in.

    python authentication.py LIBRARY PORT METHOD AUTHID SECRET

LIBRARY: autobahn (methods ticket and wampcra, since the others need packages that it does not bring) or xconn
(ticket, wampcra, cryptosign).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import xconn
from xconn.async_client import AsyncClient


def by_autobahn(port: str, method: str, authid: str, secret: str) -> None:
    from autobahn.twisted.component import Component, run

    proof = {"ticket" if method == "ticket" else "secret": secret}
    component = Component(
        transports=[{"type": "websocket", "url": f"ws://127.0.0.1:{port}/ws", "max_retries": 0}],
        realm="realm1",
        authentication={method: {"authid": authid, **proof}},
    )

    @component.on_join
    def joined(session: Any, details: Any) -> None:
        print(details.authid, details.authmethod, file=sys.__stdout__, flush=True)  # a log takes sys.stdout
        session.leave()

    @component.on_leave
    def left(session: Any, details: Any) -> None:
        if details.reason.startswith("wamp.error."):
            print(details.reason, file=sys.__stdout__, flush=True)

    run([component], log_level="error")


async def by_xconn(port: str, method: str, authid: str, secret: str) -> None:
    make = {
        "ticket": xconn.TicketAuthenticator,
        "wampcra": xconn.WAMPCRAAuthenticator,
        "cryptosign": xconn.CryptoSignAuthenticator,
    }[method]
    try:
        session = await AsyncClient(authenticator=make(authid, secret)).connect(f"ws://127.0.0.1:{port}/ws", "realm1")
    except Exception as error:
        print(error)
        return
    details = session._base_session.session_details
    print(details.authid, method)
    await session.leave()


if __name__ == "__main__":
    library, *words = sys.argv[1:]
    if library == "autobahn":
        by_autobahn(*words)
    else:
        asyncio.run(by_xconn(*words))
