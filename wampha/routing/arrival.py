"""Sessions that come from another node, because their client came back here (`estate.py`, `giving.py`).

Its subscriptions and registrations are made here before they go there, by the ordinary barrier (rule 22); events wait
meanwhile, as they do at the old home. What waited there comes first, and no publication twice. Then WELCOME.

From the moment at which the old home has cut the session, it belongs here, whatever becomes of the client.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from wampha.counters import Counters
from wampha.errors import SessionRefused, Unavailable
from wampha.routing.estate import Answer, CutSession, Estate, LeaveSession, Piece, Reader, RestOfSession, TakeSession
from wampha.routing.features import ClientFeatures
from wampha.routing.gather import Gather, Gathered, Question
from wampha.routing.passage import Passage
from wampha.routing.ports import Cancellable, Clock, Ledger
from wampha.routing.realm import Realm
from wampha.routing.resumption import Permitting, Resumption, Resumptions, digest_of, home_of, no_such_session
from wampha.routing.session import Session
from wampha.state.commands import Owner

if TYPE_CHECKING:
    from wampha.routing.conversation import Conversation

_ARRIVALS_MAX: Final = 50  # at once; each may hold twice what may wait for a session
_HOPS_MAX: Final = 3  # nodes that are asked one after the other where a session is
_POLL_S: Final = 0.01  # until the old home is asked again
_CUT_MAX_S: Final = 30.0  # for the old home to end what it gave
_TRY_AGAIN: Final = "The session could not be brought here from its node; try again."


class Arrival:
    """One session on its way."""

    __slots__ = (
        "conversation",
        "cut",
        "hello",
        "hops",
        "lost",
        "messages",
        "owner",
        "reader",
        "realm",
        "resumption",
        "timer",
        "waiting",
    )

    resumption: Resumption  # with its session, once the old home has described it

    def __init__(self, conversation: Conversation, hello: Any, realm: Realm, owner: Owner) -> None:
        self.conversation: Final = conversation
        self.hello: Final = hello
        self.realm: Final = realm
        self.owner = owner  # who is asked
        self.hops = 1
        self.waiting = 0  # rows that do not stand yet
        self.lost: list[int] = []  # registrations that somebody else took meanwhile
        self.cut = False  # whether the old home has been told to end it
        self.reader: Final = Reader()
        self.messages: list[Any] = []  # what waited there
        self.timer: Cancellable | None = None


class Arrivals:
    """All sessions that are on their way to this node."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        gather: Gather,
        passage: Passage,
        clock: Clock,
        counters: Counters,
        resumptions: Resumptions,
        decide_timeout_s: float,
        permissions: Permitting,
        landed: Callable[[Arrival, Any], None],
    ) -> None:
        """`landed(arrival, used key)`: the session is one of this node from now on."""
        self._ledger: Final = ledger
        self._gather: Final = gather
        self._passage: Final = passage
        self._clock: Final = clock
        self._counters: Final = counters
        self._resumptions: Final = resumptions
        self._decide_timeout_s: Final = decide_timeout_s
        self._permissions: Final = permissions
        self._landed: Final = landed
        self._arrivals: Final[dict[int, Arrival]] = {}  # by session id

    def __contains__(self, session: int) -> bool:
        """Whether the session of this id is on its way here."""
        return session in self._arrivals

    def begin(self, conversation: Conversation, hello: Any, realm: Realm, moved_to: Owner | None) -> None:
        """Look for the session at its node; the conversation is told what came of it, in a later turn.

        Raises SessionRefused if it is known at once that nothing can come of it.
        """
        owner = moved_to or self._living(home_of(hello.resume_token))
        if owner is None or owner == self._ledger.owner:
            self._counters.add("resumptions_refused")
            raise no_such_session()
        if hello.resume_session in self._arrivals or len(self._arrivals) >= _ARRIVALS_MAX:
            raise SessionRefused(Unavailable.uri, _TRY_AGAIN)
        arrival = Arrival(conversation, hello, realm, owner)
        self._arrivals[hello.resume_session] = arrival
        try:
            self._look_for(arrival)
        except Unavailable as error:
            del self._arrivals[hello.resume_session]
            raise SessionRefused(error.uri, error.sentence) from None

    def clear(self) -> None:
        """This node's incarnation has ended, or it stops."""
        for arrival in list(self._arrivals.values()):
            self._drop(arrival)

    def _living(self, name: str) -> Owner | None:
        return next((owner for owner in reversed(self._ledger.tables.up) if owner.name == name), None)

    # ---- asking the old home

    def _look_for(self, arrival: Arrival) -> None:
        hello = arrival.hello
        take = TakeSession(hello.realm, hello.resume_session, digest_of(hello.resume_token), self._ledger.owner)
        self._gather.ask(take, lambda gathered: self._found(arrival, gathered), nodes=(arrival.owner,))

    def _found(self, arrival: Arrival, gathered: Gathered) -> None:
        answer: Answer | None = gathered.answers.get(arrival.owner)
        if not self._wanted(arrival):
            return
        if answer is None or answer.busy:
            self._refuse(arrival, SessionRefused(Unavailable.uri, _TRY_AGAIN))
        elif answer.estate is not None:
            self._settle(arrival, answer.estate)
        elif answer.elsewhere in (None, self._ledger.owner) or arrival.hops >= _HOPS_MAX:
            self._counters.add("resumptions_refused")
            self._refuse(arrival, no_such_session())
        else:
            assert answer.elsewhere is not None
            arrival.owner = answer.elsewhere
            arrival.hops += 1
            try:
                self._look_for(arrival)
            except Unavailable as error:
                self._refuse(arrival, SessionRefused(error.uri, error.sentence))

    def _ask(self, arrival: Arrival, question: Question, then: Callable[[Arrival, Any], None]) -> None:
        """Ask the old home until it answers; it may stand still. If it is dead, the session is lost."""

        def done(gathered: Gathered) -> None:
            answer = gathered.answers.get(arrival.owner)
            if not self._wanted(arrival):
                return
            if answer is not None:
                then(arrival, answer)
            elif arrival.owner in self._ledger.tables.up:
                self._clock.call_later(_POLL_S, self._ask, arrival, question, then)
            else:
                self._fail(arrival)

        if not self._wanted(arrival):
            return
        try:
            self._gather.ask(question, done, nodes=(arrival.owner,))
        except Unavailable:
            self._clock.call_later(_POLL_S, self._ask, arrival, question, then)

    # ---- making it a session of this node

    def _settle(self, arrival: Arrival, estate: Estate) -> None:
        hello, realm = arrival.hello, arrival.realm
        try:
            permissions = self._permissions(realm, hello.resume_session, estate.grant)
        except SessionRefused:
            self._fail(arrival)
            return
        rules = realm.resumption
        if rules is None:  # the configuration has changed meanwhile
            self._fail(arrival)
            return
        resumption = self._resumptions.arrive(rules, realm.slow_clients, digest_of(hello.resume_token), estate.sent)
        resumption.session = session = Session(
            session_id=hello.resume_session,
            realm=realm.name,
            grant=estate.grant,
            permissions=permissions,
            client=resumption.line,
            features=ClientFeatures.of(hello.roles, lenient=realm.lenient),
            resumption=resumption,
        )
        session.invoked = estate.invoked
        arrival.resumption = resumption
        arrival.timer = self._clock.call_later(self._decide_timeout_s, self._fail, arrival)
        arrival.waiting = 1 + len(estate.subscriptions) + len(estate.registrations)
        realm.adopt(session, estate, arrival.owner, partial(self._decided, arrival))
        self._decided(arrival, 0, True)

    def _decided(self, arrival: Arrival, row: int, stands: bool) -> None:
        arrival.waiting -= 1
        if not stands:
            arrival.lost.append(row)
        if not arrival.waiting:
            self._ask(arrival, CutSession(arrival.hello.resume_session), self._cut)

    def _cut(self, arrival: Arrival, known: bool) -> None:
        if not known:
            self._fail(arrival)
            return
        assert arrival.timer is not None, "it runs since the session was described"
        arrival.timer.cancel()
        arrival.timer = self._clock.call_later(_CUT_MAX_S, self._fail, arrival)
        self._fetch(arrival)

    def _fetch(self, arrival: Arrival) -> None:
        self._ask(arrival, RestOfSession(arrival.hello.resume_session, arrival.reader.received), self._fetched)

    def _fetched(self, arrival: Arrival, piece: Piece) -> None:
        if not piece.ready:
            if piece.last:
                self._fail(arrival)
            else:
                self._clock.call_later(_POLL_S, self._fetch, arrival)
            return
        try:
            arrival.messages += arrival.reader.read(piece.data)
        except (ValueError, RecursionError, LookupError):  # msgspec's errors are ValueErrors
            self._fail(arrival)
            return
        if piece.last:
            # Of what the old home got, copies may still be on their way here.
            wanted = partial(self._wanted, arrival)
            self._passage.wait(wanted, lambda: self._land(arrival, piece))
        else:
            self._fetch(arrival)

    def _wanted(self, arrival: Arrival) -> bool:
        return self._arrivals.get(arrival.hello.resume_session) is arrival

    def _land(self, arrival: Arrival, piece: Piece) -> None:
        used, line = arrival.resumption.former, arrival.resumption.line
        assert used is not None, "a session arrives by a token"
        line.precede(arrival.messages)
        if line.ended:  # too much has waited
            self._fail(arrival)
            return
        self._forget(arrival)
        self._ask_no_more(arrival)
        self._landed(arrival, used._replace(dropped=-piece.dropped))

    # ---- the end

    def _refuse(self, arrival: Arrival, refused: SessionRefused) -> None:
        self._forget(arrival)
        arrival.conversation.refused(refused)

    def _fail(self, arrival: Arrival) -> None:
        """Nothing came of it: the old home keeps the session, if there is one and it has not cut it."""
        self._drop(arrival)
        self._ask_no_more(arrival)

    def _ask_no_more(self, arrival: Arrival) -> None:
        try:
            self._gather.ask(LeaveSession(arrival.hello.resume_session), lambda _: None, nodes=(arrival.owner,))
        except Unavailable:
            return  # it notices the silence

    def _drop(self, arrival: Arrival) -> None:
        self._forget(arrival)
        resumption = getattr(arrival, "resumption", None)
        if resumption is not None:
            resumption.session.open = False
            arrival.realm.leave(resumption.session, moves=True)
            resumption.line.end()
        arrival.conversation.refused(SessionRefused(Unavailable.uri, _TRY_AGAIN))

    def _forget(self, arrival: Arrival) -> None:
        del self._arrivals[arrival.hello.resume_session]
        if arrival.timer is not None:
            arrival.timer.cancel()
