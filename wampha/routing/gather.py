"""Questions to the other nodes: what only a session's home node knows, asked of all at once, with a deadline.

    class Subscribers(Question, frozen=True): ...              # a question is a struct of its own
    gather.answer(Subscribers, answerer, answers=list[int])    # once on each node: who answers it, and by what type
    gather.ask(Subscribers("realm1", 7), done)                 # `done(Gathered)` follows, once

Questions travel over data links, behind all that was forwarded before them; so a large answer delays no heartbeat. A
node that does not know the question (it is older) or is not heard in time is `missing`. One that dies meanwhile is not:
what it alone knew has died with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from wampha.counters import Counters
from wampha.errors import Unavailable
from wampha.limits import Limits
from wampha.messages.relayed import Query, QueryReply
from wampha.routing.ports import Cancellable, Clock, Ledger, Outbox
from wampha.state.commands import Owner


class Question(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The base of every question. Its name is its tag on the wire; later versions may only append fields."""


class _Unheard(Question, frozen=True):
    """Nobody asks this."""


_Asked = TypeVar("_Asked", bound=Question)
_Answer = TypeVar("_Answer")
_encode: Final = msgspec.msgpack.Encoder().encode


class Gathered(NamedTuple):
    """What came of a question: answers by node, in the order in which the nodes came up."""

    answers: Mapping[Owner, Any]
    missing: tuple[str, ...]  # names of living nodes that did not answer in time: the answer is partial

    @property
    def partial(self) -> bool:
        return bool(self.missing)


class _Kind(NamedTuple):
    answerer: Callable[[Any], Any]
    decoder: msgspec.msgpack.Decoder[Any]  # of answers


class _Open:
    """A question that waits for answers."""

    __slots__ = ("answers", "asked", "done", "kind", "missing", "number", "timer", "waiting")

    def __init__(self, number: int, kind: _Kind, asked: tuple[Owner, ...], done: Callable[[Gathered], None]) -> None:
        self.number: Final = number
        self.kind: Final = kind
        self.asked: Final = asked
        self.done: Final = done
        self.waiting: Final = dict.fromkeys(asked)
        self.answers: Final[dict[Owner, Any]] = {}
        self.missing: Final[dict[str, None]] = {}
        self.timer: Cancellable | None = None

    def gathered(self) -> Gathered:
        answers = {owner: self.answers[owner] for owner in self.asked if owner in self.answers}
        return Gathered(answers, tuple(self.missing))


