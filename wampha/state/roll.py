"""The roll of sessions: who is there, in which realm, at which node, and what each leaves behind.

Rows are never changed, only replaced, so whoever holds one may keep it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from wampha.state.commands import Owner
from wampha.state.facts import DESTROYED, DETACHED, Join, Testament, Transport
from wampha.state.locks import Locks

_NOBODY: Final[Mapping[int, Any]] = MappingProxyType({})


class Member(msgspec.Struct, frozen=True, gc=False):
    """One session."""

    id: int
    realm: str
    owner: Owner
    authid: str
    authrole: str
    authmethod: str
    authprovider: str
    transport: Transport
    more: dict[str, Any] = {}  # details that were added by `wamp.session.modify_details`

    @staticmethod
    def of(join: Join, owner: Owner) -> Member:
        """The session that a home node reports."""
        return Member(
            id=join.session,
            realm=join.realm,
            owner=owner,
            authid=join.authid,
            authrole=join.authrole,
            authmethod=join.authmethod,
            authprovider=join.authprovider,
            transport=join.transport,
        )

    def details(self) -> dict[str, Any]:
        """What `wamp.session.get` and `wamp.session.on_join` tell."""
        return {
            **self.more,
            "session": self.id,
            "authid": self.authid,
            "authrole": self.authrole,
            "authmethod": self.authmethod,
            "authprovider": self.authprovider,
            "transport": {
                "type": self.transport.type,
                "protocol": self.transport.protocol,
                "peer": self.transport.peer,
            },
        }


class Testaments(msgspec.Struct, frozen=True):
    """What one session leaves behind, by scope, oldest first."""

    detached: tuple[Testament, ...] = ()
    destroyed: tuple[Testament, ...] = ()

    def of(self, scope: str) -> tuple[Testament, ...]:
        return self.detached if scope == DETACHED else self.destroyed

    def without(self, scope: str) -> Testaments:
        return Testaments((), self.destroyed) if scope == DETACHED else Testaments(self.detached, ())

    def and_also(self, scope: str, testament: Testament) -> Testaments:
        if scope == DESTROYED:
            return Testaments(self.detached, (*self.destroyed, testament))
        return Testaments((*self.detached, testament), self.destroyed)

    def all(self) -> tuple[Testament, ...]:
        """Those for the detachment first (advanced profile, "Testament")."""
        return self.detached + self.destroyed


class Load(msgspec.Struct, frozen=True, gc=False):
    """How much sessions leave behind."""

    count: int = 0  # of testaments
    bytes: int = 0  # of them, about

    @staticmethod
    def of(testaments: Testaments) -> Load:
        every = testaments.all()
        return Load(len(every), sum(testament.weight for testament in every))


class Reported(msgspec.Struct, frozen=True, gc=False):
    """The last report of an incarnation that took effect."""

    number: int
    index: int  # of its entry


NOTHING: Final = Testaments()
_NO_REPORT: Final = Reported(0, 0)
_NO_LOAD: Final = Load()


class Roll:
    """All sessions of the cluster."""

    __slots__ = ("_killed", "_loads", "_members", "_owned", "_realms", "_reported", "_testaments", "locks")

    def __init__(self) -> None:
        self._members: Final[dict[int, Member]] = {}  # session id -> row
        self._realms: Final[dict[str, dict[int, Member]]] = {}  # the same by realm
        self._owned: Final[dict[Owner, dict[int, Member]]] = {}  # the same by home node
        self._killed: Final[dict[Owner, dict[int, None]]] = {}  # gone, and their home has not said so yet
        self._testaments: Final[dict[int, Testaments]] = {}  # session id -> not empty
        self._loads: Final[dict[str, Load]] = {}  # realm -> of all its testaments
        self._reported: Final[dict[Owner, Reported]] = {}
        self.locks: Final = Locks()

    # ---- read

    def get(self, realm: str, session: int) -> Member | None:
        member = self._members.get(session)
        return member if member is not None and member.realm == realm else None

    def within(self, realm: str) -> Mapping[int, Member]:
        """The sessions of a realm by id, in the order of the log."""
        return self._realms.get(realm, _NOBODY)

    def realms(self) -> Iterable[str]:
        """The realms that have sessions."""
        return self._realms

    def owned(self, owner: Owner) -> Mapping[int, Member]:
        """The sessions of a node's incarnation by id, in the order of the log."""
        return self._owned.get(owner, _NOBODY)

    def has(self, session: int) -> bool:
        """Whether the id is in use, in any realm: ids are of the global scope."""
        return session in self._members or any(session in ids for ids in self._killed.values())

    def killed(self, owner: Owner) -> Collection[int]:
        """Ids of sessions that were killed, while their home node has not said that they are over."""
        return self._killed.get(owner, _NOBODY)

    def testaments(self, session: int) -> Testaments:
        return self._testaments.get(session, NOTHING)

    def load(self, realm: str) -> Load:
        """Of all testaments in a realm."""
        return self._loads.get(realm, _NO_LOAD)

    def reported(self, owner: Owner) -> Reported:
        return self._reported.get(owner, _NO_REPORT)

    def realm_of(self, session: int) -> str:
        """The realm of a session that is there."""
        return self._members[session].realm

    def reports(self) -> Mapping[Owner, Reported]:
        """The last report of each incarnation that has made one."""
        return self._reported

    def bequests(self) -> Mapping[int, Testaments]:
        """What sessions leave behind, by session id."""
        return self._testaments

    def __iter__(self) -> Iterator[Member]:
        """All sessions, in the order of the log."""
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    # ---- written by `sessions.py` and by snapshots only

    def add(self, member: Member) -> None:
        """A row that is new, or replaces the one of the same session."""
        self._members[member.id] = member
        self._realms.setdefault(member.realm, {})[member.id] = member
        self._owned.setdefault(member.owner, {})[member.id] = member

    def remove(self, member: Member) -> Testaments:
        """A row goes; gives what it leaves behind."""
        del self._members[member.id]
        _drop(self._realms, member.realm, member.id)
        _drop(self._owned, member.owner, member.id)
        self.locks.unlock(member.id)
        return self.bequeath(member.realm, member.id, NOTHING) if member.id in self._testaments else NOTHING

    def bequeath(self, realm: str, session: int, testaments: Testaments) -> Testaments:
        """Replace what a session leaves behind; gives what it was."""
        former = self._testaments.pop(session, NOTHING)
        if testaments is not NOTHING:
            self._testaments[session] = testaments
        standing, goes, comes = self.load(realm), Load.of(former), Load.of(testaments)
        load = Load(standing.count - goes.count + comes.count, standing.bytes - goes.bytes + comes.bytes)
        if load.count:
            self._loads[realm] = load
        else:
            self._loads.pop(realm, None)
        return former

    def move(self, member: Member) -> None:
        """The session of this id goes on at another node. It comes last there, and so it does everywhere."""
        former = self._members.pop(member.id)
        _drop(self._realms, former.realm, former.id)
        _drop(self._owned, former.owner, former.id)
        self.add(member)

    def acquit(self, session: int) -> None:
        """A session that was killed has moved meanwhile: its former home knows nothing of it any more."""
        for owner in [owner for owner, ids in self._killed.items() if session in ids]:
            _drop(self._killed, owner, session)

    def kill(self, owner: Owner, session: int) -> None:
        """The id stays in use, without a row, until the home node says that the session is over."""
        self._killed.setdefault(owner, {})[session] = None

    def forget(self, owner: Owner, session: int) -> None:
        """The home node has said that a killed session is over."""
        _drop(self._killed, owner, session)

    def report(self, owner: Owner, number: int, index: int) -> None:
        self._reported[owner] = Reported(number, index)

    def bury(self, owner: Owner) -> None:
        """Nothing of the incarnation stays; its rows have been removed."""
        self._killed.pop(owner, None)
        self._reported.pop(owner, None)


def _drop(rows: dict[Any, dict[int, Any]], key: Any, session: int) -> None:
    of_key = rows.get(key)
    if of_key is not None:
        of_key.pop(session, None)
        if not of_key:
            del rows[key]
