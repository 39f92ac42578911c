"""How clients are let in through a listener: the methods, in Crossbar's words, and their principals."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wampha.config.section import Authid, RealmName, RoleName, Section, Uri

HASH_MEMORY_KIB_MAX: Final = 256 * 1024  # of one argon2id hash; two may be calculated at once
HASH_ITERATIONS_MAX: Final = 100
COOKIE_LENGTH_MIN: Final = 22  # characters of 6 random bits: 128 bits, which nobody guesses
_PHC: Final = re.compile(r"\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=\d{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{22,}")


def _check_hash(text: str) -> str:
    matched = _PHC.fullmatch(text)
    if matched is None:
        raise ValueError("should be an argon2id hash as `wampha hash` makes one ($argon2id$v=19$m=19456,t=2,p=1$...)")
    memory, iterations = map(int, matched.groups())
    if memory > HASH_MEMORY_KIB_MAX or iterations > HASH_ITERATIONS_MAX:
        raise ValueError(f"should cost at most m={HASH_MEMORY_KIB_MAX} (KiB) and t={HASH_ITERATIONS_MAX}")
    return text


def _check_key(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise ValueError("should be 64 hexadecimal digits")
    return text.lower()


def _check_base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("should be base64") from None
    return text


def _check_cookie_name(name: str) -> str:
    if re.fullmatch(r"(__Host-|__Secure-)?[A-Za-z][A-Za-z0-9_-]{0,63}", name) is None:
        raise ValueError("should be letters, digits, _ and -, and begin with a letter, __Host- or __Secure-")
    return name


Key = Annotated[str, AfterValidator(_check_key)]


class Principal(Section):
    """Somebody who can prove who they are."""

    role: RoleName = Field(description="the role of the principal's sessions")
    realm: RealmName | None = Field(None, description="the only realm the principal may join; any that has the role")


class Method(Section):
    """One way to be let in. Its principals stand in this file, or a procedure of yours knows them."""

    type: Literal["static", "dynamic"] = Field(
        "static", description="where the principals come from: this file, or an authenticator"
    )
    authenticator: Uri | None = Field(
        None, description="procedure (realm, authid, details) -> role or details of the principal, for type dynamic"
    )
    authenticator_realm: RealmName | None = Field(
        None,
        alias="authenticator-realm",
        description="the realm in which the authenticator is registered; else the one that the client asks for",
    )

    LISTED: ClassVar[str] = "principals"  # what type static needs

    @model_validator(mode="after")
    def _check_type(self) -> Self:
        listed = bool(getattr(self, self.LISTED))
        if self.type == "static" and (not listed or self.authenticator or self.authenticator_realm):
            raise ValueError(f"should have {self.LISTED}, and no authenticator, unless it is of type dynamic")
        if self.type == "dynamic" and (listed or not self.authenticator):
            raise ValueError(f"should have an authenticator, and no {self.LISTED}, since it is of type dynamic")
        return self


class Anonymous(Method):
    """Lets in clients that say nothing about themselves."""

    LISTED: ClassVar[str] = "role"

    role: RoleName | None = Field(None, description="the role that such clients get, in the realm they ask for")


class TicketPrincipal(Principal):
    """Who says a ticket."""

    ticket: str | None = Field(None, min_length=1, repr=False, description="the ticket; better `ticket_hash`")
    ticket_hash: Annotated[str, AfterValidator(_check_hash)] | None = Field(
        None, repr=False, description="argon2id hash of the ticket, in the PHC string format"
    )

    @model_validator(mode="after")
    def _check_one(self) -> TicketPrincipal:
        if (self.ticket is None) == (self.ticket_hash is None):
            raise ValueError("should have either ticket or ticket_hash")
        return self


class TicketAuth(Method):
    """Method ticket: a password in the clear; only over TLS or loopback."""

    principals: dict[Authid, TicketPrincipal] = Field({}, description="by authid, for type static")


class WampCraUser(Principal):
    """Who signs by a shared secret."""

    secret: str = Field(min_length=1, repr=False, description="the secret; with a salt, the derived key in base64")
    salt: str | None = Field(None, min_length=1, description="salt of the password from which the secret is derived")
    iterations: int = Field(1000, ge=1, le=10_000_000, description="of PBKDF2, if there is a salt")
    keylen: int = Field(32, ge=16, le=64, description="bytes of the derived key, if there is a salt")


class WampCraAuth(Method):
    """Method wampcra: a challenge is signed by a shared secret."""

    LISTED: ClassVar[str] = "users"

    users: dict[Authid, WampCraUser] = Field({}, description="by authid, for type static")


class ScramPrincipal(Principal):
    """Who proves to know a password."""

    kdf: Literal["argon2id-13", "pbkdf2"] = Field("argon2id-13", description="how keys come from the password")
    salt: Annotated[str, AfterValidator(_check_base64)] = Field(min_length=1, description="base64, of this user only")
    iterations: int = Field(ge=1, le=10_000_000, description="cost in time")
    memory: int | None = Field(None, ge=8, le=4 * 1024 * 1024, description="cost in KiB, of argon2id-13")
    stored_key: Key = Field(alias="stored-key", repr=False, description="RFC 5802's StoredKey, hexadecimal")
    server_key: Key = Field(alias="server-key", repr=False, description="RFC 5802's ServerKey, hexadecimal")

    @model_validator(mode="after")
    def _check_memory(self) -> ScramPrincipal:
        if (self.kdf == "argon2id-13") != (self.memory is not None):
            raise ValueError("should have memory with kdf argon2id-13, and only with it")
        return self


class ScramAuth(Method):
    """Methods wamp-scram and scram: the password is never sent, and what is stored does not give it away."""

    principals: dict[Authid, ScramPrincipal] = Field({}, description="by authid, for type static")


class CryptosignPrincipal(Principal):
    """Who signs by a private key."""

    authorized_keys: tuple[Key, ...] = Field(min_length=1, description="Ed25519 public keys, hexadecimal; any will do")


class CryptosignAuth(Method):
    """Method cryptosign: a challenge is signed by an Ed25519 key."""

    principals: dict[Authid, CryptosignPrincipal] = Field({}, description="by authid, for type static")

    @model_validator(mode="after")
    def _check_keys(self) -> CryptosignAuth:
        owners: dict[str, str] = {}
        for authid, principal in self.principals.items():
            for key in principal.authorized_keys:
                if owners.setdefault(key, authid) != authid:
                    raise ValueError(f'"{owners[key]}" and "{authid}" have the same key')
        return self


def _check_fingerprint(text: str) -> str:
    digits = text.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digits) is None:
        raise ValueError("should be a SHA-1 or SHA-256 fingerprint: 40 or 64 hexadecimal digits")
    return digits


Fingerprint = Annotated[str, AfterValidator(_check_fingerprint)]


class TlsPrincipal(Principal):
    """Who has a certificate."""

    certificate_sha1: Fingerprint | None = Field(
        None, alias="certificate-sha1", description="fingerprint of the client's certificate, as in Crossbar"
    )
    certificate_sha256: Fingerprint | None = Field(None, alias="certificate-sha256", description="likewise, and safer")

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(filter(None, (self.certificate_sha1, self.certificate_sha256)))

    @model_validator(mode="after")
    def _check_some(self) -> Self:
        if not self.fingerprints:
            raise ValueError("should have certificate-sha256 or certificate-sha1")
        return self


class TlsAuth(Method):
    """Method tls: the client's certificate, on a listener whose tls section has a client_ca."""

    principals: dict[Authid, TlsPrincipal] = Field({}, description="by authid, for type static")

    @model_validator(mode="after")
    def _check_fingerprints(self) -> Self:
        owners: dict[str, str] = {}
        for authid, principal in self.principals.items():
            for fingerprint in principal.fingerprints:
                if owners.setdefault(fingerprint, authid) != authid:
                    raise ValueError(f'"{owners[fingerprint]}" and "{authid}" have the same certificate')
        return self


