"""From the configuration of a listener to the methods it accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from wampha.auth import anonymous, cookie, cryptosign, dynamic, scram, ticket, tls, wampcra
from wampha.auth.anonymous import Anonymous, Presented
from wampha.auth.cookie import Cookie
from wampha.auth.cryptosign import Cryptosign, KeyHolder, KeyHolders
from wampha.auth.doorway import Doorway, Method
from wampha.auth.dynamic import Dynamic, Said
from wampha.auth.principals import Principal, Principals, Source
from wampha.auth.scram import Scram, Verifier
from wampha.auth.ticket import Ticket, TicketHolder
from wampha.auth.tls import CertificateHolder, PresentedCertificate, Tls
from wampha.auth.wampcra import Salt, SecretHolder, WampCra

P = TypeVar("P", bound=Principal)
# Who comes by a cookie has come by one of these before: the others need none.
_REMEMBERED: Final = (Ticket, WampCra, Scram, Cryptosign)


def doorway(auth: Any, key: bytes) -> Doorway:
    """The methods of a `config.authentication.Auth`; `key`: 32 random bytes that stay secret."""
    methods: dict[str, Method] = {}
    if auth.anonymous:
        methods[anonymous.METHOD] = _anonymous(auth.anonymous)
    if auth.ticket:
        methods[ticket.METHOD] = _ticket(auth.ticket, key)
    if auth.wampcra:
        methods[wampcra.METHOD] = _wampcra(auth.wampcra, key)
    if auth.scram:
        methods |= _scram(auth.scram, key)
    if auth.cryptosign:
        methods[cryptosign.METHOD] = _cryptosign(auth.cryptosign, key)
    if auth.tls:
        methods[tls.METHOD] = _tls(auth.tls)
    if auth.cookie:
        methods[cookie.METHOD] = Cookie(
            {name: method.source for name, method in methods.items() if isinstance(method, _REMEMBERED)}
        )
    return Doorway(methods)


def _ticket(given: Any, key: bytes) -> Method:
    holders = {name: _ticket_holder(each) for name, each in given.principals.items()}
    return Ticket(_source(given, Principals(holders, key, ticket.stranger), dynamic.ticket_holder))


def _wampcra(given: Any, key: bytes) -> Method:
    holders = {name: _secret_holder(each) for name, each in given.users.items()}
    return WampCra(_source(given, Principals(holders, key, wampcra.stranger), dynamic.secret_holder))


def _scram(given: Any, key: bytes) -> dict[str, Method]:
    verifiers = {name: _verifier(each) for name, each in given.principals.items()}
    source = _source(given, Principals(verifiers, key, scram.stranger), dynamic.verifier)
    return {name: Scram(source, name) for name in scram.METHODS}


def _cryptosign(given: Any, key: bytes) -> Method:
    holders = {name: _key_holder(each) for name, each in given.principals.items()}
    return Cryptosign(_source(given, KeyHolders(holders, key), dynamic.key_holder))


def _tls(given: Any) -> Method:
    if given.type == dynamic.DYNAMIC:
        return PresentedCertificate(Dynamic(given.authenticator, given.authenticator_realm, dynamic.ticket_holder))
    return Tls(
        tuple(
            CertificateHolder(name, each.role, frozenset(each.fingerprints), each.realm)
            for name, each in given.principals.items()
        )
    )


def _source(method: Any, static: Principals[P], read: Callable[[Said], P]) -> Source[P]:
    if method.type == dynamic.DYNAMIC:
        return Dynamic(method.authenticator, method.authenticator_realm, read)
    return static


def _anonymous(given: Any) -> Method:
    if given.type == dynamic.DYNAMIC:
        return Presented(Dynamic(given.authenticator, given.authenticator_realm, dynamic.ticket_holder))
    return Anonymous(given.role)


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
