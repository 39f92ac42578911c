"""Method `cryptosign` (advanced profile, "Cryptosign-based Authentication"): an Ed25519 signature by a known key."""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wampha.auth.grant import Grant
from wampha.auth.principals import STATIC, Principals
from wampha.auth.steps import Answer, Challenge, Chance, Claim, Steps, failed

METHOD: Final = "cryptosign"
_SIGNATURE: Final = 64  # bytes; the signed 32 bytes follow it
_MESSAGE: Final = 32


class KeyHolder(msgspec.Struct, frozen=True):
    """`keys`: the public keys of which any one will do, 32 bytes each."""

    role: str
    keys: tuple[bytes, ...]
    realm: str | None = None


class Cryptosign:
    """Lets in who signs the challenge by a key that belongs to its authid, or, without authid, to anybody."""

    def __init__(self, holders: Principals[KeyHolder], owners: dict[bytes, str]) -> None:
        """`owners`: public key -> the authid of who comes without one."""
        self._holders: Final = holders
        self._owners: Final = owners

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Have 32 random bytes signed."""
        key = _bytes(claim.extra.get("pubkey"), _MESSAGE)
        if key is None:
            raise failed()
        authid = claim.authid or self._owners.get(key)
        holder = self._holders.known(authid, claim.realm) if authid else None
        # What binds to the channel is not available: the client sees its absence, and decides.
        challenge = chance.bytes(_MESSAGE)
        answer: Answer = yield Challenge(METHOD, {"challenge": challenge.hex(), "channel_binding": None})
        signed = _bytes(answer.signature, _SIGNATURE + _MESSAGE)
        if signed is None or not _verify(key, signed[:_SIGNATURE], signed[_SIGNATURE:], challenge):
            raise failed()
        if authid is None or holder is None or key not in holder.keys:
            raise failed()
        return Grant(authid, holder.role, METHOD, STATIC)


def _verify(key: bytes, signature: bytes, signed: bytes, challenge: bytes) -> bool:
    if not hmac.compare_digest(signed, challenge):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, challenge)
    except (InvalidSignature, ValueError):
        return False
    return True


def _bytes(text: object, length: int) -> bytes | None:
    """The bytes of so many hexadecimal digits, or None for anything else."""
    if not isinstance(text, str) or len(text) != 2 * length:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
