"""Method `wampcra` (advanced profile, "Challenge Response Authentication"): HMAC-SHA256 by a shared secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Final

import msgspec

from wampha.auth.grant import Grant
from wampha.auth.principals import STATIC, Principals
from wampha.auth.steps import Answer, Challenge, Chance, Claim, Steps, failed

METHOD: Final = "wampcra"


class Salt(msgspec.Struct, frozen=True):
    """How the client derives the secret from its password by PBKDF2."""

    salt: str
    iterations: int
    keylen: int  # bytes


class SecretHolder(msgspec.Struct, frozen=True):
    """`secret`: with a salt the derived key in base64, as clients use it; without one the shared secret itself."""

    role: str
    secret: str
    realm: str | None = None
    salted: Salt | None = None


class WampCra:
    """Lets in who signs the challenge by the secret of its authid."""

    def __init__(self, holders: Principals[SecretHolder]) -> None:
        self._holders: Final = holders

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Have a challenge signed that nobody has seen before."""
        if not claim.authid:
            raise failed()
        known = self._holders.known(claim.authid, claim.realm)
        holder = known or self._stranger(claim.authid)
        challenge = json.dumps(
            {
                "authid": claim.authid,
                "authrole": holder.role,
                "authmethod": METHOD,
                "authprovider": STATIC,
                "nonce": chance.bytes(32).hex(),
                "timestamp": chance.utc(),
                "session": claim.session,
            }
        )
        extra = {"challenge": challenge}
        if holder.salted is not None:
            extra |= msgspec.structs.asdict(holder.salted)
        answer: Answer = yield Challenge(METHOD, extra)
        right = hmac.compare_digest(answer.signature.encode(errors="replace"), _signature(holder.secret, challenge))
        if known is None or not right:
            raise failed()
        return Grant(claim.authid, known.role, METHOD, STATIC)

    def _stranger(self, authid: str) -> SecretHolder:
        shape, secret = self._holders.like(authid), self._holders.noise(authid, 32).hex()
        if shape is None:
            return SecretHolder("", secret)
        salted = shape.salted
        if salted is not None:
            salted = msgspec.structs.replace(salted, salt=self._holders.noise(f"salt of {authid}", 16).hex())
        return SecretHolder(shape.role, secret, salted=salted)


def _signature(secret: str, challenge: str) -> bytes:
    return base64.b64encode(hmac.digest(secret.encode(), challenge.encode(), hashlib.sha256))
