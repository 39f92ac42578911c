"""The control links of one node: frames of the ledger, by the peer's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from wampha.cluster.carriers import ControlCarrier
from wampha.cluster.link import Link, State
from wampha.counters import Counters
from wampha.limits import Limits

_EARLY_MAX: Final = 100  # frames of a peer before its data link is up: some ten seconds of pings


@dataclass
class _Line:
    """The control link that counts, and what it carries."""

    link: Link
    carrier: ControlCarrier
    up: bool = False  # what comes is handed over at once
    early: list[bytes] = field(default_factory=list)  # and what has come before


class ControlLinks:
    """Sends frames, and hands over those of peers that are up: a peer may see that a moment before this node."""

    def __init__(
        self,
        *,
        limits: Limits,
        counters: Counters,
        on_frame: Callable[[str, bytes], None],
        on_written: Callable[[], None],
    ) -> None:
        """`on_frame(name, data)` hands a frame over; `on_written`: there is something to flush."""
        self._limits: Final = limits
        self._counters: Final = counters
        self._on_frame: Final = on_frame
        self._on_written: Final = on_written
        self._lines: Final[dict[str, _Line]] = {}  # peer -> its control link
        self._unflushed: Final[dict[Link, None]] = {}

    def opened(self, name: str, link: Link) -> None:
        """`link` is proven, and carries the frames between that peer and this node from now on."""
        carrier = ControlCarrier(lambda data: self._received(line, data))
        line = self._lines[name] = _Line(link, carrier)
        link.carry(carrier)

    def up(self, name: str) -> None:
        """The peer is up: its frames are handed over, first those that came before."""
        line = self._lines[name]
        line.up = True
        early, line.early = line.early, []
        for data in early:
            self._on_frame(name, data)

    def closed(self, name: str) -> None:
        """The peer's control link is gone."""
        del self._lines[name]

    def send(self, name: str, data: bytes) -> bool:
        """Queue one frame; False if no link to that peer is there, or it is too long."""
        line = self._lines.get(name)
        if line is None or line.link.state is not State.OPEN or len(data) > self._limits.link_frame_bytes_max:
            return False
        line.carrier.add(data)
        waiting = line.carrier.waiting
        if waiting > self._limits.link_queue_bytes_max:
            self._counters.add("link_queue_resets")
            line.link.break_off(f"it does not read: more than link_queue_bytes_max ({waiting} bytes) wait for it")
            return False
        if line.link not in self._unflushed:
            self._unflushed[line.link] = None
            self._on_written()
        return True

    def waiting(self, name: str) -> int:
        """How many bytes wait to be sent to that peer."""
        line = self._lines.get(name)
        return 0 if line is None else line.carrier.waiting

    def flush(self) -> None:
        """Write what was queued since the last flush."""
        if self._unflushed:
            links = tuple(self._unflushed)
            self._unflushed.clear()
            for link in links:
                link.flush()

    def _received(self, line: _Line, data: bytes) -> None:
        if line.up:
            self._on_frame(line.link.peer.name, data)
            return
        line.early.append(data)
        if len(line.early) > _EARLY_MAX:
            line.link.break_off("its data link does not come up")
