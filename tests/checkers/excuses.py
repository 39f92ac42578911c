"""What may keep a promise from being kept: faults that touch exactly those concerned, and announced gaps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.checkers.history import ENDED, KILLED, LEFT, VANISHED, Ending, Fault, History

RECOVERY_S = 6.0  # from the end of a fault until all is well: D, or an election and a founding's first steps
NOTICE_S = 4.0  # until a lost link is noticed at the latest: silence of 2.5 s, and a stopped process in between
DEATH_S = 4.5  # silence for which a node may be declared dead: D, by a clock that is fast
BLAME_S = 15.0  # how long after its end a fault may still cost a session: founding takes its time


class Excuses:
    """Faults and gaps of a history, by whom they touch."""

    def __init__(self, history: History, *, gaps_excuse: bool = True) -> None:
        """`gaps_excuse`: whether an announced gap excuses loss; False where none may occur."""
        self._gaps_excuse = gaps_excuse
        self.faults = sorted(history.faults, key=lambda fault: fault.begin)
        self.endings = {ending.session: ending for ending in history.endings}
        self._over = {**dict(self._kills(history)), **dict(self._deaths(history))}
        self._gaps: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for gap in history.gaps:
            self._gaps[gap.source, gap.target].append((gap.begin, gap.end))
        self._touching: dict[tuple[str, ...], list[Fault]] = {}

    # ---- faults

    def touching(self, *whom: str) -> list[Fault]:
        """The faults of these nodes and clients, and of the links between any two of them, by their beginning."""
        found = self._touching.get(whom)
        if found is None:
            found = self._touching[whom] = [fault for fault in self.faults if touches(fault, whom)]
        return found

    def settled(self, time: float, faults: Iterable[Fault], patience_s: float = 1.0) -> float:
        """When what began at `time` must be over: after `patience_s`, or when the faults since have been recovered."""
        limit = time + patience_s
        for fault in faults:
            if fault.end + RECOVERY_S < time:
                continue
            if fault.begin > limit:
                break
            limit = max(limit, fault.end + RECOVERY_S)
        return limit

    def disturbed_s(self, begin: float, end: float) -> float:
        """Seconds between these times in which something was wrong somewhere."""
        total, covered = 0.0, begin
        for fault in self.faults:
            until = min(fault.end, end)
            total += max(0.0, until - max(fault.begin, covered))
            covered = max(covered, until)
        return total

    def any_fault(self, begin: float, end: float) -> bool:
        """Whether anything was wrong in that time."""
        return any(fault.begin <= end and fault.end >= begin for fault in self.faults)

    def node_died(self, node: str, begin: float, end: float) -> bool:
        """Whether the cluster may have given the node up in that time, and with it what it had not sent yet.

        The node's sessions show it, those that were open; so does a fault of the node that lasts long enough.
        """
        shown = any(
            ending.node == node and begin <= ending.time <= end and self.involuntary(ending.session)
            for ending in self.endings.values()
        )
        faults = (fault for fault in self.touching(node) if fault.begin <= end and fault.end >= begin)
        return shown or any(fault.end - fault.begin >= DEATH_S for fault in faults)

    # ---- gaps

    def gap(self, source: str, target: str, begin: float, end: float) -> bool:
        """Whether either node has announced that what the one sent the other around that time was lost."""
        if not self._gaps_excuse:
            return False
        return any(lost - NOTICE_S <= end and back >= begin for lost, back in self._gaps[source, target])

    # ---- sessions

    def end(self, session: int) -> float:
        """When the session ended for its client."""
        ending = self.endings.get(session)
        return math.inf if ending is None else ending.time

    def over(self, session: int) -> float:
        """When it was over: with its node's process at the latest, which a silent client hears of much later."""
        return self._over.get(session, self.end(session))

    def _kills(self, history: History) -> Iterator[tuple[int, float]]:
        """Sessions that another client ended, from when it asked for that."""
        for kill in reversed(list(history.of("kill"))):
            ending = self.endings.get(kill.id)
            if ending is not None and ending.reason == KILLED and kill.invoke <= ending.time:
                yield kill.id, kill.invoke

    def _deaths(self, history: History) -> Iterator[tuple[int, float]]:
        deaths = [fault for fault in self.faults if fault.kind in ("kill", "power")]
        for join in history.of("join"):
            end = self.end(join.session)
            joined = end if join.returned is None else join.returned
            died = (fault.begin for fault in deaths if join.node in fault.nodes and joined < fault.begin < end)
            first = next(died, None)
            if first is not None:
                yield join.session, first

    def held(self, session: int) -> float:
        """Until when the session's node may have kept it: longer than its client, if that only stopped to read."""
        ending = self.endings.get(session)
        return self.end(session) if ending is None or ending.held_until is None else ending.held_until

    def doubtful_from(self, session: int, node: str, client: str, since: float) -> float:
        """From when on the cluster may hold the session, open since then, for ended.

        Whoever leaves a node that is stopped or cut off cannot know that the cluster has given it up long before.
        """
        ending = self.endings.get(session)
        if ending is None:
            return math.inf
        earliest = ending.time - (BLAME_S if self.involuntary(session) else RECOVERY_S)
        blamed = [fault.begin for fault in self.touching(node, client) if fault.end >= earliest]
        blamed += [fault.begin for fault in self.faults if fault.end >= earliest and _on_a_link_of(fault, node)]
        return max(since, min([self.over(session), *(begin for begin in blamed if begin <= ending.time)]))

    def involuntary(self, session: int) -> Ending | None:
        """The ending, if it was neither the client's wish nor the test's."""
        ending = self.endings.get(session)
        return None if ending is None or ending.cause in (LEFT, VANISHED, ENDED) else ending


def touches(fault: Fault, whom: tuple[str, ...]) -> bool:
    """Whether a fault concerns one of these, or a link between two of them."""
    if any(each in whom for each in fault.nodes) or any(each in whom for each in fault.clients):
        return True
    return any(one in whom and two in whom for one, two in fault.links)


def _on_a_link_of(fault: Fault, node: str) -> bool:
    return any(node in link for link in fault.links)
