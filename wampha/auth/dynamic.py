"""Principals that a procedure of the user's knows, called as Crossbar calls it.

    authenticate(realm: str, authid: str, details: dict) -> str | dict

`details` says how the client wants to be let in, and from where. The answer is a role, or a dict with `role`, what the
method needs (its words in the configuration), and, if the procedure wants it, another `authid`. An error, an answer
that makes no sense, or none in time: the client is not let in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, Generic

import msgspec

from wampha.auth.cryptosign import KeyHolder
from wampha.auth.principals import Found, P
from wampha.auth.scram import ARGON2ID, PBKDF2, Verifier
from wampha.auth.steps import Ask, Asked, Claim, Step, failed
from wampha.auth.ticket import TicketHolder
from wampha.auth.wampcra import Salt, SecretHolder

DYNAMIC: Final = "dynamic"


class Said(msgspec.Struct, kw_only=True, rename={"stored_key": "stored-key", "server_key": "server-key"}):
    """What an authenticator says of a principal; keys that are not known here are passed over."""

    role: str
    realm: str | None = None
    authid: str | None = None
    secret: str = ""
    salt: str | None = None
    iterations: int = 1000
    keylen: int = 32
    kdf: str = PBKDF2
    memory: int | None = None
    stored_key: str = ""
    server_key: str = ""
    pubkey: str | None = None
    authorized_keys: list[str] = []


class Dynamic(Generic[P]):
    """The principals of one method, as an authenticator knows them."""

    provider: Final = DYNAMIC

    def __init__(self, procedure: str, realm: str | None, read: Callable[[Said], P]) -> None:
        """`realm`: where the procedure is registered, or None for the realm that the client asks for.

        `read` may raise ValueError.
        """
        self._procedure: Final = procedure
        self._realm: Final = realm
        self._read: Final = read

    def find(self, claim: Claim, method: str, **more: Any) -> Generator[Step, Any, Found[P]]:
        """Ask the authenticator; `more` stands in `details`. Raises SessionRefused."""
        transport: dict[str, Any] = {"peer": claim.peer}
        if claim.certificate is not None:
            transport["client_cert"] = msgspec.structs.asdict(claim.certificate)
        details = {
            "authmethod": method,
            "authextra": dict(claim.extra),
            "session": claim.session,
            "transport": transport,
            **more,
        }
        args = (claim.realm, claim.authid or "", details)
        asked: Asked = yield Ask(self._realm or claim.realm, self._procedure, args)
        if asked.error is not None:
            raise failed(f"{self._procedure} answered {asked.error}")
        try:
            said = Said(role=asked.value) if isinstance(asked.value, str) else msgspec.convert(asked.value, Said)
            principal = self._read(said)
        except (msgspec.ValidationError, ValueError) as error:
            raise failed(f"what {self._procedure} answered makes no sense: {error}") from None
        if said.realm not in (None, claim.realm):
            raise failed(f"{self._procedure} named another realm than the client")
        return Found(said.authid or claim.authid, principal, known=True)


def ticket_holder(said: Said) -> TicketHolder:
    """The procedure got the ticket: its answer is the proof."""
    return TicketHolder(said.role)


def secret_holder(said: Said) -> SecretHolder:
    if not said.secret:
        raise ValueError("it has no secret")
    salted = None if said.salt is None else Salt(said.salt, said.iterations, said.keylen)
    return SecretHolder(said.role, said.secret, salted=salted)


def verifier(said: Said) -> Verifier:
    stored, server = bytes.fromhex(said.stored_key), bytes.fromhex(said.server_key)
    if len(stored) != 32 or len(server) != 32 or said.kdf not in (PBKDF2, ARGON2ID) or not said.salt:
        raise ValueError("it has no salt, keys and kdf of SCRAM")
    memory = said.memory if said.kdf == ARGON2ID else None
    return Verifier(said.role, said.kdf, said.salt, said.iterations, stored, server, memory=memory)


def key_holder(said: Said) -> KeyHolder:
    keys = tuple(map(bytes.fromhex, [*said.authorized_keys, *([said.pubkey] if said.pubkey else [])]))
    if not keys:
        raise ValueError("it has no pubkey")
    return KeyHolder(said.role, keys)
