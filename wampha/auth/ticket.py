"""Method `ticket` (advanced profile, "Ticket-based Authentication"): a password in the clear; use TLS."""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from wampha.auth.grant import Grant
from wampha.auth.principals import STATIC, Principals
from wampha.auth.steps import Answer, Challenge, Chance, Claim, Steps, Work, failed

METHOD: Final = "ticket"
_MEMORY_KIB: Final = 19 * 1024  # with two iterations what OWASP recommends
TICKET_BYTES_MAX: Final = 4096  # longer ones are wrong; bounds what is hashed


class TicketHolder(msgspec.Struct, frozen=True):
    """Exactly one of `ticket` and `hashed` is set."""

    role: str
    realm: str | None = None
    ticket: str | None = None
    hashed: str | None = None  # argon2id, in the PHC string format


class Ticket:
    """Lets in who says the ticket of its authid."""

    def __init__(self, holders: Principals[TicketHolder]) -> None:
        self._holders: Final = holders

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Ask for the ticket and compare it."""
        if not claim.authid:
            raise failed()
        holder = self._holders.known(claim.authid, claim.realm)
        answer: Answer = yield Challenge(METHOD, {})
        said = answer.signature.encode(errors="replace")
        shape = holder or self._holders.like(claim.authid)
        right = False
        if shape is not None and len(said) <= TICKET_BYTES_MAX:
            if shape.hashed is None:
                right = hmac.compare_digest(said, (shape.ticket or "").encode())
            else:
                hashed = shape.hashed
                right = yield Work(lambda: verify(said, hashed))
        if holder is None or not right:
            raise failed()
        return Grant(claim.authid, holder.role, METHOD, STATIC)


def hashed(ticket: str, salt: bytes) -> str:
    """The argon2id hash of a ticket, in the PHC string format; `salt`: 16 random bytes. Takes some 50 ms."""
    function = Argon2id(salt=salt, length=32, iterations=2, lanes=1, memory_cost=_MEMORY_KIB)
    return function.derive_phc_encoded(ticket.encode())


def verify(ticket: bytes, hashed: str) -> bool:
    """Whether the argon2id hash (PHC string format) is the ticket's. Takes milliseconds to seconds."""
    try:
        Argon2id.verify_phc_encoded(ticket, hashed)
    except (InvalidKey, ValueError):
        return False
    return True
