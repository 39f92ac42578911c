"""Who offers which procedure (protocol rules 28, 30, 34)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wampha.names.uri import MATCHES
from wampha.state.changes import RegistrationAdded, RegistrationRemoved
from wampha.state.commands import AddRegistration, Command, Outcome, Owner, RemoveRegistration
from wampha.state.ground import Ground, Handler
from wampha.state.tables import Registration

SINGLE: Final = "single"


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
        ground = self._ground
        for realm, rows in list(ground.tables.registrations.items()):
            gone = [row for row in rows if row.owner == owner]
            ground.changes += [_removed(realm, row) for row in gone]
            ground.tables.drop_registrations(realm, gone)

    def _add(self, index: int, add: AddRegistration) -> Outcome:
        """Rule 34: free, or owned by the same session; else taken."""
        ground = self._ground
        if (admitted := ground.admit(add.owner, add.number)) is not Outcome.OK:
            return admitted
        if add.match not in MATCHES or add.policy != SINGLE:
            return Outcome.REFUSED
        standing = ground.tables.registration(add.realm, add.match, add.procedure)
        if standing is not None:
            same = standing.owner == add.owner and standing.session == add.session
            return Outcome.OK if same else Outcome.TAKEN
        registration = Registration(
            index, add.match, add.procedure, add.policy, add.owner, add.session, index, add.created
        )
        ground.tables.add_registration(add.realm, registration)
        ground.changes.append(
            RegistrationAdded(
                add.owner,
                add.realm,
                add.match,
                add.procedure,
                registration.id,
                add.session,
                add.policy,
                add.created,
                index,
            )
        )
        return Outcome.OK

    def _remove(self, index: int, remove: RemoveRegistration) -> Outcome:
        ground = self._ground
        if (admitted := ground.admit(remove.owner, remove.number)) is not Outcome.OK:
            return admitted
        if remove.match not in MATCHES:
            return Outcome.REFUSED
        standing = ground.tables.registration(remove.realm, remove.match, remove.procedure)
        if standing is not None and standing.owner == remove.owner:
            self._drop(remove.realm, standing)
        return Outcome.OK

    def _drop(self, realm: str, row: Registration) -> None:
        self._ground.tables.drop_registrations(realm, [row])
        self._ground.changes.append(_removed(realm, row))


def _removed(realm: str, row: Registration) -> RegistrationRemoved:
    return RegistrationRemoved(
        row.owner, realm, row.match, row.procedure, row.id, row.session, last=True, added=row.index
    )
