"""The product with one rule or repair switched off: for each of these some run has to notice (docs/mutants.md).

    python -m tests.simulation.mutants --list
    python -m tests.simulation.mutants --search NAME --seeds 500 --first 0

searches for a seed of `runs.run` that notices; what it prints can be continued with a higher `--first`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Final
from unittest.mock import patch

import msgspec

from tests.simulation import world as world_module
from tests.simulation.runs import run
from wampha.ledger import lease as lease_module
from wampha.ledger.affiliation import Affiliation
from wampha.ledger.certificate import DeathCertificate
from wampha.ledger.constants import Timing
from wampha.ledger.election import Election
from wampha.ledger.engine import Engine
from wampha.ledger.founding import Founding
from wampha.ledger.frames import Answer, Found, Ping, PreVote, PreVoted, Reply, RequestVote, Vote
from wampha.ledger.lease import LeaseBook
from wampha.ledger.member import Member
from wampha.ledger.opening import Note, Openings
from wampha.ledger.options import REPAIRS, Options
from wampha.ledger.peers import Peers
from wampha.ledger.raft import RaftLedger
from wampha.routing.callees import Callees
from wampha.routing.choice import Turns
from wampha.routing.dealer import Dealer
from wampha.routing.rerouting import Refusals
from wampha.routing.rowkinds import REGISTRATIONS, TABLES
from wampha.routing.rows import Rows
from wampha.state.commands import Outcome, Up
from wampha.state.ground import Ground
from wampha.state.members import Members
from wampha.state.registrations import Registrations
from wampha.state.routes import Routes
from wampha.transport.gate import Gate

Off = Callable[[], AbstractContextManager[Any]]
MUTANTS: Final[dict[str, Off]] = {}  # name -> what switches the rule off in the production classes


def _mutant(name: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    def add(off: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        MUTANTS[name] = contextmanager(off)
        return off

    return add


def _replaced(name: str, owner: Any, attribute: str, value: Any) -> None:
    MUTANTS[name] = lambda: patch.object(owner, attribute, value)


def _wrapped(name: str, owner: Any, attribute: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorated function stands in for a method, and gets the original one as its first argument."""

    def add(instead: Callable[..., Any]) -> Callable[..., Any]:
        original = getattr(owner, attribute)

        def method(*args: Any, **kwargs: Any) -> Any:
            return instead(original, *args, **kwargs)

        MUTANTS[name] = lambda: patch.object(owner, attribute, method)
        return instead

    return add


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Does not do it."""


# ---- the engine's repairs

for _repair in sorted(REPAIRS):
    _replaced(f"repair-{_repair}", world_module, "Options", partial(Options, repairs=REPAIRS - {_repair}))

# ---- serving: rules 1-5


@_mutant("1-cached")
def _lease_is_looked_at_once_per_turn() -> Iterator[None]:
    serving, tell = RaftLedger.serving, RaftLedger._tell_serving
    seen: dict[int, bool] = {}

    def look(self: RaftLedger) -> None:
        seen[id(self)] = serving(self)
        tell(self)

    with (
        patch.object(RaftLedger, "serving", lambda self: seen.get(id(self), False)),
        patch.object(RaftLedger, "_tell_serving", look),
    ):
        yield


@_wrapped("2-open-gate", Gate, "__init__")
def _gate_is_always_open(original: Any, self: Gate, **kwargs: Any) -> None:
    original(self, **{**kwargs, "serving": lambda: True})


@_wrapped("3-lease", Callees, "invoke")
def _called_without_a_lease(original: Any, self: Callees, source: Any, invoke: Any) -> None:
    with patch.object(self._ledger, "serving", lambda: True):
        original(self, source, invoke)


@_wrapped("3-session", Callees, "invoke")
def _whoever_offers_it_is_called(original: Any, self: Callees, source: Any, invoke: Any) -> None:
    offers = [offer for key, offer in self._standing.items() if key[0] == invoke.registration]
    offer = offers[0] if offers else None
    original(self, source, msgspec.structs.replace(invoke, callee=offer.session.id) if offer else invoke)


@_wrapped("3-registered", Callees, "invoke")
def _called_before_registered(original: Any, self: Callees, source: Any, invoke: Any) -> None:
    offers = [offer for offer in self._offers if offer.session.id == invoke.callee]
    for offer in offers:
        offer.id = invoke.registration
    with patch.dict(self._standing, {(invoke.registration, invoke.callee): offers[0]} if offers else {}):
        original(self, source, invoke)


_replaced("3-table", Callees, "_owns", lambda self, offer: True)
_replaced("4-suspended", RaftLedger, "_fence_if_suspended_for_long", _nothing)


@_wrapped("4-dead", Affiliation, "fence")
def _who_is_dead_goes_on(original: Any, self: Affiliation, sentence: str) -> None:
    if "dead" not in sentence:
        original(self, sentence)


@_mutant("5-order")
def _leaving_is_no_state() -> Iterator[None]:
    def leave(self: RaftLedger, done: Callable[[], None]) -> None:
        self._membership.leave(self.owner, self.tables, done)

    with patch.object(RaftLedger, "leave", leave):
        yield


# ---- the lease: rules 10-17

_replaced("10-probe", Peers, "_probe", _nothing)


@_wrapped("11-arrival", LeaseBook, "echoed")
def _quorum_time_by_arrival(original: Any, self: LeaseBook, voter: str, stamp: float, now: float) -> None:
    original(self, voter, now, now)


@_wrapped("12-own-lease", Member, "take_office")
def _new_leader_keeps_its_lease(original: Any, self: Member) -> None:
    kept = self.lease_end
    original(self)
    self.lease_end = max(kept, self.lease_end)


_replaced("12-start", LeaseBook, "open", lambda self, now: now >= self._held_until)


@_wrapped("13-applied", LeaseBook, "grant")
def _grant_to_those_who_lag(original: Any, self: LeaseBook, owner: Any, applied: int, *rest: Any) -> Any:
    return original(self, owner, 1 << 60, *rest)


@_wrapped("14-booking", LeaseBook, "grant")
def _grants_are_not_booked(original: Any, self: LeaseBook, owner: Any, *rest: Any) -> Any:
    end = self.bookings[owner].end if owner in self.bookings else -math.inf
    left = original(self, owner, *rest)
    if owner in self.bookings:
        self.bookings[owner].end = end
    return left


@_wrapped("15-arrival", Member, "replied")
def _lease_from_the_arrival_of_the_answer(original: Any, self: Member, reply: Reply, owner: Any) -> Any:
    return original(self, msgspec.structs.replace(reply, sent=self._now()), owner)


@_wrapped("15-match", Member, "replied")
def _lease_of_any_term_and_incarnation(original: Any, self: Member, reply: Reply, owner: Any) -> Any:
    return original(self, msgspec.structs.replace(reply, term=self.engine.term, incarnation=owner.incarnation), owner)


_replaced(
    "16-leader-lease",
    LeaseBook,
    "own_lease_end",
    lambda self, now: self.quorum_time(now) + self._timing.lease_s if self.open(now) else -math.inf,
)
_replaced("17-step-down", LeaseBook, "must_step_down", lambda self, now: False)

# ---- the barrier: rules 20-22


@_wrapped("20a-holders", LeaseBook, "_may_hold")
def _holders_are_not_waited_for(original: Any, self: LeaseBook, owner: Any, tables: Any, now: float) -> Any:
    booking = self.bookings.get(owner)
    return not (booking and booking.end > now) and original(self, owner, tables, now)


@_wrapped("20b-young", LeaseBook, "_may_hold")
def _a_young_leader_waits_for_nobody(original: Any, self: LeaseBook, owner: Any, tables: Any, now: float) -> Any:
    booking = self.bookings.get(owner)
    return owner not in self.dying and booking is not None and booking.end > now


@_wrapped("20c-unwaited", LeaseBook, "_may_hold")
def _the_previous_leader_is_not_waited_for(original: Any, self: LeaseBook, owner: Any, tables: Any, now: float) -> Any:
    previous = owner.name == tables.previous_leader and owner not in self.bookings
    return not previous and original(self, owner, tables, now)


@_wrapped("20c-as-others", LeaseBook, "_may_hold")
def _the_previous_leader_is_waited_for_like_all(
    original: Any, self: LeaseBook, owner: Any, tables: Any, now: float
) -> Any:
    if owner.name == tables.previous_leader and owner not in self.bookings and owner not in self.dying:
        return now - self.since < self._timing.stretched_lease_s
    return original(self, owner, tables, now)


@_wrapped("21-falls", LeaseBook, "advance")
def _claims_may_fall(original: Any, self: LeaseBook, *args: Any) -> Any:
    before, self.claim = self.claim, -1
    moved = original(self, *args)
    if not moved:
        self.claim = before
    return moved and self.claim != before


_replaced("21-sent", Peers, "claim", _nothing)


@_wrapped("22-claim", Rows, "_tell")
def _rows_stand_when_applied_here(original: Any, self: Rows, row: Any, watcher: Any, standing: Any) -> None:
    original(self, row, watcher, standing._replace(added=0))


@_wrapped("22-flight", Rows, "_agreed")
def _rows_in_flight_stand(original: Any, self: Rows, row: Any) -> Any:
    flight, row.flight = row.flight, 0
    standing = original(self, row)
    row.flight = flight
    return standing


@_wrapped("22-lease", Rows, "_tell")
def _rows_stand_without_a_lease(original: Any, self: Rows, row: Any, watcher: Any, standing: Any) -> None:
    if standing.added <= self._ledger.safe:
        watcher.stands(standing.id)
    else:
        original(self, row, watcher, standing)


_replaced("24-due", LeaseBook, "_due", lambda self, now: 0)

# ---- membership: rules 25-28

_replaced("25-forgotten", Members, "_remember_dead", _nothing)


@_wrapped("25-recovering", Member, "propose")
def _who_recovers_may_not_join(original: Any, self: Member, command: Any, settled: Any) -> None:
    if not (isinstance(command, Up) and self.engine.recovering):
        original(self, command, settled)


@_wrapped("26-lease", LeaseBook, "_is_over")
def _down_while_a_lease_runs(original: Any, self: LeaseBook, owner: Any, youngest: Any, now: float) -> Any:
    booking = self.bookings.get(owner)
    if booking is None:
        return original(self, owner, youngest, now)
    # Its silence alone counts, and half a second of it.
    return owner != youngest or now - booking.seen >= 0.5


@_wrapped("26-silence", LeaseBook, "_is_over")
def _down_as_soon_as_the_lease_is_over(original: Any, self: LeaseBook, owner: Any, youngest: Any, now: float) -> Any:
    booking = self.bookings.get(owner)
    return not (booking and booking.end > now)


@_wrapped("26-young", LeaseBook, "condemn")
def _a_young_leader_declares_dead(original: Any, self: LeaseBook, own: Any, tables: Any, now: float) -> Any:
    for owner in tables.up:
        if owner != own and owner not in self.bookings:
            self.dying.add(owner)
    return original(self, own, tables, math.inf if self.start is not None else now)


@_wrapped("26-term", Members, "_down")
def _down_of_any_term(original: Any, self: Members, index: int, down: Any) -> Any:
    return self._end(down.owner, "down")


@_wrapped("26-dying", LeaseBook, "grant")
def _grants_to_the_dying(original: Any, self: LeaseBook, *args: Any) -> Any:
    dying = set(self.dying)
    self.dying.clear()
    left = original(self, *args)
    self.dying.update(dying)
    return left


_replaced("27-lock", DeathCertificate, "_lock", lambda self, path: True)


@_wrapped("27-useless", Members, "_up")
def _predecessors_live_on(original: Any, self: Members, index: int, up: Up) -> Any:
    return original(self, index, msgspec.structs.replace(up, succeeds=()))


_replaced("28-rows", Routes, "bury", _nothing)

# ---- rows: rules 30-34


@_wrapped("30-numbers", Ground, "admit")
def _any_number_is_taken(original: Any, self: Ground, owner: Any, number: int) -> Any:
    return Outcome.OK if owner in self.tables.up else original(self, owner, number)


@_wrapped("30-dead", Ground, "admit")
def _the_dead_may_speak(original: Any, self: Ground, owner: Any, number: int) -> Any:
    return original(self, owner, number) if owner in self.tables.up else Outcome.OK


@_wrapped("31-one-flight", Rows, "_look")
def _many_proposals_for_one_key(original: Any, self: Rows, row: Any) -> None:
    row.flight = 0
    original(self, row)


@_wrapped("32-dirty", Rows, "_decided")
def _what_is_unknown_is_taken_for_lost(original: Any, self: Rows, row: Any, number: int, *rest: Any) -> None:
    original(self, row, number, *rest)
    row.sure = self._tables


@_mutant("32-installed")
def _a_snapshot_raises_no_doubt() -> Iterator[None]:
    with patch.object(Rows, "installed", _nothing):
        yield


_replaced("33-tick", Rows, "ticked", lambda self: self.claim())
_replaced("33-applied", Rows, "applied", lambda self, changes: None)


@_wrapped("34-single", Registrations, "_add")
def _the_last_one_owns(original: Any, self: Registrations, index: int, add: Any) -> Any:
    standing = self._ground.tables.registration(add.realm, add.match, add.procedure)
    if standing is not None and standing.callee(add.owner, add.session) is None:
        self._drop(add.realm, standing)
    return original(self, index, add)


# ---- several callees: rules 35-38


@_wrapped("35-order", Registrations, "_join")
def _who_comes_last_stands_first(original: Any, self: Registrations, index: int, standing: Any, add: Any) -> None:
    original(self, index, standing, add)
    row = self._ground.tables.registration(add.realm, add.match, add.procedure)
    turned = msgspec.structs.replace(row, callees=(row.callees[-1], *row.callees[:-1]))
    self._ground.tables.replace_registration(add.realm, turned)


@_wrapped("35-policy", Registrations, "_refusal")
def _any_policy_may_join(original: Any, standing: Any, add: Any) -> Any:
    outcome = original(standing, add)
    return None if outcome is Outcome.CONFLICT else outcome


@_mutant("36-once")
def _force_is_said_again() -> Iterator[None]:
    original = TABLES[REGISTRATIONS].add

    def add(owner: Any, number: int, key: Any, made: Any) -> Any:
        return original(owner, number, key, made._replace(told=0))

    with patch.object(TABLES[REGISTRATIONS], "add", staticmethod(add)):
        yield


@_wrapped("37-renewal", Registrations, "_add")
def _what_is_said_again_is_made_anew(original: Any, self: Registrations, index: int, add: Any) -> Any:
    return original(self, index, msgspec.structs.replace(add, renews=0))


_replaced("37-revoked", Rows, "_revoke", _nothing)


@_wrapped("38-cycle", Turns, "choose")
def _every_call_begins_a_cycle(original: Any, self: Turns, *args: Any, **kwargs: Any) -> Any:
    self._last.clear()
    return original(self, *args, **kwargs)


_replaced("38-once", Refusals, "free", lambda self, callees: list(callees))


@_wrapped("38-lost", Dealer, "declined")
def _anything_may_be_repeated(original: Any, self: Dealer, pending: Any, why: Any) -> None:
    pending.target = msgspec.structs.replace(pending.target, repeatable=True)
    original(self, pending, why)


# ---- a voter without memory: rules 40-45


@_mutant("40-votes")
def _votes_without_memory() -> Iterator[None]:
    received = Member.received

    def believed(self: Member, peer: str, body: Any, recovering: bool) -> None:
        votes = isinstance(body, PreVote | PreVoted | RequestVote | Vote)
        received(self, peer, body, recovering and not votes)

    with (
        patch.object(Engine, "votes", property(lambda self: self._me is not None)),
        patch.object(Member, "received", believed),
    ):
        yield


_replaced("40-match", Engine, "forget", _nothing)


@_wrapped("41-answers", Member, "received")
def _answers_without_memory_count(original: Any, self: Member, peer: str, body: Any, recovering: bool) -> None:
    original(self, peer, body, recovering and not isinstance(body, Answer))


@_wrapped("41-pings", Member, "answer")
def _echoes_without_memory_count(original: Any, self: Member, owner: Any, ping: Ping) -> Any:
    return original(self, owner, msgspec.structs.replace(ping, recovering=False))


_replaced("42-embargo", Founding, "wants_open", lambda self, now: self.recovering and self.pledge is None)


def _asked(
    self: Openings,
    voter: str,
    life: int,
    applied: int,
    *,
    last_index: int,
    quorum_time: float,
    now: float,
    quorum: bool = True,
    log: bool = True,
) -> int | None:
    note = self._notes.get(voter)
    if note is None or note.life != life:
        note = self._notes[voter] = Note(life, now, last_index)
    return life if (quorum_time > note.at or not quorum) and (applied >= note.last_index or not log) else None


_replaced("43-quorum", Openings, "asked", lambda self, *args, **kwargs: _asked(self, *args, quorum=False, **kwargs))
_replaced("43-log", Openings, "asked", lambda self, *args, **kwargs: _asked(self, *args, log=False, **kwargs))


@_wrapped("44-pledge", Affiliation, "open")
def _opened_in_spite_of_a_pledge(original: Any, self: Affiliation, leader: str, reply: Reply, member: Member) -> None:
    if self.founding:
        pledge, self.founding.pledge = self.founding.pledge, None
        original(self, leader, reply, member)
        self.founding.pledge = pledge


@_wrapped("44-vote", Engine, "open")
def _opened_with_a_free_vote(original: Any, self: Engine, leader: str) -> None:
    self.recovering = False


@_wrapped("44-life", Member, "opened")
def _opened_in_any_life(original: Any, self: Member, leader: str, reply: Reply, life: int) -> Any:
    return original(self, leader, reply, reply.opens or life)


@_wrapped("44-term", Member, "opened")
def _opened_in_any_term(original: Any, self: Member, leader: str, reply: Reply, life: int) -> Any:
    return original(self, leader, msgspec.structs.replace(reply, term=self.engine.term), life)


@_wrapped("45-late-vote", Engine, "_on_vote")
def _late_votes_count(original: Any, self: Engine, *args: Any) -> None:
    since, self._candidate_since = self._candidate_since, self._now()
    original(self, *args)
    self._candidate_since = since


@_wrapped("45-postpone", Election, "asked")
def _who_said_yes_asks_soon_too(original: Any, self: Election, *args: Any) -> None:
    with patch.object(self._engine, "postpone", _nothing):
        original(self, *args)


# ---- founding: rules 50-57

_replaced("50-told", Founding, "told", _nothing)


def _uptimes(self: Founding, now: float) -> dict[str, float]:
    heard = self._heard_now(now).items()
    free = {voter: state.uptime for voter, state in heard if state.recovering and state.pledge is None}
    return {**free, self._name: now - self._born}


@_mutant("51-grace")
def _a_majority_founds_at_once() -> Iterator[None]:
    def may_propose(self: Founding, leaderless_s: float, now: float) -> bool:
        free = _uptimes(self, now)
        return 2 * len(free) > len(self._voters) and self._name == min(free)

    with patch.object(Founding, "_may_propose", may_propose):
        yield


@_mutant("51-leader")
def _founds_in_spite_of_a_leader() -> Iterator[None]:
    may_propose = Founding._may_propose

    def deaf(self: Founding, leaderless_s: float, now: float) -> bool:
        return may_propose(self, math.inf, now)

    with patch.object(Founding, "_may_propose", deaf):
        yield


@_mutant("51-smallest")
def _everybody_proposes() -> Iterator[None]:
    def may_propose(self: Founding, leaderless_s: float, now: float) -> bool:
        free = _uptimes(self, now)
        grace = self._least_uptime = 0.0 if len(free) == len(self._voters) else self._timing.grace_s
        return leaderless_s > grace and 2 * sum(uptime > grace for uptime in free.values()) > len(self._voters)

    with patch.object(Founding, "_may_propose", may_propose):
        yield


@_wrapped("52-exclusive", Founding, "asked")
def _pledges_are_taken_back(original: Any, self: Founding, *args: Any) -> None:
    if self.recovering and not self._founder:
        self.pledge = None
    original(self, *args)


@_wrapped("52-life", Founding, "asked")
def _any_life_is_pledged(original: Any, self: Founding, voter: str, found: Found, *args: Any) -> None:
    original(self, voter, msgspec.structs.replace(found, life=self._life), *args)


@_wrapped("52-drop", Founding, "tick")
def _a_pledge_without_go_is_kept(original: Any, self: Founding, cluster: Any, leaderless_s: float, now: float) -> None:
    self._pledged_at = now
    original(self, cluster, leaderless_s, now)


@_wrapped("53-majority", Founding, "_propose")
def _founds_without_pledges(original: Any, self: Founding, now: float) -> None:
    for voter, state in self._heard_now(now).items():
        self._send(voter, Found(self.pledge or 0, state.life))
    self._join(now + self._timing.stretched_lease_s)


@_mutant("53-late")
def _late_pledges_are_not_answered() -> Iterator[None]:
    told = Founding.told

    def mute(self: Founding, voter: str, state: Any, now: float) -> None:
        founder, self._founder = self._founder, self._founder and self.recovering
        told(self, voter, state, now)
        self._founder = founder

    with patch.object(Founding, "told", mute):
        yield


@_wrapped("54-hold", Founding, "_join")
def _a_new_cluster_is_served_at_once(original: Any, self: Founding, held_until: float) -> None:
    original(self, -math.inf)


@_wrapped("55-superseded", Affiliation, "hear_of_another_cluster")
def _a_member_stays_what_it_is(original: Any, self: Affiliation, reply: Reply) -> None:
    if self.member is None:
        original(self, reply)


@_wrapped("55-quorate", Affiliation, "hear_of_another_cluster")
def _any_leader_is_followed(original: Any, self: Affiliation, reply: Reply) -> None:
    original(self, msgspec.structs.replace(reply, quorate=True))


_replaced("56-lost", Founding, "_is_lost", lambda self, cluster, now: False)


@_wrapped("56-live", Member, "leaderless_s")
def _a_leader_once_known_is_alive(original: Any, self: Member) -> Any:
    return 0.0 if self.engine.leader else original(self)


@_wrapped("57-safe", Affiliation, "_enter")
def _claims_outlive_their_cluster(original: Any, self: Affiliation, *args: Any, **kwargs: Any) -> None:
    safe, lease_end = (self.member.safe, self.member.lease_end) if self.member else (0, -math.inf)
    original(self, *args, **kwargs)
    assert self.member
    self.member.safe, self.member.lease_end = safe, lease_end


@_wrapped("57-incarnation", Affiliation, "_exit")
def _incarnations_outlive_their_cluster(original: Any, self: Affiliation, *args: Any) -> None:
    with patch.object(self, "fence", _nothing):
        original(self, *args)


# ---- the error of clocks


@_mutant("k-drift")
def _clocks_are_trusted() -> Iterator[None]:
    with (
        patch.object(lease_module, "K", 1.0),
        patch.object(Timing, "stretched_lease_s", property(lambda self: self.lease_s)),
    ):
        yield


@_mutant("clock-stands-still")
def _clocks_stand_still_while_a_host_is_stopped() -> Iterator[None]:
    begun: dict[int, float] = {}

    def stop(self: Any, stopped: bool) -> None:
        now = self.world.clock.time
        if stopped:
            begun[id(self)] = now
        elif id(self) in begun:
            self.world.clocks[self.name].jump(begun.pop(id(self)) - now)

    with patch.object(world_module.Host, "stopped", property(lambda self: id(self) in begun, stop), create=True):
        yield


def main() -> None:
    """Search for a seed that notices a mutant."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--list", action="store_true", help="tell the names")
    parser.add_argument("--search", metavar="NAME", nargs="+", default=[], help="which mutants")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--voters", type=int, default=3)
    parser.add_argument("--observers", type=int, default=1)
    options = parser.parse_args()
    if options.list:
        print(*MUTANTS, sep="\n")
    for name in options.search:
        last = options.first + options.seeds
        seed, sentence = search(name, range(options.first, last), options.voters, options.observers)
        print(
            f"{name}: {'not noticed by' if seed is None else 'noticed by'} "
            f"{f'{options.first} to {last - 1}' if seed is None else seed} {sentence}",
            flush=True,
        )


def search(name: str, seeds: Iterable[int], voters: int = 3, observers: int = 1) -> tuple[int | None, str]:
    """The first of these seeds that notices, and what."""
    for seed in seeds:
        with MUTANTS[name]():
            sentence = noticed(lambda seed=seed: run(seed, voters, observers))
        if sentence:
            return seed, sentence
    return None, ""


def noticed(scene: Callable[[], object]) -> str:
    """What the scene found wrong: the first line; empty if nothing."""
    try:
        scene()
    except Exception as error:  # a mutant may also break down
        return (str(error).splitlines() or [type(error).__name__])[0][:300]
    return ""


if __name__ == "__main__":
    main()
