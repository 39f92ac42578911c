"""Joins a realm by a proof; prints who the router says one is, or why it let one not in.

    python authentication.py LIBRARY PORT METHOD AUTHID SECRET [TRANSPORT]

LIBRARY: autobahn (all methods), autobahn-tls-unique (cryptosign, bound to a channel of TLS 1.2), or xconn (ticket,
wampcra, cryptosign; only WebSocket).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import xconn
from xconn.async_client import AsyncClient

SECRETS = {"ticket": "ticket", "wampcra": "secret", "scram": "password", "cryptosign": "privkey"}


def by_autobahn(port: str, method: str, authid: str, secret: str, transport: str = "websocket", **more: Any) -> None:
    from autobahn.twisted.component import Component, run

    proof = {"authid": authid, SECRETS[method]: secret, **more}
    endpoint: dict[str, Any] = {"type": "tcp", "host": "127.0.0.1", "port": int(port)}
    if "authextra" in more:
        endpoint["tls"] = tls_1_2()
    where = {"url": f"ws://127.0.0.1:{port}/ws"} if transport == "websocket" else {"url": f"rs://127.0.0.1:{port}"}
    component = Component(
        transports=[{"type": transport, **where, "endpoint": endpoint, "max_retries": 0}],
        realm="realm1",
        authentication={method: proof},
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


def tls_1_2() -> Any:
    """Whom it talks to is of no interest here, and tls-unique is not defined for TLS 1.3."""
    from twisted.internet.ssl import CertificateOptions, TLSVersion

    return CertificateOptions(lowerMaximumSecurityTo=TLSVersion.TLSv1_2)


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
    elif library == "autobahn-tls-unique":
        by_autobahn(*words, authextra={"channel_binding": "tls-unique"})
    else:
        asyncio.run(by_xconn(*words))
