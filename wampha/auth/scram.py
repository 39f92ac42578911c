"""Method `wamp-scram`, also called `scram` (advanced profile, "Salted Challenge Response Authentication Mechanism").

The router keeps what verifies a proof, and nothing from which one can be made. Both forms of the `c=` attribute are
accepted that are in use: RFC 5802's, and the bare channel binding that Autobahn|Python writes there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from wampha.auth.cookie import standing
from wampha.auth.grant import Grant
from wampha.auth.principals import Principals, Source
from wampha.auth.steps import AUTHENTICATION_FAILED, Answer, Challenge, Chance, Claim, Steps, failed
from wampha.errors import SessionRefused

METHODS: Final = ("wamp-scram", "scram")
NONCE_LENGTH_MAX: Final = 256  # characters of a client's nonce; it stands in what is signed
PBKDF2: Final = "pbkdf2"
ARGON2ID: Final = "argon2id-13"


class Verifier(msgspec.Struct, frozen=True):
    """What stands for a password: `stored_key` and `server_key` are those of RFC 5802, 32 bytes each."""

    role: str
    kdf: str  # PBKDF2 or ARGON2ID
    salt: str  # base64
    iterations: int
    stored_key: bytes
    server_key: bytes
    realm: str | None = None
    memory: int | None = None  # KiB; of ARGON2ID only


class Scram:
    """Lets in who proves to know the password of its authid, and proves to it that the router knows the verifier."""

    def __init__(self, source: Source[Verifier], method: str) -> None:
        """`method`: one of `METHODS`."""
        self.source: Final = source
        self._method: Final = method

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """One round: the client's nonce, ours, its proof, ours (with the grant)."""
        first = claim.extra.get("nonce")
        if not claim.authid or not isinstance(first, str) or not 0 < len(first) <= NONCE_LENGTH_MAX:
            raise failed("no authid or no nonce")
        if claim.extra.get("channel_binding"):
            raise SessionRefused(AUTHENTICATION_FAILED, "Channel binding is not available here; ask without it.")
        found = yield from self.source.find(claim, self._method)
        nonce = first + base64.b64encode(chance.bytes(24)).decode()
        answer: Answer = yield Challenge(self._method, _challenge(found.principal, nonce))
        message = _authenticated(claim.authid, found.principal, first, nonce, answer)
        if not found.known or message is None:
            raise failed("unknown authid" if not found.known else "wrong proof")
        proof = base64.b64encode(hmac.digest(found.principal.server_key, message, hashlib.sha256)).decode()
        extra = {"verifier": proof, "scram_server_signature": proof}
        return Grant(
            found.authid or claim.authid,
            found.principal.role,
            self._method,
            self.source.provider,
            extra,
            standing(found.principal),
        )


def stranger(authid: str, others: Principals[Verifier]) -> Verifier:
    """Whose challenge looks like that of some known one, always with the same salt; nobody has its key."""
    shape = others.like(authid)
    salt = base64.b64encode(others.noise(f"salt of {authid}", 16)).decode()
    if shape is None:
        return Verifier("", PBKDF2, salt, 4096, others.noise(authid, 32), b"")
    return msgspec.structs.replace(shape, salt=salt, stored_key=others.noise(authid, 32))


def _challenge(verifier: Verifier, nonce: str) -> Mapping[str, Any]:
    extra = {"nonce": nonce, "salt": verifier.salt, "kdf": verifier.kdf, "iterations": verifier.iterations}
    return extra if verifier.memory is None else {**extra, "memory": verifier.memory}


def _authenticated(authid: str, verifier: Verifier, first: str, nonce: str, answer: Answer) -> bytes | None:
    """The AuthMessage that the answer proves, or None if it proves none."""
    if answer.extra.get("nonce", nonce) != nonce or answer.extra.get("channel_binding"):
        return None
    try:
        proof = base64.b64decode(answer.signature, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(proof) != hashlib.sha256().digest_size:
        return None
    name = authid.replace("=", "=3D").replace(",", "=2C")
    # RFC 5802 "c=" is base64 of "n,,"; Autobahn|Python leaves it empty, and the name as it is.
    for subject, binding in ((name, "biws"), (authid, "")):
        text = f"n={subject},r={first},r={nonce},s={verifier.salt},i={verifier.iterations},c={binding},r={nonce}"
        message = text.encode(errors="replace")
        signature = hmac.digest(verifier.stored_key, message, hashlib.sha256)
        key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if hmac.compare_digest(hashlib.sha256(key).digest(), verifier.stored_key):
            return message
    return None
