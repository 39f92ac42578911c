"""The state machine: apply(index, command) -> outcome, the same on every node that applies the same log.

Total: it never raises, whatever the bytes. Deterministic: it reads no clock, draws no random number and iterates over
no set. What it changed is told as a list of changes in the order of the log. The rules of each table stand in a
module of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from wampha.counters import Counters
from wampha.state import snapshot
from wampha.state.changes import Change
from wampha.state.codec import VERSION, UnreadableError, UnsupportedError, decode
from wampha.state.commands import Command, Outcome
from wampha.state.ground import Ground, Handler
from wampha.state.keeping import Keeping
from wampha.state.members import Members
from wampha.state.registrations import Registrations
from wampha.state.remembering import Remembering
from wampha.state.routes import Routes
from wampha.state.sessions import OF_SESSIONS, Sessions, difference
from wampha.state.snapshot import Decoder, Encoder
from wampha.state.tables import Tables


class Restoring:
    """A snapshot on its way into a machine, which keeps its tables until `install`."""

    def __init__(self, machine: Machine) -> None:
        self._machine: Final = machine
        self._decoder: Final = Decoder(machine.reads)

    def add(self, piece: bytes) -> None:
        """Take the next piece; raises codec.UnreadableError, and tells the machine if it is too old to read it."""
        try:
            self._decoder.add(piece)
        except UnsupportedError as error:
            self._machine.unsupported = str(error)
            raise

    def install(self) -> None:
        """Replace the machine's tables; raises codec.UnreadableError if pieces are missing."""
        self._machine.install(self._decoder.tables())


class Machine:
    """Holds the tables and applies the log to them."""

    def __init__(self, counters: Counters, reads: int = VERSION) -> None:
        """`reads`: the newest version of commands that can be read; another than this release's is for tests."""
        self._ground: Final = Ground(counters)
        self.tables = self._ground.tables
        self.reads: Final = reads
        self.unsupported: str | None = None  # why the tables are wrong from now on: this node is too old to know them
        self._counters: Final = counters
        owned = (
            Routes(self._ground),
            Registrations(self._ground),
            Sessions(self._ground),
            Keeping(self._ground),
            Remembering(self._ground),
        )
        self._handlers: Final[Mapping[type[Command], Handler]] = {
            command: handler
            for rules in (Members(self._ground, owned), *owned)
            for command, handler in rules.handlers.items()
        }

    def apply(self, index: int, data: bytes) -> Outcome:
        """Apply the entry at `index` (ascending) of the log.

        Bytes that are no command change nothing, on no node. A command of a newer version than some node that is up
        can read changes nothing, on no node either. If it is only this one that cannot, see `unsupported`.
        """
        if self.unsupported:
            return Outcome.REFUSED
        if data[:1] > b"\x01" and not self._readable(data[0]):
            return Outcome.REFUSED
        try:
            command = decode(data)
        except UnreadableError:
            self._counters.add("apply_failures")
            return Outcome.REFUSED
        return self.execute(index, command)

    def _readable(self, version: int) -> bool:
        """Whether a command of this version takes effect here."""
        if version > self.tables.readable():
            self._counters.add("apply_failures")
            return False
        if version > self.reads:
            self.unsupported = f"The log has a command of version {version}; this release reads {self.reads}."
            return False
        self.tables.newest = max(self.tables.newest, version)
        return True

    def execute(self, index: int, command: Command) -> Outcome:
        """Apply a command that is no bytes yet: what the ledger of a node alone does."""
        return self._handlers[type(command)](index, command)

    def take_changes(self) -> list[Change]:
        """The changes since the last call, in the order of the log; taken once."""
        changes, self._ground.changes = self._ground.changes, []
        return changes

    def begin_snapshot(self, purpose: str = "transfer") -> Encoder:
        """A snapshot of the tables as they are now, to be made in pieces while they change.

        It ends the one that was begun before for the same purpose.
        """
        encoders = self._ground.encoders
        before = encoders.get(purpose)
        if before:
            before.stop()
        encoder = encoders[purpose] = Encoder(self.tables)
        return encoder

    def snapshot(self) -> list[bytes]:
        """All pieces of a snapshot at once, for checks; equal for equal tables."""
        return snapshot.encode(self.tables)

    def restore(self, pieces: Iterable[bytes]) -> None:
        """Replace all tables by those of a whole snapshot; raises codec.UnreadableError."""
        restoring = Restoring(self)
        for piece in pieces:
            restoring.add(piece)
        restoring.install()

    def install(self, tables: Tables) -> None:
        """Replace all tables by those of a snapshot, and forget pending changes.

        But not those of sessions, and the snapshot's are told: nobody else would publish them to this node's clients.
        """
        former = self.tables
        self.tables = self._ground.tables = tables
        kept = [change for change in self._ground.changes if isinstance(change, OF_SESSIONS)]
        self._ground.changes = [*kept, *difference(former.roll, tables.roll)]

    def digest(self) -> bytes:
        """32 bytes that are equal on two nodes exactly if their tables are."""
        return hashlib.sha256(b"".join(self.snapshot())).digest()
