"""Method `cryptosign` (advanced profile, "Cryptosign-based Authentication"): an Ed25519 signature by a known key."""

from __future__ import annotations

import hmac
from collections.abc import Generator, Mapping
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wampha.auth.cookie import standing
from wampha.auth.grant import Grant
from wampha.auth.principals import Found, Principals, Source
from wampha.auth.steps import Answer, Challenge, Chance, Claim, Step, Steps, failed

METHOD: Final = "cryptosign"
_SIGNATURE: Final = 64  # bytes; the signed 32 bytes follow it
_MESSAGE: Final = 32


class KeyHolder(msgspec.Struct, frozen=True):
    """`keys`: the public keys of which any one will do, 32 bytes each."""

    role: str
    keys: tuple[bytes, ...]
    realm: str | None = None


class KeyHolders(Principals[KeyHolder]):
    """Those of the configuration; without authid, the owner of the client's key is meant."""

    def __init__(self, by_authid: Mapping[str, KeyHolder], key: bytes) -> None:
        super().__init__(by_authid, key, stranger)
        self._owners: Final = {each.hex(): authid for authid, holder in by_authid.items() for each in holder.keys}

    def find(self, claim: Claim, method: str, **more: Any) -> Generator[Step, Any, Found[KeyHolder]]:
        """As `Principals` does; who has neither a name nor a known key is a stranger."""
        authid = claim.authid or self._owners.get(str(claim.extra.get("pubkey")).lower())
        named = msgspec.structs.replace(claim, authid=authid or "?")
        return (yield from super().find(named, method, **more))


class Cryptosign:
    """Lets in who signs the challenge by a key that belongs to its authid."""

    def __init__(self, source: Source[KeyHolder]) -> None:
        self.source: Final = source

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Have 32 random bytes signed, XORed with the TLS channel's own if the client asks for that."""
        key = _bytes(claim.extra.get("pubkey"), _MESSAGE)
        if key is None:
            raise failed("no pubkey")
        binding = claim.extra.get("channel_binding")
        # Who wants it and cannot have it is refused: to go on without would be what a man in the middle wants.
        channel = bytes(_MESSAGE) if binding is None else claim.channel_id(binding)
        found = yield from self.source.find(claim, METHOD)
        challenge = chance.bytes(_MESSAGE)
        answer: Answer = yield Challenge(METHOD, {"challenge": challenge.hex(), "channel_binding": binding})
        signed = _bytes(answer.signature, _SIGNATURE + _MESSAGE)
        expected = bytes(a ^ b for a, b in zip(challenge, channel, strict=True))
        if signed is None or not _verify(key, signed[:_SIGNATURE], signed[_SIGNATURE:], expected):
            raise failed("wrong signature")
        if not found.known or not found.authid or key not in found.principal.keys:
            raise failed("unknown authid or key")
        principal = found.principal
        return Grant(found.authid, principal.role, METHOD, self.source.provider, standing=standing(principal))


def stranger(authid: str, others: Principals[KeyHolder]) -> KeyHolder:
    """Who has no key."""
    return KeyHolder("", ())


def _verify(key: bytes, signature: bytes, signed: bytes, expected: bytes) -> bool:
    if not hmac.compare_digest(signed, expected):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, expected)
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
