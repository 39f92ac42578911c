"""Method `ticket` (advanced profile, "Ticket-based Authentication"): a password in the clear; use TLS."""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from wampha.auth.cookie import standing
from wampha.auth.grant import Grant
from wampha.auth.principals import Principals, Source
from wampha.auth.steps import Answer, Challenge, Chance, Claim, Steps, Work, failed

METHOD: Final = "ticket"
_MEMORY_KIB: Final = 19 * 1024  # with two iterations what OWASP recommends
TICKET_BYTES_MAX: Final = 4096  # longer ones are wrong; bounds what is hashed


class TicketHolder(msgspec.Struct, frozen=True):
    """At most one of `ticket` and `hashed` is set; none if the ticket has been judged."""

    role: str
    realm: str | None = None
    ticket: str | None = None
    hashed: str | None = None  # argon2id, in the PHC string format


class Ticket:
    """Lets in who says the ticket of its authid."""

    def __init__(self, source: Source[TicketHolder]) -> None:
        self.source: Final = source

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Ask for the ticket and compare it, unless who was asked for the principal has seen it already."""
        if not claim.authid:
            raise failed("no authid")
        answer: Answer = yield Challenge(METHOD, {})
        found = yield from self.source.find(claim, METHOD, ticket=answer.signature)
        said = answer.signature.encode(errors="replace")
        holder = found.principal
        if holder.hashed is not None:
            hashed = holder.hashed
            right = len(said) <= TICKET_BYTES_MAX and (yield Work(lambda: verify(said, hashed)))
        else:
            right = holder.ticket is None or hmac.compare_digest(said, holder.ticket.encode())
        if not found.known or not right:
            raise failed("unknown authid" if not found.known else "wrong ticket")
        authid = found.authid or claim.authid
        return Grant(authid, holder.role, METHOD, self.source.provider, standing=standing(holder))


def stranger(authid: str, others: Principals[TicketHolder]) -> TicketHolder:
    """Whose ticket is compared in the same way as that of some known one, and is never right."""
    shape = others.like(authid)
    return TicketHolder("", ticket="") if shape is None else shape


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