class Gather:
    """All questions that this node has put or is asked."""

    def __init__(self, *, limits: Limits, counters: Counters, clock: Clock, outbox: Outbox, ledger: Ledger) -> None:
        self._limits: Final = limits
        self._counters: Final = counters
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._ledger: Final = ledger
        self._kinds: Final[dict[type[Question], _Kind]] = {}
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_Unheard)  # of every kind of question
        self._open: Final[dict[int, _Open]] = {}  # by number, oldest first
        self._number = 0  # of the last question; never used twice
        self._stopped = False

    # ---- what others of this node call

    def answer(self, kind: type[_Asked], answerer: Callable[[_Asked], _Answer], *, answers: Any) -> None:
        """Let `answerer` answer every question of this kind, those of this node included.

        It answers at once, raises nothing, and gives what MessagePack can write as a value of the type `answers`.
        """
        assert kind not in self._kinds, f"{kind.__name__} is answered by one"
        self._kinds[kind] = _Kind(answerer, msgspec.msgpack.Decoder(answers))
        self._decoder = msgspec.msgpack.Decoder(reduce(or_, self._kinds, _Unheard))

    def ask(
        self, question: Question, done: Callable[[Gathered], None], *, nodes: Iterable[Owner] | None = None
    ) -> None:
        """Ask every living node, this one included, or those of `nodes`; `done` follows within `gather_timeout_s`.

        It is called before this returns if nobody else is asked, and never if this node is fenced or stops. Raises
        Unavailable if too many questions are open.
        """
        if len(self._open) >= self._limits.gathers_max:
            self._counters.add("gathers_refused")
            raise Unavailable("Too many questions to other nodes wait for their answer; try again later.")
        kind = self._kinds[type(question)]
        self._number += 1
        self._counters.add("gathers")
        gathering = _Open(self._number, kind, tuple(self._ledger.tables.up if nodes is None else nodes), done)
        self._open[gathering.number] = gathering
        query = Query(gathering.number, _encode(question))
        for owner in gathering.asked:
            if owner == self._ledger.owner:
                self._take(gathering, owner, kind.answerer(question))
            elif not self._outbox.forward(owner, query):
                self._miss(gathering, owner)
        if self._stopped:
            del self._open[gathering.number]
        elif not self._finish(gathering):
            gathering.timer = self._clock.call_later(self._limits.gather_timeout_s, self._time_out, gathering)

    # ---- what the router tells

    def asked(self, source: Owner, query: Query) -> None:
        """Answer another node's question; one that this release does not know, or whose answer is too long, by none.

        Likewise if much waits for that node already: no client could be made to wait for this.
        """
        if source in self._outbox.behind:
            self._counters.add("gathers_unanswerable")
            answer = None
        else:
            answer = self._answer_of(query.question)
        self._outbox.forward(source, QueryReply(query.number, answer))

    def answered(self, source: Owner, reply: QueryReply) -> None:
        """Another node's answer; nothing happens if it comes too late."""
        gathering = self._open.get(reply.number)
        if gathering is None or source not in gathering.waiting:
            self._counters.add("gathers_late")
            return
        try:
            answer = None if reply.answer is None else (gathering.kind.decoder.decode(reply.answer),)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as that of UTF-8 is
            answer = None
        if answer is None:
            self._miss(gathering, source)
        else:
            self._take(gathering, source, *answer)
        self._finish(gathering)

    def node_lost(self, owner: Owner) -> None:
        """No answer will come from this incarnation."""
        for gathering in list(self._open.values()):
            if owner in gathering.waiting:
                if owner in self._ledger.tables.up:
                    self._miss(gathering, owner)
                else:
                    del gathering.waiting[owner]
                self._finish(gathering)

    def nodes(self) -> list[Owner]:
        """The incarnations that this node waits for."""
        return list(dict.fromkeys(owner for gathering in self._open.values() for owner in gathering.waiting))

    def clear(self) -> None:
        """Nobody waits for answers any more."""
        for gathering in self._open.values():
            if gathering.timer is not None:
                gathering.timer.cancel()
        self._open.clear()

    def stop(self) -> None:
        """The node stops: what is asked from now on is sent, and its answer awaited by nobody."""
        self._stopped = True
        self.clear()

    # ---- one question

    def _take(self, gathering: _Open, owner: Owner, answer: Any) -> None:
        del gathering.waiting[owner]
        gathering.answers[owner] = answer

    def _miss(self, gathering: _Open, owner: Owner) -> None:
        del gathering.waiting[owner]
        gathering.missing[owner.name] = None

    def _time_out(self, gathering: _Open) -> None:
        for owner in list(gathering.waiting):
            self._miss(gathering, owner)
        self._finish(gathering)

    def _finish(self, gathering: _Open) -> bool:
        """Tell what came of it, if nobody is waited for."""
        if gathering.waiting:
            return False
        del self._open[gathering.number]
        if gathering.timer is not None:
            gathering.timer.cancel()
        if gathering.missing:
            self._counters.add("gathers_partial")
        gathering.done(gathering.gathered())
        return True

    def _answer_of(self, data: bytes) -> bytes | None:
        try:
            question = self._decoder.decode(data)
        except (ValueError, RecursionError):
            question = None
        kind = self._kinds.get(type(question))
        answer = b"" if kind is None else _encode(kind.answerer(question))
        if kind is None or len(answer) > self._limits.gather_answer_bytes_max:
            self._counters.add("gathers_unanswerable")
            return None
        return answer
