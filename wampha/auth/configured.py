"""From the configuration of a listener to the methods it accepts."""

from __future__ import annotations

from typing import Any

from wampha.auth import anonymous, cryptosign, ticket, wampcra
from wampha.auth.anonymous import Anonymous
from wampha.auth.cryptosign import Cryptosign, KeyHolder
from wampha.auth.doorway import Doorway, Method
from wampha.auth.principals import Principals
from wampha.auth.scram import METHODS as SCRAM_METHODS
from wampha.auth.scram import Scram, Verifier
from wampha.auth.ticket import Ticket, TicketHolder
from wampha.auth.wampcra import Salt, SecretHolder, WampCra


def doorway(auth: Any, key: bytes) -> Doorway:
    """The methods of a `config.authentication.Auth`; `key`: 32 random bytes that stay secret."""
    methods: dict[str, Method] = {}
    if auth.anonymous:
        methods[anonymous.METHOD] = Anonymous(auth.anonymous.role)
    if auth.ticket:
        methods[ticket.METHOD] = Ticket(_holders(auth.ticket.principals, _ticket_holder, key))
    if auth.wampcra:
        methods[wampcra.METHOD] = WampCra(_holders(auth.wampcra.users, _secret_holder, key))
    if auth.scram:
        verifiers = _holders(auth.scram.principals, _verifier, key)
        methods |= {name: Scram(verifiers, name) for name in SCRAM_METHODS}
    if auth.cryptosign:
        holders = {authid: _key_holder(each) for authid, each in auth.cryptosign.principals.items()}
        owners = {each: authid for authid, holder in holders.items() for each in holder.keys}
        methods[cryptosign.METHOD] = Cryptosign(Principals(holders, key), owners)
    return Doorway(methods)


def _holders(by_authid: Any, of: Any, key: bytes) -> Principals[Any]:
    return Principals({authid: of(principal) for authid, principal in by_authid.items()}, key)


def _ticket_holder(given: Any) -> TicketHolder:
    return TicketHolder(given.role, given.realm, given.ticket, given.ticket_hash)


def _secret_holder(given: Any) -> SecretHolder:
    salted = None if given.salt is None else Salt(given.salt, given.iterations, given.keylen)
    return SecretHolder(given.role, given.secret, given.realm, salted)


def _verifier(given: Any) -> Verifier:
    return Verifier(
        role=given.role,
        kdf=given.kdf,
        salt=given.salt,
        iterations=given.iterations,
        stored_key=bytes.fromhex(given.stored_key),
        server_key=bytes.fromhex(given.server_key),
        realm=given.realm,
        memory=given.memory,
    )


def _key_holder(given: Any) -> KeyHolder:
    return KeyHolder(given.role, tuple(map(bytes.fromhex, given.authorized_keys)), given.realm)
