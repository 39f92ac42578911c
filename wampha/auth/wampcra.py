"""Method `wampcra` (advanced profile, "Challenge Response Authentication"): HMAC-SHA256 by a shared secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Final

import msgspec

from wampha.auth.cookie import standing
from wampha.auth.grant import Grant
from wampha.auth.principals import Principals, Source
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

    def __init__(self, source: Source[SecretHolder]) -> None:
        self.source: Final = source

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Have a challenge signed that nobody has seen before."""
        if not claim.authid:
            raise failed("no authid")
        found = yield from self.source.find(claim, METHOD)
        authid, holder = found.authid or claim.authid, found.principal
        challenge = json.dumps(
            {
                "authid": authid,
                "authrole": holder.role,
                "authmethod": METHOD,
                "authprovider": self.source.provider,
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
        if not found.known or not right:
            raise failed("unknown authid" if not found.known else "wrong signature")
        return Grant(authid, holder.role, METHOD, self.source.provider, standing=standing(holder))


def stranger(authid: str, others: Principals[SecretHolder]) -> SecretHolder:
    """Whose challenge looks like that of some known one, and whose secret nobody has."""
    shape, secret = others.like(authid), others.noise(authid, 32).hex()
    if shape is None:
        return SecretHolder("", secret)
    salted = shape.salted
    if salted is not None:
        salted = msgspec.structs.replace(salted, salt=others.noise(f"salt of {authid}", 16).hex())
    return SecretHolder(shape.role, secret, salted=salted)


def _signature(secret: str, challenge: str) -> bytes:
    return base64.b64encode(hmac.digest(secret.encode(), challenge.encode(), hashlib.sha256))
