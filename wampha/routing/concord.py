"""Whether all nodes run the same configuration.

Each node knows its own fingerprint, and asks the others for theirs: when they come up, and when its own has changed.
The question carries the asker's, so both know after it. Nodes that differ for a moment are no news: a change is made
on one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from wampha.counters import Counters
from wampha.errors import Unavailable
from wampha.routing.gather import Gather, Gathered, Question
from wampha.routing.ports import Clock, Ledger
from wampha.state.commands import Owner

DIFFERS_S: Final = 10.0  # for so long nodes may differ before somebody is told
_LOOK_S: Final = 0.5
_AGAIN_S: Final = (1.0, 60.0)  # between questions to a node that does not answer: at first, and at most

SECRETS: Final = "secrets"  # the part of a fingerprint that is compared, and shown nowhere
_SHOWN_BYTES: Final = 8

Differing = Mapping[str, Sequence[str]]  # node -> the parts of its configuration that are not as here


class ConfigurationOf(Question, frozen=True):
    """Which configuration do you run? This is the asker's."""

    asker: Owner
    mine: dict[str, str]


class Concord:
    """What one node knows of the configurations of all."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        gather: Gather,
        clock: Clock,
        counters: Counters,
        linked: Callable[[str], bool],
        told: Callable[[Differing], None],
    ) -> None:
        """`linked`: whether there is a link to a node; nobody is asked for whom a question would have to wait.

        `told` is called when nodes have differed for DIFFERS_S, and with nothing when they agree again."""
        self._ledger: Final = ledger
        self._gather: Final = gather
        self._clock: Final = clock
        self._counters: Final = counters
        self._linked: Final = linked
        self._told: Final = told
        self._own: dict[str, str] = {}  # part of the configuration -> its digest; empty: nobody asks
        self._others: Final[dict[Owner, dict[str, str]]] = {}
        self._waits: Final[dict[Owner, tuple[float, float]]] = {}  # who is to be asked: when, and how long after that
        self._look_at = clock.now()
        self._differ_since: float | None = None
        self._telling = False  # that they differ has been told
        gather.answer(ConfigurationOf, self._asked, answers=dict[str, str])

    def hold(self, fingerprint: Mapping[str, str]) -> None:
        """This is the node's own from now on."""
        self._own = dict(fingerprint)
        self._waits.clear()
        self._waits.update(dict.fromkeys(self._neighbours(), (self._clock.now(), _AGAIN_S[0])))

    def of(self, owner: Owner) -> Mapping[str, str]:
        """The fingerprint of a node; empty if it is not known."""
        return self._own if owner == self._ledger.owner else self._others.get(owner, {})

    def status(self) -> dict[str, Any]:
        """For people: the digest of this node's configuration, and who runs another one."""
        return {"digest": shown(self._own), "differing": self.differing()}

    def differing(self) -> Differing:
        """The nodes whose configuration is known and not as here."""
        found = {}
        for owner, theirs in self._others.items():
            if parts := [part for part in {**self._own, **theirs} if theirs.get(part) != self._own.get(part)]:
                found[owner.name] = parts
        return found

    def ticked(self) -> None:
        """Ask who is to be asked; tell who differs, if it is time."""
        now = self._clock.now()
        if not self._own or now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        self._keep_up(now)
        for owner, (at, wait_s) in list(self._waits.items()):
            if at <= now and self._linked(owner.name):
                self._waits[owner] = (now + wait_s, min(2 * wait_s, _AGAIN_S[1]))
                self._ask(owner)
        self._judge(now)

    def _neighbours(self) -> list[Owner]:
        return [owner for owner in self._ledger.tables.up if owner != self._ledger.owner]

    def _keep_up(self, now: float) -> None:
        """Forget who is gone, and ask who is new."""
        neighbours = self._neighbours()
        for table in (self._others, self._waits):
            for owner in [owner for owner in table if owner not in neighbours]:
                table.pop(owner)
        for owner in neighbours:
            if owner not in self._others:
                self._waits.setdefault(owner, (now, _AGAIN_S[0]))

    def _ask(self, owner: Owner) -> None:
        question = ConfigurationOf(self._ledger.owner, self._own)
        try:
            self._gather.ask(question, partial(self._answered, owner, self._own), nodes=(owner,))
        except Unavailable:
            return  # it is asked again

    def _answered(self, owner: Owner, mine: dict[str, str], gathered: Gathered) -> None:
        theirs = gathered.answers.get(owner)
        if theirs is not None:
            self._others[owner] = theirs
            if mine is self._own:
                self._waits.pop(owner, None)

    def _asked(self, question: ConfigurationOf) -> dict[str, str]:
        if question.asker != self._ledger.owner:
            self._others[question.asker] = question.mine
        return self._own

    def _judge(self, now: float) -> None:
        differing = self.differing()
        if not differing:
            self._differ_since = None
            if self._telling:
                self._telling = False
                self._told({})
        elif self._differ_since is None:
            self._differ_since = now
        elif not self._telling and now - self._differ_since >= DIFFERS_S:
            self._telling = True
            self._counters.add("config_differences")
            self._told(differing)


def shown(fingerprint: Mapping[str, str]) -> str | None:
    """One digest of all that is no secret; None of nothing."""
    if not fingerprint:
        return None
    text = "".join(f"{part}={digest}\n" for part, digest in sorted(fingerprint.items()) if part != SECRETS)
    return hashlib.blake2b(text.encode(), digest_size=_SHOWN_BYTES).hexdigest()
