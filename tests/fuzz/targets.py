"""What is fuzzed: one target for each wire format. A target takes any bytes, and raises for what must not happen.

What strangers send arrives at the core itself, by the production path. Where a stream is cut into chunks is the first
octet of such an input: 0 for not at all, else the length of each chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from tests.fuzz.clients import rawsocket, rawsocket_seeds, websocket, websocket_opening, websocket_seeds
from tests.fuzz.links import acceptor, data_frames, data_seeds, dialer, handshake_seeds
from tests.fuzz.records import commands, commands_seeds, control, control_seeds, pieces, pieces_seeds
from tests.support.wire import ENCODE, Wire
from tests.unit.messages.test_fuzz import SEEDS, judge
from wampha.messages.payload import Family

Check = Callable[[bytes], bool]


@dataclass(frozen=True, kw_only=True)
class Target:
    """`check` gives whether the input was taken for something; `seeds` are what mutations begin with."""

    about: str
    check: Check
    seeds: Callable[[], list[bytes]]
    bytes_max: int = field(default=4096)  # longer inputs are not tried


def _messages(family: Family) -> Target:
    return Target(
        about=f"a message of a client in {family.name}, and the same payload for clients of all formats",
        check=partial(judge, Wire(), family),
        seeds=lambda: [ENCODE[family](message) for message in SEEDS],
    )


TARGETS: Final[dict[str, Target]] = {
    "json": _messages(Family.JSON),
    "msgpack": _messages(Family.MSGPACK),
    "cbor": _messages(Family.CBOR),
    "rawsocket": Target(
        about="a RawSocket client from its first octet to the core",
        check=rawsocket,
        seeds=rawsocket_seeds,
    ),
    "websocket-opening": Target(
        about="an HTTP request on the port for clients",
        check=websocket_opening,
        seeds=lambda: websocket_seeds(opening=True),
    ),
    "websocket": Target(
        about="frames of an open WebSocket, to the core",
        check=websocket,
        seeds=lambda: websocket_seeds(opening=False),
    ),
    "link-acceptor": Target(
        about="a stranger on the port for other nodes",
        check=acceptor,
        seeds=handshake_seeds,
    ),
    "link-dialer": Target(
        about="what answers at the address of another node",
        check=dialer,
        seeds=handshake_seeds,
    ),
    "link-data": Target(
        about="a proven data link, to the core",
        check=data_frames,
        seeds=data_seeds,
    ),
    "ledger": Target(
        about="a frame of the control link",
        check=control,
        seeds=control_seeds,
    ),
    "log": Target(
        about="entries of the log, applied to the tables",
        check=commands,
        seeds=commands_seeds,
    ),
    "snapshot": Target(
        about="pieces of a snapshot, and the tables that they make",
        check=pieces,
        seeds=pieces_seeds,
    ),
}


class LoggedFailure(AssertionError):
    """An input made something log a failure."""


@dataclass
class Watch:
    """Runs inputs, and turns failures in the log into exceptions: what is caught and logged is wrong all the same."""

    failures: list[str] = field(default_factory=list)

    def __call__(self, event: dict[str, Any]) -> None:
        """An observer of Twisted's log."""
        failure = event.get("log_failure")
        if failure is not None:
            self.failures.append(failure.getTraceback())

    def run(self, target: Target, data: bytes) -> bool:
        """Whether the input was taken for something; raises for what must not happen."""
        taken = target.check(data)
        if self.failures:
            failures, self.failures[:] = "\n".join(self.failures), []
            raise LoggedFailure(failures)
        return taken
