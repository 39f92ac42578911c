"""The client's side of WAMP's methods of authentication: what HELLO offers, and what answers a CHALLENGE."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from wampha.cli.target import Credentials

ITERATIONS_MAX: Final = 10_000_000  # what a router may ask of us
_MEMORY_KIB_MAX: Final = 4 * 1024 * 1024


class ProofError(Exception):
    """The challenge cannot be answered; `str()` says why."""


class Proof:
    """How one session proves who it is."""

    def __init__(self, credentials: Credentials, nonce: str | None = None) -> None:
        """`nonce` is drawn unless it is given."""
        self._credentials: Final = credentials
        self._nonce: Final = nonce or base64.b64encode(os.urandom(16)).decode()
        self._expected: str | None = None  # the router's own proof, of method wamp-scram

    def offer(self) -> dict[str, Any]:
        """The arguments of HELLO."""
        method, authid = self._credentials.method, self._credentials.authid
        if method == "anonymous":
            return {"authid": authid} if authid else {}
        return {"authmethods": [method], "authid": authid, "authextra": self._extra()}

    def _extra(self) -> dict[str, Any] | None:
        if self._credentials.method == "cryptosign":
            return {"pubkey": self._key().public_key().public_bytes_raw().hex(), "channel_binding": None}
        if self._credentials.method == "wamp-scram":
            return {"nonce": self._nonce, "channel_binding": None}
        return None

    def answer(self, method: str, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Signature and extra of AUTHENTICATE. Raises ProofError."""
        if method != self._credentials.method:
            raise ProofError(f"it asks for method {method}, which was not offered")
        try:
            return _ANSWERS[method](self, extra)
        except (KeyError, TypeError, ValueError) as error:
            raise ProofError(f"its challenge makes no sense: {type(error).__name__} {error}") from None

    def check(self, extra: Mapping[str, Any] | None) -> None:
        """Check what WELCOME has of the router's own proof. Raises ProofError."""
        if self._expected is None:
            return
        shown = (extra or {}).get("scram_server_signature") or (extra or {}).get("verifier") or ""
        if not hmac.compare_digest(str(shown).encode(), self._expected.encode()):
            raise ProofError("it does not know the password itself; this may be somebody else's router")

    def _key(self) -> Ed25519PrivateKey:
        assert self._credentials.key is not None
        return Ed25519PrivateKey.from_private_bytes(self._credentials.key)

    def _ticket(self, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        assert self._credentials.ticket is not None
        return self._credentials.ticket, {}

    def _wampcra(self, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        assert self._credentials.secret is not None
        secret = self._credentials.secret.encode()
        if extra.get("salt") is not None:
            rounds = _bounded(extra.get("iterations", 1000), ITERATIONS_MAX)
            length = _bounded(extra.get("keylen", 32), 64)
            secret = base64.b64encode(hashlib.pbkdf2_hmac("sha256", secret, extra["salt"].encode(), rounds, length))
        return base64.b64encode(hmac.digest(secret, extra["challenge"].encode(), "sha256")).decode(), {}

    def _cryptosign(self, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        challenge = bytes.fromhex(extra["challenge"])
        if len(challenge) != 32:  # what we sign shall be nothing else
            raise ValueError("not 32 bytes")
        return self._key().sign(challenge).hex() + extra["challenge"], {}

    def _scram(self, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """RFC 5802, as WAMP's advanced profile has it."""
        if not extra["nonce"].startswith(self._nonce):
            raise ValueError("the nonce is not ours")
        salted = self._salted(extra)
        name = str(self._credentials.authid).replace("=", "=3D").replace(",", "=2C")
        message = (
            f"n={name},r={self._nonce},r={extra['nonce']},s={extra['salt']},i={extra['iterations']},"
            f"c=biws,r={extra['nonce']}"
        ).encode()
        client = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        self._expected = base64.b64encode(server).decode()
        proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        return base64.b64encode(proof).decode(), {"nonce": extra["nonce"], "channel_binding": None, "cbind_data": None}

    def _salted(self, extra: Mapping[str, Any]) -> bytes:
        assert self._credentials.secret is not None
        password, salt = self._credentials.secret.encode(), base64.b64decode(extra["salt"], validate=True)
        rounds = _bounded(extra["iterations"], ITERATIONS_MAX)
        if extra["kdf"] == "pbkdf2":
            return hashlib.pbkdf2_hmac("sha256", password, salt, rounds)
        if extra["kdf"] != "argon2id-13":
            raise ValueError(f"unknown kdf {extra['kdf']}")
        memory = _bounded(extra["memory"], _MEMORY_KIB_MAX)
        return Argon2id(salt=salt, length=32, iterations=rounds, lanes=1, memory_cost=memory).derive(password)


def _bounded(value: Any, most: int) -> int:
    if not isinstance(value, int) or not 0 < value <= most:
        raise ValueError(f"{value!r} is not from 1 to {most}")
    return value


_ANSWERS: Final = {
    "ticket": Proof._ticket,
    "wampcra": Proof._wampcra,
    "cryptosign": Proof._cryptosign,
    "wamp-scram": Proof._scram,
}