class CookieStore(Section):
    """Where cookies are kept."""

    type: Literal["memory"] = Field(
        "memory", description="in the memory of all nodes: cookies are lost when all of them stop"
    )


class CookieAuth(Section):
    """Method cookie, for WebSocket: browsers are known again once ticket, wampcra, scram or cryptosign let them in."""

    name: Annotated[str, AfterValidator(_check_cookie_name)] = Field("cbtid", description="the cookie's name")
    length: int = Field(24, ge=COOKIE_LENGTH_MIN, le=64, description="characters of the cookie, 6 random bits each")
    max_age: int = Field(86400, ge=1, le=315_360_000, description="seconds for which a browser is known")
    store: CookieStore = Field(CookieStore(), description="where cookies are kept")
    same_site: Literal["strict", "lax", "none"] = Field(
        "strict",
        description="whether browsers send it with requests of pages of other sites; none: always, which needs tls",
    )
    secure: bool = Field(
        False, description="browsers send it only over TLS, which a proxy ends; with a tls section it is so anyway"
    )


class Auth(Section):
    """The ways to be let in through a listener; a client gets the first of those it offers."""

    anonymous: Anonymous | None = Field(None, description="whether, and as which role, anyone is let in")
    ticket: TicketAuth | None = Field(None, description="who is let in by a ticket")
    wampcra: WampCraAuth | None = Field(None, description="who is let in by a signed challenge")
    scram: ScramAuth | None = Field(None, description="who is let in by a password that is never sent")
    cryptosign: CryptosignAuth | None = Field(None, description="who is let in by a key pair")
    tls: TlsAuth | None = Field(None, description="who is let in by a client certificate")
    cookie: CookieAuth | None = Field(None, description="whether browsers are known again by a cookie")
