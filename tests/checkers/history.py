"""What clients did and saw, and what was done to the cluster: the only thing that the checkers read.

A simulation fills a `History` from one clock; so does a test with real processes, from the one clock of its machine.
All times are seconds of that clock; only differences mean something.

    Operation   what a client asked for: invoked, returned, and how it ended
    Event       an EVENT that arrived
    Invocation  an INVOCATION that arrived, and when it was answered
    Notice      a meta event, or a testament, that arrived
    Ending      the end of a session
    Fault       what was done to nodes, links or clients, from `begin` to `end`
    Gap         messages from one node to another may be lost: announced by a node, never silent (P5)
    Sample      a quantity that is bounded

Rules for those who record:

* An operation whose answer never came is `unknown`: a client that gave up, or whose connection ended. An answer that
  was an ERROR message is `error`. Nothing else is.
* `number` ascends within a session: of PUBLISH in one series, of CALL in another. The payload begins with
  `[session, number, topic or procedure]`, so that whoever gets the message can tell whose it is. A callee answers with
  `[caller's session, number, callee's session]`.
* A fault that lasts ends when it was healed: SIGCONT, the cut's removal, the process's start. Whatever it broke may
  take some seconds more: that is for the checkers to know.

In a file each record is one line of JSON with its class's name under `record`, in any order.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK, ERROR, UNKNOWN = "ok", "error", "unknown"
SINGLE = "single"
LEFT, GOODBYE, LOST, VANISHED, ENDED = "left", "goodbye", "lost", "vanished", "ended"
KILLED = "test.killed"  # the reason of the GOODBYE that a client gets whose session another one has killed


@dataclass(slots=True)
class Operation:
    """`op`: join, subscribe, unsubscribe, register, unregister, publish, call, leave, bequeath, kill."""

    client: str
    session: int  # 0 for a join that failed
    node: str
    op: str
    invoke: float
    returned: float | None = None
    outcome: str = UNKNOWN
    error: str = ""  # the URI
    uri: str = ""  # topic or procedure
    match: str = "exact"  # of subscribe and unsubscribe
    id: int = 0  # of the subscription, registration or publication, once known; of the session that is killed
    number: int = 0  # of publish and call; of the session's testaments
    acknowledge: bool = False  # of publish: without it, `ok` means that it was sent
    callee: int = 0  # of a call that was answered: the callee's session, as it told
    answers: int = 0  # of a call: RESULT and ERROR messages that came
    excludes_me: bool = True  # of publish
    retained: bool = False  # of publish: `retain`; of subscribe: `get_retained`
    policy: str = SINGLE  # of register: `invoke`


@dataclass(slots=True)
class Event:
    """An EVENT that arrived."""

    client: str
    session: int
    node: str
    time: float
    subscription: int
    publication: int
    publisher: int  # session
    number: int
    topic: str
    retained: bool = False  # it is what was retained, and not live


@dataclass(slots=True)
class Invocation:
    """An INVOCATION that arrived; `answered`: when its YIELD or ERROR was sent."""

    client: str
    session: int
    node: str
    time: float
    registration: int
    invocation: int
    caller: int  # session
    number: int
    procedure: str
    answered: float | None = None


@dataclass(slots=True)
class Notice:
    """The router told of a session: `what` is the topic; of a testament `number` is that of its `bequeath`."""

    client: str
    session: int
    node: str
    time: float
    publication: int
    what: str
    about: int  # session
    number: int = 0


@dataclass(slots=True)
class Ending:
    """The end of a session, as its client saw or caused it.

    `left`: by GOODBYE of its own; `goodbye`: by the router's; `lost`: the connection ended without; `vanished`: the
    client stopped to exist or to read; `ended`: by the end of the test. `held_until`: when the node of a client that
    stopped to read closed its connection, if the recorder knows it; the session was the node's until then.
    """

    client: str
    session: int
    node: str
    time: float
    cause: str
    reason: str = ""  # the URI of a GOODBYE
    held_until: float | None = None


@dataclass(slots=True)
class Fault:
    """What the test did. `links`: pairs (from, to) of nodes or clients; `end`: infinite if it was never healed.

    Kinds: kill, power (without FIN), leave, stop (SIGSTOP), cut, isolate (a minority: `nodes` are all its members, and
    nothing passes between them and the rest), slow, reset, unread (a client that does not read).
    """

    kind: str
    begin: float
    end: float
    nodes: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    clients: tuple[str, ...] = ()


@dataclass(slots=True)
class Gap:
    """A node announced that messages from `source` to `target` are lost: the link was down from `begin` to `end`."""

    source: str
    target: str
    begin: float
    end: float


@dataclass(slots=True)
class Sample:
    """Something bounded, as measured."""

    node: str
    time: float
    what: str
    value: float
    bound: float


@dataclass(slots=True)
class History:
    """All records of one run."""

    operations: list[Operation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    invocations: list[Invocation] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def of(self, *ops: str) -> Iterator[Operation]:
        """The operations of these kinds."""
        return (operation for operation in self.operations if operation.op in ops)

    def add(self, record: Any) -> None:
        """Append a record to the list of its kind."""
        getattr(self, _LISTS[type(record).__name__]).append(record)

    def lines(self) -> Iterator[str]:
        """One line of JSON per record."""
        for name in _LISTS.values():
            for record in getattr(self, name):
                yield json.dumps({"record": type(record).__name__, **dataclasses.asdict(record)})

    def write(self, path: Path) -> None:
        """Write all records to a file."""
        path.write_text("".join(line + "\n" for line in self.lines()))

    @classmethod
    def read(cls, paths: Iterable[Path]) -> History:
        """What several recorders have written, as one history ordered by time."""
        history = cls()
        for path in paths:
            for line in path.read_text().splitlines():
                history.add(_record(json.loads(line)))
        for name in _LISTS.values():
            getattr(history, name).sort(key=_time)
        return history


_LISTS = {
    "Operation": "operations",
    "Event": "events",
    "Invocation": "invocations",
    "Notice": "notices",
    "Ending": "endings",
    "Fault": "faults",
    "Gap": "gaps",
    "Sample": "samples",
}
_CLASSES = {each.__name__: each for each in (Operation, Event, Invocation, Notice, Ending, Fault, Gap, Sample)}


def _record(fields: dict[str, Any]) -> Any:
    record = _CLASSES[fields.pop("record")](**fields)
    if isinstance(record, Fault):
        record.nodes, record.clients = tuple(record.nodes), tuple(record.clients)
        record.links = tuple((one, two) for one, two in record.links)
    return record


def _time(record: Any) -> float:
    for name in ("time", "invoke", "begin"):
        if hasattr(record, name):
            time: float = getattr(record, name)
            return time
    raise AssertionError(f"{record} has no time")


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """A promise that was not kept: the rule (P1 ...), when, and what happened."""

    time: float
    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.time:.4f} {self.rule}: {self.sentence}"
