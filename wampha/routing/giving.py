"""Sessions that leave for another node, because their client came back there (`estate.py`, `arrival.py`).

    GIVEN    frozen: its events wait here, and at the new home too as soon as its rows stand there
    PASSING  everybody is asked whether all is through that may have been sent to this node alone
    CUT      it is no session of this node any more; the new home fetches what has waited

Nothing is lost: whoever publishes after its node has applied the new home's row sends the event to both. Nothing comes
twice: the new home knows publications by their ids.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final

from wampha.counters import Counters
from wampha.errors import Unavailable
from wampha.routing.estate import (
    Answer,
    CutSession,
    Estate,
    Followed,
    LeaveSession,
    Offered,
    Piece,
    RestOfSession,
    TakeSession,
    write,
)
from wampha.routing.gather import Gather
from wampha.routing.passage import Passage
from wampha.routing.ports import Cancellable, Clock, Ledger
from wampha.routing.replies import refusal
from wampha.routing.resumption import Key, Resumption, Resumptions
from wampha.routing.session import Session
from wampha.state.commands import Owner

_PIECE_BYTES_MAX: Final = 256 * 1024  # of a session's messages in one answer
_SILENCE_S: Final = 5.0  # after which a new home has given up
_KEEPING_S: Final = 0.01  # until it is looked again whether its publications have left
_MOVED_MAX: Final = 10_000  # sessions of which is remembered where they went, for a client whose WELCOME was lost


class _Stage(enum.Enum):
    GIVEN = 0
    PASSING = 1
    CUT = 2


class _Giving:
    """One session on its way."""

    __slots__ = ("estate", "out", "resumption", "stage", "start", "taker", "timer", "used")

    def __init__(self, resumption: Resumption, used: Key, taker: Owner, estate: Estate) -> None:
        self.resumption: Final = resumption
        self.used: Final = used
        self.taker: Final = taker
        self.estate: Final = estate
        self.stage = _Stage.GIVEN
        self.out: Final = bytearray()  # written, and perhaps sent, but not known to have arrived
        self.start = 0  # bytes before those
        self.timer: Cancellable | None = None


class Givings:
    """All sessions that leave this node, and where those are that have left."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        gather: Gather,
        passage: Passage,
        clock: Clock,
        counters: Counters,
        sessions: Mapping[int, Session],
        resumptions: Resumptions,
        arriving: Callable[[int], bool],
        supersede: Callable[[Resumption], None],
        cut: Callable[[Session], None],
        end: Callable[[Session, str, str], None],
    ) -> None:
        """`arriving`: whether a session is on its way here; `supersede` closes a session's connection.

        `cut` makes it none of this node, `end` ends it for all.
        """
        self._ledger: Final = ledger
        self._passage: Final = passage
        self._clock: Final = clock
        self._counters: Final = counters
        self._sessions: Final = sessions
        self._resumptions: Final = resumptions
        self._arriving: Final = arriving
        self._supersede: Final = supersede
        self._cut_off: Final = cut
        self._end: Final = end
        self._givings: Final[dict[int, _Giving]] = {}  # by session id
        self._moved: Final[dict[int, Owner]] = {}  # session id -> where it went, oldest first
        gather.answer(TakeSession, self._take, answers=Answer)
        gather.answer(CutSession, self._cut, answers=bool)
        gather.answer(RestOfSession, self._rest, answers=Piece)
        gather.answer(LeaveSession, self._left, answers=bool)

    def moved_to(self, session: int) -> Owner | None:
        """Where a session went that was here."""
        return self._moved.get(session)

    def arrived(self, session: int) -> None:
        """A session is here again."""
        self._moved.pop(session, None)

    def clear(self) -> None:
        """This node's incarnation has ended."""
        for giving in list(self._givings.values()):
            self._forget(giving)

    # ---- what the new home asks

    def _take(self, ask: TakeSession) -> Answer:
        session = self._sessions.get(ask.session)
        if session is None or session.realm != ask.realm:
            return Answer(elsewhere=self._moved.get(ask.session), busy=self._arriving(ask.session))
        resumption = session.resumption
        used = resumption.opened_by(ask.digest) if resumption is not None else None
        if resumption is None or used is None:
            return Answer()
        if resumption.given or not self._ledger.serving():
            return Answer(busy=True)
        if ask.session in self._givings:  # it has been back
            self._forget(self._givings[ask.session])
        self._supersede(resumption)
        self._resumptions.give(resumption)
        for undecided in list(session.undecided):
            error = Unavailable("The session moves to another node; ask again there.")
            session.client.send(refusal(undecided.code, undecided.request, error))
            undecided.withdraw()
        giving = _Giving(resumption, used, ask.taker, _estate_of(session, resumption, used))
        self._givings[session.id] = giving
        self._wait(giving)
        return Answer(estate=giving.estate)

    def _cut(self, ask: CutSession) -> bool:
        giving = self._standing(ask.session)
        if giving is None:
            return False
        self._wait(giving)
        if giving.stage is _Stage.GIVEN:
            giving.stage = _Stage.PASSING
            self._wait_for_all(giving)
        return True

    def _rest(self, ask: RestOfSession) -> Piece:
        giving = self._givings.get(ask.session)
        if giving is None or giving.stage is not _Stage.CUT:
            return Piece(ready=False, last=giving is None)
        self._wait(giving)
        line, out = giving.resumption.line, giving.out
        del out[: ask.start - giving.start]
        giving.start = ask.start
        while len(out) < _PIECE_BYTES_MAX and line.held:
            out += write(line.take())
        data = bytes(out[:_PIECE_BYTES_MAX])
        last = not line.held and len(data) == len(out)
        return Piece(True, data, last, line.dropped - giving.used.dropped)

    def _left(self, ask: LeaveSession) -> bool:
        giving = self._standing(ask.session)
        if giving is not None:
            self._give_up(giving)
        return giving is not None

    # ---- one session

    def _standing(self, session: int) -> _Giving | None:
        """The giving of this session, unless the session has ended before it was cut."""
        giving = self._givings.get(session)
        if giving is None or giving.stage is _Stage.CUT or giving.resumption.session.open:
            return giving
        self._forget(giving)
        return None

    def _wait_for_all(self, giving: _Giving) -> None:
        """For what others sent to the session, and until they have what it published (P3)."""
        session = giving.resumption.session
        if self._standing(session.id) is not giving:
            return
        if session.outgoing is not None:  # an event of its own is being kept, and others wait behind it
            self._clock.call_later(_KEEPING_S, self._wait_for_all, giving)
        else:
            self._passage.wait(lambda: self._standing(session.id) is giving, lambda: self._passed(giving))

    def _passed(self, giving: _Giving) -> None:
        giving.stage = _Stage.CUT
        session = giving.resumption.session
        self._cut_off(session)
        self._resumptions.handed_over(giving.resumption)
        self._remember(session.id, giving.taker)

    def _remember(self, session: int, taker: Owner) -> None:
        self._counters.add("sessions_moved")
        if len(self._moved) >= _MOVED_MAX:
            del self._moved[next(iter(self._moved))]
        self._moved[session] = taker

    def _wait(self, giving: _Giving) -> None:
        """Begin to wait for the next question anew."""
        if giving.timer is not None:
            giving.timer.cancel()
        giving.timer = self._clock.call_later(_SILENCE_S, self._give_up, giving)

    def _give_up(self, giving: _Giving) -> None:
        """Nobody asks any more. What was cut is at its new home, or lost with it; everything else waits on here."""
        stage, resumption = giving.stage, giving.resumption
        self._forget(giving)
        if stage is _Stage.CUT:
            return
        session = resumption.session
        if not session.open:
            return
        if all(offered.id in session.registrations for offered in giving.estate.registrations):
            self._resumptions.keep(resumption)
        else:
            self._end(session, Unavailable.uri, "The session was lost on its way to another node.")

    def _forget(self, giving: _Giving) -> None:
        del self._givings[giving.resumption.session.id]
        if giving.timer is not None:
            giving.timer.cancel()
        if giving.stage is _Stage.CUT:
            giving.resumption.line.end()


def _estate_of(session: Session, resumption: Resumption, used: Key) -> Estate:
    line = resumption.line
    unsent = line.unsent_invocations()
    return Estate(
        grant=session.grant,
        subscriptions=[
            Followed(each.key.match, each.key.uri, number, each.points.get(session, 0))
            for number, each in session.subscriptions.items()
        ],
        registrations=[
            Offered(
                offer.key.match,
                offer.key.uri,
                number,
                offer.discloses,
                offer.terms.policy,
                offer.terms.concurrency,
                offer.terms.repeatable,
            )
            for number, offer in session.registrations.items()
        ],
        invoked=min(unsent, default=session.invoked + 1) - 1,
        sent=line.sent - used.sent,
        dropped=line.dropped - used.dropped,
    )
