"""pysyncobj, with those of its methods replaced that have to be, and a check that all private names used are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from pysyncobj.config import SyncObjConf
from pysyncobj.syncobj import SyncObj
from pysyncobj.version import VERSION

from wampha.errors import StartError
from wampha.ledger.constants import Timing
from wampha.ledger.options import Options
from wampha.ledger.transport import LinkTransport, Peer

if TYPE_CHECKING:
    from wampha.ledger.engine import Engine

LIBRARY_VERSION: Final = "0.3.17"
SENDING_MAX_S: Final = 0.01  # to one peer that catches up; it gets the rest of the log in the next turns
APPLIED_PER_TICK_MAX: Final = 2000  # entries; a node that catches up applies the rest in its next turns
QUEUED_MAX: Final = 10_000  # commands that wait for a leader
NEVER_S: Final = 1e9
NOT_READY: Final = 1  # the library's serializer then takes a snapshot for not ready, and has nothing to send

METHODS: Final = (
    "__connectedToAnyone",
    "__doApplyCommand",
    "__applyLogEntries",
    "__deleteEntriesTo",
    "__generateRaftTimeout",
    "__getEntries",
    "__onLeaderChanged",
    "__sendAppendEntries",
    "__setCurrentTerm",
    "__setState",
    "__tryLogCompaction",
    "_applyCommand",
    "_checkCommandsToApply",
)
FIELDS: Final = (
    "__commandsWaitingCommit",
    "__conf",
    "__connectedNodes",
    "__newAppendEntriesTime",
    "__raftCommitIndex",
    "__raftCurrentTerm",
    "__raftElectionDeadline",
    "__raftLastApplied",
    "__raftLeader",
    "__raftLog",
    "__raftMatchIndex",
    "__raftNextIndex",
    "__raftState",
    "__serializer",
)
SERIALIZER_FIELDS: Final = ("_Serializer__pid",)


def _mangled(name: str) -> str:
    return f"_SyncObj{name}" if name.startswith("__") else name


def check_library() -> None:
    """Raise StartError unless pysyncobj is exactly the version whose private names are used here."""
    missing = [name for name in METHODS if not callable(getattr(SyncObj, _mangled(name), None))]
    if VERSION != LIBRARY_VERSION or missing:
        raise StartError(
            f"pysyncobj {VERSION} is installed; the ledger needs exactly {LIBRARY_VERSION}"
            + (f" (missing: {', '.join(missing)})." if missing else ".")
        )


def settings(timing: Timing, options: Options) -> SyncObjConf:
    """The settings of the library; nothing in them is for users."""
    return SyncObjConf(
        autoTick=False,
        appendEntriesUseBatch=True,
        appendEntriesPeriod=timing.append_s,
        appendEntriesBatchSizeBytes=options.batch_bytes_max,
        raftMinTimeout=timing.election_min_s,
        raftMaxTimeout=timing.election_max_s,
        leaderFallbackTimeout=NEVER_S,  # rule 17 instead
        connectionTimeout=timing.election_max_s,
        commandsQueueSize=QUEUED_MAX,
        commandsWaitLeader=True,
        logCompactionMinEntries=options.log_entries_max,
        logCompactionMinTime=NEVER_S,
        dynamicMembershipChange=False,
        fullDumpFile=None,
        journalFile=None,
        password=None,
    )


class Library(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """The library with those of its methods replaced that have to be; each asks the engine."""

    _SyncObj__raftCommitIndex: int
    _SyncObj__newAppendEntriesTime: float
    _SyncObj__connectedNodes: set[Peer]

    def __init__(
        self, engine: Engine, conf: SyncObjConf, me: Peer | None, others: Iterable[Peer], transport: LinkTransport
    ) -> None:
        self._engine: Final = engine
        super().__init__(me, others, conf, transport=transport)
        missing = [field for field in FIELDS if not hasattr(self, _mangled(field))]
        missing += [field for field in SERIALIZER_FIELDS if not hasattr(self._SyncObj__serializer, field)]
        assert not missing, f"pysyncobj lacks {missing}"
        self._SyncObj__serializer._Serializer__pid = NOT_READY  # it never has a snapshot

    def _SyncObj__generateRaftTimeout(self) -> float:  # noqa: N802  # the library's name
        return self._engine.election_timeout()

    def _SyncObj__connectedToAnyone(self) -> bool:  # noqa: N802  # the library's name
        # The library asks this before it becomes a candidate, and nowhere else.
        if self._engine.repaired("elections"):
            return self._engine.campaigning
        return bool(super()._SyncObj__connectedToAnyone())

    def _SyncObj__doApplyCommand(self, command: bytes) -> Any:  # noqa: N802  # the library's name
        return self._engine.apply(self._SyncObj__raftLastApplied + 1, command)

    def _SyncObj__getEntries(  # noqa: N802  # the library's name
        self,
        fromIDx: int | None,  # noqa: N803  # the library's name
        count: int | None = None,
        maxSizeBytes: int | None = None,  # noqa: N803  # the library's name
    ) -> list[Any]:
        # Only a follower that is about to cut its log asks without a count.
        if count is None and maxSizeBytes is None and not self._engine.may_cut:
            count = 1
        entries: list[Any] = super()._SyncObj__getEntries(fromIDx, count, maxSizeBytes)
        return entries

    def _checkCommandsToApply(self) -> None:  # noqa: N802  # the library's name
        if not self._engine.holding:
            super()._checkCommandsToApply()

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802  # the library's name
        self._engine.trim()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802  # the library's name
        committed = self._SyncObj__raftCommitIndex
        self._SyncObj__raftCommitIndex = min(committed, self._SyncObj__raftLastApplied + APPLIED_PER_TICK_MAX)
        try:
            return bool(super()._SyncObj__applyLogEntries())
        finally:
            self._SyncObj__raftCommitIndex = committed

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802  # the library's name
        behind = self._engine.behind() if self._engine.repaired("compaction") else []
        connected = self._SyncObj__connectedNodes
        conf = self._SyncObj__conf
        period, conf.appendEntriesPeriod = conf.appendEntriesPeriod, SENDING_MAX_S
        self._SyncObj__connectedNodes = connected.difference(behind)
        try:
            super()._SyncObj__sendAppendEntries()
        finally:
            self._SyncObj__connectedNodes = connected
            conf.appendEntriesPeriod = period
        self._SyncObj__newAppendEntriesTime += period - SENDING_MAX_S
        self._engine.beat(behind)
