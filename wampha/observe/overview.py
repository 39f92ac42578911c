"""The whole cluster as one node sees it: what each node says of itself, and who has not said it in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from wampha.errors import Unavailable
from wampha.routing.gather import Gather, Gathered, Question
from wampha.routing.ports import Cancellable, Clock, Ledger
from wampha.state.commands import Owner

PATIENCE_S: Final = 1.0  # for other nodes to answer; who has not by then is named as missing
NODES_MAX: Final = 100  # that are asked
_FRESH_S: Final = 0.5  # an overview is given again for so long, however many ask


class ReportOf(Question, frozen=True):
    """What does this node tell its operator?"""


class Overview:
    """Asks every member at once. Who asks while an overview is being made is told that one."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        gather: Gather,
        clock: Clock,
        report: Callable[[], dict[str, Any]],
        frame: Callable[[], Mapping[str, Any]],
    ) -> None:
        """`report` is what this node says of itself, `frame` what stands around all reports."""
        self._ledger: Final = ledger
        self._gather: Final = gather
        self._clock: Final = clock
        self._report: Final = report
        self._frame: Final = frame
        self._asking: Final[list[Callable[[dict[str, Any]], None]]] = []
        self._reports: dict[str, dict[str, Any]] = {}
        self._waiting: dict[Owner, None] = {}
        self._missing: dict[str, None] = {}
        self._timer: Cancellable | None = None
        self._round = 0  # number of the present one: answers to an earlier one come too late
        self._last: dict[str, Any] | None = None
        self._last_at = 0.0
        gather.answer(ReportOf, lambda _: report(), answers=dict[str, Any])

    def ask(self, told: Callable[[dict[str, Any]], None]) -> None:
        """Tell the overview, at once or within `PATIENCE_S`."""
        if self._last is not None and self._clock.now() - self._last_at < _FRESH_S:
            told(self._last)
            return
        self._asking.append(told)
        if len(self._asking) == 1:
            self._begin()

    def stop(self) -> None:
        """Wait for nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        own = self._report()
        self._round += 1
        self._reports = {own["name"]: own}
        others = [owner for owner in self._ledger.tables.up if owner.name != own["name"]]
        self._waiting = dict.fromkeys(others[:NODES_MAX])
        self._missing = dict.fromkeys(owner.name for owner in others[NODES_MAX:])
        self._timer = self._clock.call_later(PATIENCE_S, self._end)
        for owner in tuple(self._waiting):
            self._put(owner)
        self._look()

    def _put(self, owner: Owner) -> None:
        this = self._round

        def gathered(answers: Gathered) -> None:
            if this == self._round and self._asking:
                del self._waiting[owner]
                self._reports.update((owner.name, report) for report in answers.answers.values())
                self._missing.update(dict.fromkeys(answers.missing))
                self._look()

        try:
            self._gather.ask(ReportOf(), gathered, nodes=[owner])
        except Unavailable:  # too much is being asked already: who was not asked is missing
            return

    def _look(self) -> None:
        if not self._waiting and self._asking:
            self._end()

    def _end(self) -> None:
        self.stop()
        self._missing.update(dict.fromkeys(owner.name for owner in self._waiting))
        missing = sorted(self._missing.keys() - self._reports.keys())  # else its next life has answered
        self._last = {
            **self._frame(),
            "partial": bool(missing),
            "missing": missing,
            "nodes": [report for _, report in sorted(self._reports.items())],
        }
        self._last_at = self._clock.now()
        asking, self._asking[:] = list(self._asking), []
        for told in asking:
            told(self._last)
