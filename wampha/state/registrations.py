"""Who offers which procedure, alone or with others (protocol rules 28, 30, 34).

A procedure's first callee decides how it is shared. The order of its callees is that of the log: the same on all nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from wampha.names.uri import MATCHES
from wampha.state.changes import RegistrationAdded, RegistrationRemoved
from wampha.state.commands import AddRegistration, Command, Outcome, Owner, RemoveRegistration
from wampha.state.ground import Ground, Handler
from wampha.state.tables import Callee, Registration

# REGISTER.Options.invoke (advanced profile, "Shared Registration")
SINGLE: Final = "single"
FIRST: Final = "first"
LAST: Final = "last"
ROUNDROBIN: Final = "roundrobin"
RANDOM: Final = "random"
POLICIES: Final = (SINGLE, FIRST, LAST, ROUNDROBIN, RANDOM)

# Each callee that comes or goes costs the copy of a row, on every node; equal on all nodes, hence no setting.
CALLEES_MAX: Final = 1000

MOVED: Final = "wampha.revoked.by_move"  # no callee is told: it is the session's at its new home
FORCED: Final = "wampha.revoked.by_force_reregister"  # a URI: Autobahn leaves over anything else


class Registrations:
    """The rules of the table of registrations. Its rows are never changed, only replaced: snapshots hold them."""

    def __init__(self, ground: Ground) -> None:
        self._ground: Final = ground
        self.handlers: Final[Mapping[type[Command], Handler]] = {
            AddRegistration: self._add,
            RemoveRegistration: self._remove,
        }

    def bury(self, owner: Owner) -> None:
        """An owner may have as many registrations as there are procedures: so not one by one."""
        tables = self._ground.tables
        for realm, rows in list(tables.registrations.items()):
            gone = []
            for row in list(rows):
                lost = [callee for callee in row.callees if callee.owner == owner]
                if not lost:
                    continue
                left = tuple(callee for callee in row.callees if callee.owner != owner)
                self._tell_removed(realm, row, lost, all_gone=not left)
                if left:
                    tables.replace_registration(realm, msgspec.structs.replace(row, callees=left))
                else:
                    gone.append(row)
            if gone:
                tables.drop_registrations(realm, gone)

    def _tell_removed(
        self, realm: str, row: Registration, lost: list[Callee], *, all_gone: bool, reason: str = ""
    ) -> None:
        for callee in lost:
            self._ground.changes.append(
                RegistrationRemoved(
                    callee.owner,
                    realm,
                    row.match,
                    row.procedure,
                    row.id,
                    callee.session,
                    all_gone and callee is lost[-1],
                    callee.index,
                    reason,
                )
            )

    def _add(self, index: int, add: AddRegistration) -> Outcome:
        ground = self._ground
        if (admitted := ground.admit(add.owner, add.number)) is not Outcome.OK:
            return admitted
        if add.match not in MATCHES or add.policy not in POLICIES:
            return Outcome.REFUSED
        standing = ground.tables.registration(add.realm, add.match, add.procedure)
        if add.takes is not None:
            return self._move(index, standing, add, add.takes)
        if standing is None:
            if add.renews:
                return Outcome.TAKEN
        else:
            refusal = self._refusal(standing, add)
            if refusal is not None:
                return refusal
            if add.force:
                self._drop(add.realm, standing, FORCED)
                standing = None
        self._join(index, standing, add)
        return Outcome.OK

    @staticmethod
    def _refusal(standing: Registration, add: AddRegistration) -> Outcome | None:
        """Why the session does not become one more callee; OK if it is one already."""
        mine = standing.callee(add.owner, add.session)
        if add.renews:
            return Outcome.OK if mine is not None and standing.id == add.renews else Outcome.TAKEN
        if mine is not None:
            return Outcome.OK if standing.policy == add.policy else Outcome.CONFLICT
        if add.force:
            return None
        if standing.policy == SINGLE:
            return Outcome.TAKEN  # rule 34
        if standing.policy != add.policy:
            return Outcome.CONFLICT
        return Outcome.FULL if len(standing.callees) >= CALLEES_MAX else None

    def _move(self, index: int, standing: Registration | None, add: AddRegistration, former: Owner) -> Outcome:
        """The session's row passes from node to node in this one entry (P1); it is the youngest callee then."""
        if standing is None:
            return Outcome.TAKEN
        if standing.callee(add.owner, add.session) is not None:
            return Outcome.OK
        moved = standing.callee(former, add.session)
        if moved is None:
            return Outcome.TAKEN
        tables = self._ground.tables
        others = tuple(callee for callee in standing.callees if callee is not moved)
        here = msgspec.structs.replace(moved, owner=add.owner, index=index)
        tables.replace_registration(add.realm, msgspec.structs.replace(standing, callees=(*others, here)))
        self._tell_removed(add.realm, standing, [moved], all_gone=False, reason=MOVED)
        self._ground.changes.append(
            RegistrationAdded(
                add.owner,
                add.realm,
                add.match,
                add.procedure,
                standing.id,
                add.session,
                standing.policy,
                None,
                index,
                moved=True,
            )
        )
        return Outcome.OK

    def _join(self, index: int, standing: Registration | None, add: AddRegistration) -> None:
        tables = self._ground.tables
        callee = Callee(add.owner, add.session, index, add.concurrency, add.repeatable)
        if standing is None:
            row = Registration(index, add.match, add.procedure, add.policy, (callee,), add.created)
            tables.add_registration(add.realm, row)
        else:
            row = msgspec.structs.replace(standing, callees=(*standing.callees, callee))
            tables.replace_registration(add.realm, row)
        self._ground.changes.append(
            RegistrationAdded(
                add.owner,
                add.realm,
                add.match,
                add.procedure,
                row.id,
                add.session,
                add.policy,
                add.created if standing is None else None,
                index,
            )
        )

    def _remove(self, index: int, remove: RemoveRegistration) -> Outcome:
        ground = self._ground
        if (admitted := ground.admit(remove.owner, remove.number)) is not Outcome.OK:
            return admitted
        if remove.match not in MATCHES:
            return Outcome.REFUSED
        standing = ground.tables.registration(remove.realm, remove.match, remove.procedure)
        mine = None if standing is None else standing.callee(remove.owner, remove.session)
        if standing is None or mine is None:
            return Outcome.OK
        if len(standing.callees) == 1:
            self._drop(remove.realm, standing)
        else:
            left = tuple(callee for callee in standing.callees if callee is not mine)
            ground.tables.replace_registration(remove.realm, msgspec.structs.replace(standing, callees=left))
            self._tell_removed(remove.realm, standing, [mine], all_gone=False)
        return Outcome.OK

    def _drop(self, realm: str, row: Registration, reason: str = "") -> None:
        self._ground.tables.drop_registrations(realm, [row])
        self._tell_removed(realm, row, list(row.callees), all_gone=True, reason=reason)
