"""What must never be: invariants 1-3 of the protocol (section 4), as far as one node sees them, in production."""

from __future__ import annotations

from wampha.ledger.member import Member


class Invariants:
    """Of one membership, thrown away with it.

    Invariant 3, that no incarnation serves that has applied its own end, is kept by construction: `serving` asks
    whether the incarnation is in `up`, and that entry took it out.
    """

    def __init__(self) -> None:
        self._applied = 0

    def broken(self, member: Member, serving: bool) -> str | None:
        """The sentence of one that does not hold. Such a state is not worth keeping."""
        engine = member.engine
        before, self._applied = self._applied, engine.applied
        if engine.applied < before:
            return f"the applied index fell from {before} to {engine.applied} (invariant 1)"
        if engine.contradiction:
            return f"{engine.contradiction} (invariant 1)"
        if serving and engine.applied < member.safe:
            return f"this node serves and has applied {engine.applied}, but {member.safe} was claimed (invariant 2)"
        return None
