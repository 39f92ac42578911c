"""What is done to a cluster, written down as faults for the checkers."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from tests.chaos.nodes import HostCluster, HostNode
from tests.checkers.history import Fault, Gap, History

_MARGIN_S: Final = 1.0  # a line may be written later than what it tells of
_LINK_LINE: Final = re.compile(
    r"^(\S+) \[\S+\] (?:data link to ([\w.-]+) .*?is (up|down)|.* frames?\S* .*?(to|from) ([\w.-]+) are lost: .*)$",
    re.MULTILINE,
)


class Nemesis:
    """Breaks a cluster and mends it; each fault lasts until it is mended."""

    def __init__(self, cluster: HostCluster) -> None:
        self.cluster: Final = cluster
        self.history: Final = History()

    # ---- nodes

    def kill(self, node: HostNode) -> float:
        """SIGKILL; gives the time."""
        now = time.monotonic()
        node.kill()
        self.history.add(Fault("kill", now, math.inf, (node.name,)))
        return now

    def start(self, node: HostNode) -> None:
        """Start a node that was killed or has left, and do not wait for it."""
        node.launch()
        self._end_of(node.name, ("kill", "leave"))

    def leave(self, node: HostNode) -> float:
        """SIGTERM; gives the time and does not wait."""
        now = time.monotonic()
        self.history.add(Fault("leave", now, math.inf, (node.name,)))
        node.ask_to_end()
        return now

    def pause(self, node: HostNode) -> float:
        """SIGSTOP; gives the time."""
        now = time.monotonic()
        self.history.add(Fault("stop", now, math.inf, (node.name,)))
        node.pause()
        return now

    def resume(self, node: HostNode) -> float:
        """SIGCONT; gives the time."""
        node.resume()
        self._end_of(node.name, ("stop",))
        return time.monotonic()

    def _end_of(self, name: str, kinds: tuple[str, ...]) -> None:
        for fault in self.history.faults:
            if fault.kind in kinds and name in fault.nodes and fault.end == math.inf:
                fault.end = time.monotonic()

    # ---- the network

    def isolate(self, minority: Iterable[HostNode]) -> float:
        """Let nothing pass between the minority and the rest; gives the time."""
        names = tuple(node.name for node in minority)
        rest = [node.name for node in self.cluster if node.name not in names]
        began = time.monotonic()
        links = tuple(pair for one in names for two in rest for pair in ((one, two), (two, one)))
        self.history.add(Fault("cut", began, math.inf, links=links))
        self.cluster.network.part(names, rest)
        # Setting the rules takes a moment, in which some messages pass and some do not: the minority is one after it.
        self.history.add(Fault("isolate", time.monotonic(), math.inf, names))
        return began

    def cut(self, *pairs: tuple[str, str]) -> float:
        """Let nothing pass from the first to the second of each pair; gives the time."""
        now = time.monotonic()
        self.history.add(Fault("cut", now, math.inf, links=pairs))
        self.cluster.network.cut(*pairs)
        return now

    def lose(self, share: float, *pairs: tuple[str, str]) -> float:
        """Lose this share of the packets from the first to the second of each pair; gives the time."""
        now = time.monotonic()
        self.history.add(Fault("slow", now, math.inf, links=pairs))
        self.cluster.network.lose(share, *pairs)
        return now

    def heal(self) -> float:
        """Undo all that was done to the network; gives the time."""
        self.cluster.network.heal()
        now = time.monotonic()
        for fault in self.history.faults:
            if fault.kind in ("isolate", "cut", "slow") and fault.end == math.inf:
                fault.end = now
        return now

    @contextlib.contextmanager
    def healed(self) -> Iterator[None]:
        """Whatever happens within, the network is whole after it."""
        try:
            yield
        finally:
            self.heal()

    # ---- what the nodes announced

    def record_gaps(self) -> None:
        """Write down the gaps that nodes announced, each from the loss of the link until it was up again.

        Their logs tell seconds, so a gap is a second wider on each side.
        """
        told = {node.name: _told_of_links(node) for node in self.cluster}
        for name, lines in told.items():
            for at, peer, what in lines:
                if what not in ("to", "from"):
                    continue
                source, target = (name, peer) if what == "to" else (peer, name)
                downs = [_last(told[one], two, "down", at) for one, two in ((name, peer), (peer, name)) if one in told]
                ups = [later for later, other, state in lines if (other, state) == (peer, "up") and later >= at]
                self.history.add(Gap(source, target, min([at, *downs]) - _MARGIN_S, min(ups, default=at) + _MARGIN_S))


def _told_of_links(node: HostNode) -> list[tuple[float, str, str]]:
    """What a log says of data links: when, peer, and `up`, `down`, or that frames `to` or `from` it are lost."""
    return [
        (_monotonic(stamp), peer or other, state or way)
        for stamp, peer, state, way, other in _LINK_LINE.findall(node.log())
    ]


def _last(lines: list[tuple[float, str, str]], peer: str, state: str, before: float) -> float:
    return max((at for at, other, what in lines if (other, what) == (peer, state) and at <= before), default=before)


def _monotonic(stamp: str) -> float:
    """A log's stamp (of the wall clock, which a test machine does not step) as `time.monotonic()`."""
    return datetime.fromisoformat(stamp).timestamp() - time.time() + time.monotonic()
