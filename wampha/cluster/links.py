"""All links of one node: which connection counts, and what the node hears of it.

`connections.py` makes them, `control.py` and `streams.py` have what they carry.

Per pair of nodes there are two connections, control and data; `contacts.py` says who dials. The dialer opens control
first and data once control is proven. Of two connections of the same peer and channel the younger counts: the older is
closed, and its end told, before the younger is told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from twisted.internet import defer
from twisted.logger import Logger

from wampha.clock import ReactorClock
from wampha.cluster.connections import Connections
from wampha.cluster.contacts import Contacts
from wampha.cluster.control import ControlLinks
from wampha.cluster.dialer import TcpEndpoints
from wampha.cluster.encryption import Encryption
from wampha.cluster.handshake import (
    Channel,
    HandshakeRefused,
    Membership,
    Refusal,
    configuration_hash,
    configuration_terms,
)
from wampha.cluster.link import TICK_S, Link, State
from wampha.cluster.refusals import RefusalLog
from wampha.cluster.roundtrip import RoundTrips, round_trip_s
from wampha.cluster.streams import Connection, Gap, Streams
from wampha.counters import Counters
from wampha.distributions import Distribution
from wampha.errors import LinkRefused
from wampha.limits import Limits
from wampha.messages.relayed import Relayed
from wampha.routing.ports import Cancellable
from wampha.state.commands import Owner

__all__ = ("Links", "configuration_hash", "configuration_terms")

_Told = TypeVar("_Told")
_LASTED_TICKS: Final = 2  # a link that lived so long was a success: the next dial need not wait long
_SETTLE_S: Final = 0.05  # between looks whether peers have confirmed what they were sent


class Links:
    """The node's connections to its peers: control frames by name, relayed messages by incarnation."""

    _log = Logger()

    def __init__(
        self,
        *,
        reactor: Any,
        name: str,
        cluster: str,
        voters: Mapping[str, str],
        secret: bytes,
        identity: Callable[[], tuple[int, int]],
        advertise: str,
        limits: Limits,
        counters: Counters,
        config_hash: bytes,
        config_terms: str = "",
        on_control: Callable[[str, bytes], None],
        on_data: Callable[[Owner, Relayed], None],
        on_up: Callable[[str, int, int], None],
        on_down: Callable[[str], None],
        on_owner_lost: Callable[[Owner], None],
        is_dead: Callable[[Owner], bool] = lambda owner: False,
        on_gap: Callable[[Gap], None] = lambda gap: None,
        on_chunk: Callable[[Connection], None] = lambda link: None,
        on_chunk_end: Callable[[], None] = lambda: None,
        on_relieved: Callable[[Owner], None] = lambda owner: None,
        chance: random.Random | None = None,
        endpoints: TcpEndpoints | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        """`voters` maps the names of all voters to `host:port`; `identity` gives this node's (life, incarnation),
        `is_dead` whether the ledger holds an incarnation for dead.

        `on_up(name, life, incarnation)`: both channels to that peer are up; `on_down(name)`: its control link is down;
        `on_control(name, data)` comes only between them. `on_data(source, relayed)` hands over a message for this
        incarnation; `on_chunk(link)` begins each group of them, `on_chunk_end()` ends it. In between, who finds that
        this is enough for one turn calls `link.stop_flow()`, and `link.resume()` in a later turn: the others wait
        till then. `on_gap(gap)`: frames between two living nodes are lost. `on_owner_lost(owner)`, behind it: what
        was on its way to or from that incarnation will not come. `on_relieved(owner)`: it is in `behind` no longer.
        None of this is called from inside `send_control` or `forward`.
        An empty `secret` proves nothing: on loopback, or with `encryption`.
        """
        self._clock: Final = ReactorClock(reactor)
        self._membership: Final = Membership(
            cluster=cluster,
            name=name,
            voters=frozenset(voters),
            configuration=config_hash,
            terms=config_terms,
            address=advertise,
            secret=secret,
        )
        self._identity: Final = identity
        self._counters: Final = counters
        self._is_dead: Final = is_dead
        self._on_up: Final = on_up
        self._on_down: Final = on_down
        self._on_chunk_end: Final = on_chunk_end
        self._chance: Final = chance or random.SystemRandom()
        self._refusals: Final = RefusalLog()
        self._connections: Final = Connections(
            membership=self._membership,
            identity=identity,
            chance=self._chance,
            endpoints=endpoints or TcpEndpoints(reactor),
            events=self,
            limits=limits,
            counters=counters,
            encryption=encryption,
        )
        self._control: Final = ControlLinks(
            limits=limits, counters=counters, on_frame=on_control, on_written=self._written
        )
        self._streams: Final = Streams(
            name=name,
            limits=limits,
            counters=counters,
            clock=self._clock,
            draw_name=lambda: 1 + self._chance.getrandbits(62),
            on_chunk=on_chunk,
            on_data=on_data,
            on_chunk_end=self._chunk_ended,
            on_owner_lost=self._told(on_owner_lost),
            on_gap=self._told(on_gap),
            on_relieved=on_relieved,
            on_written=self._written,
        )
        self._contacts: Final = Contacts(
            membership=self._membership,
            voters=voters,
            clock=self._clock,
            chance=self._chance,
            connect=self._connections.dial,
            failed=self._refusals.trouble,
        )
        self._proven: Final[dict[tuple[str, Channel], Link]] = {}  # the one connection that counts
        self._up: Final[dict[str, None]] = {}  # peers that `on_up` has named
        self._round_trips: Final[dict[str, RoundTrips]] = {}  # of peers whose control link is proven
        self._flush_due = False
        self._ticker: Cancellable | None = None

    # ---- start and stop

    def listen(self, endpoint_string: str) -> defer.Deferred[str]:
        """Accept peers at a Twisted endpoint string; fires with `host:port` as bound. Fails with StartError."""
        return self._connections.listen(endpoint_string)

    def start(self) -> None:
        """Dial those voters that this node has to dial, from now on."""
        self._ticker = self._clock.call_later(TICK_S, self._tick)
        self._contacts.start()

    def stop(self) -> defer.Deferred[None]:
        """Send what is queued, close everything, tell nothing more; fires when all connections are gone."""
        if not self._connections.closing:
            self.flush()
            self._streams.stop()
            self._contacts.stop()
            self._connections.close().addCallback(self._closed)
        return self._connections.close()

    def _closed(self, _: None) -> None:
        if self._ticker is not None:
            self._ticker.cancel()

    def identity_changed(self) -> None:
        """Life or incarnation changed: all links shake hands anew. Their ends are told in a later turn."""
        self._streams.become(self._identity()[1])
        for link in self._connections.all:
            link.abort()

    def node_address(self, name: str, address: str | None) -> None:
        """Where a peer can be reached, as the replicated table says; None: it is gone. It is dialled at once.

        A voter's address is the configured one, and it is dialled for ever.
        """
        self._contacts.moved(name, address)

    # ---- sending

    def send_control(self, name: str, data: bytes) -> bool:
        """Queue bytes for the peer's ledger; False if no control link to it is up, or they are too long."""
        return self._control.send(name, data)

    def forward(self, owner: Owner, relayed: Relayed) -> bool:
        """Queue a message for that incarnation; False if there is no way to it, or the message cannot be sent.

        While its data link is down, or not up yet, the message waits, for as long as a link may be resumed.
        """
        return self._streams.forward(owner, relayed)

    def flush(self) -> None:
        """Write what was queued since the last flush, at the latest done at the end of each reactor turn."""
        self._control.flush()
        self._streams.flush()

    def confirm(self, done: Callable[[], None]) -> None:
        """Call `done` when every living peer has said that it has all that `forward` was given for it until now.

        Peers say so twice a second. One that is not linked is waited for as long as any link is; when this node's links
        are stopped nobody is.
        """
        self.flush()
        self._look_settled(self._streams.settling(), done)

    def _look_settled(self, settled: Callable[[], bool], done: Callable[[], None]) -> None:
        if settled() or self._connections.closing:
            done()
        else:
            self._clock.call_later(_SETTLE_S, self._look_settled, settled, done)

    def connected(self) -> list[str]:
        """The names of the peers that are up, sorted."""
        return sorted(self._up)

    def status(self) -> dict[str, dict[str, Any]]:
        """Of each peer that is linked or a voter: whether it is up, what waits for it, and the shortest round trip."""
        waiting = self._streams.waiting()
        behind = {owner.name for owner in self.behind}
        names = (self._membership.voters | set(self._up)) - {self._membership.name}
        return {
            name: {
                "up": name in self._up,
                "behind": name in behind,
                "queue_bytes": waiting.get(name, 0) + self._control.waiting(name),
                "round_trip_s": self._round_trips[name].shortest_s if name in self._round_trips else None,
            }
            for name in sorted(names)
        }

    def round_trips(self) -> Mapping[str, Distribution]:
        """Of each linked peer, looked at twice a second."""
        return self._round_trips

    @property
    def behind(self) -> Collection[Owner]:
        """The incarnations for which more than a quarter of `link_queue_bytes_max` waits; always the same object."""
        return self._streams.behind

    def owner_up(self, owner: Owner) -> None:
        """The ledger says that this incarnation is a member: messages for it wait for its link, also for the first."""
        self._streams.become(self._identity()[1])
        self._streams.expect(owner)

    def members(self, up: Collection[Owner]) -> None:
        """The ledger's table of members was replaced by one that has just these beside this node: the others died."""
        self._streams.become(self._identity()[1])
        self._streams.members(up)
        self._contacts.only({owner.name for owner in up})

    def owner_dead(self, owner: Owner) -> None:
        """The ledger says that this incarnation is dead: nothing is kept for it any more."""
        self._streams.dead(owner)

    # ---- events of links

    def proven(self, link: Link) -> None:
        """Let a proven connection count, in place of any older one of the same peer."""
        name = link.peer.name
        others = [
            (each, channel)
            for (each, channel), older in self._proven.items()
            if each == name and (older.peer != link.peer or older.life != link.life)
        ]
        dead = self._is_dead(link.peer)
        if dead and others:
            link.refuse(Refusal.DEAD)
            return
        self._drop((name, link.channel))
        for other in others:
            self._drop(other)
        if not dead:  # one that is dead and alone may hear so, by the control link
            self._streams.supersede(link.peer)
        if link.state is not State.OPEN:
            return  # who heard of the older one's end changed this node's identity
        self._proven[name, link.channel] = link
        self._counters.add("link_connects")
        self._log.info(
            "{channel} link to {name} at {address} is up", channel=link.channel.value, name=name, address=link.address
        )
        if link.channel is Channel.DATA:
            link.carry(self._streams.attach(link.peer, link.handshake.incarnation, link))
        else:
            self._control.opened(name, link)
            self._refusals.well(name)
            self._contacts.keep(name, Channel.DATA)
        self._tell_up(name, link)

    def _tell_up(self, name: str, link: Link) -> None:
        """A peer is up when both channels are: what the ledger lets in must find a way for its messages."""
        if name in self._up or (name, Channel.CONTROL) not in self._proven or (name, Channel.DATA) not in self._proven:
            return
        self._up[name] = None
        self._on_up(name, link.life, link.peer.incarnation)
        self._control.up(name)

    def ended(self, link: Link) -> None:
        """A connection is gone: tell it if it counted, and dial again."""
        self._connections.ended(link)
        if self._connections.closing:
            return
        for key, proven in tuple(self._proven.items()):
            if proven is link:
                self._drop(key)
        if link.handshake.expects:
            lasted = link.age_ticks >= _LASTED_TICKS
            self._contacts.lost(link.handshake.expects, link.channel, link, lasted)

    def _drop(self, key: tuple[str, Channel]) -> None:
        """Close the connection that counts for `key`, if there is one, and tell it."""
        link = self._proven.pop(key, None)
        if link is None:
            return
        link.abort()
        self._counters.add("link_losses")
        name, channel = key
        self._log.info("{channel} link to {name} is down", channel=channel.value, name=name)
        if channel is Channel.DATA:
            self._streams.detach(link.peer)
            return
        self._control.closed(name)
        self._round_trips.pop(name, None)
        self._contacts.pause(name, Channel.DATA)  # until control is back
        if self._up.pop(name, self) is None:
            self._on_down(name)

    def refused(self, link: Link, error: LinkRefused) -> None:
        """Say once who was refused and why."""
        self._counters.add("links_refused")
        ours = isinstance(error, HandshakeRefused)
        if link.handshake.expects:
            verdict = "is refused" if ours else "refuses this node"
            self._refusals.trouble(link.handshake.expects, f"{link.address} {verdict}: {_printable(error)}")
        else:
            reason = error.reason if isinstance(error, HandshakeRefused) else None
            self._refusals.stranger(link.address, reason, _printable(error))

    def broken(self, link: Link, sentence: str) -> None:
        """Say why a proven peer is cut off."""
        self._log.warn(
            "{channel} link to {name} is reset: {sentence}",
            channel=link.channel.value,
            name=link.peer.name,
            sentence=sentence,
        )

    def eased(self, link: Link) -> None:
        """A peer may have caught up."""
        self._streams.look_relieved()

    def _chunk_ended(self) -> None:
        """Let the clients' outboxes write, and send what the messages caused."""
        self._on_chunk_end()
        self.flush()

    def _written(self) -> None:
        """Flush at the end of the turn at the latest."""
        if not self._flush_due:
            self._flush_due = True
            self._clock.call_later(0, self._flush_turn)

    def _told(self, tell: Callable[[_Told], None]) -> Callable[[_Told], None]:
        """`tell`, but nothing once this node stops."""
        return lambda what: None if self._connections.closing else tell(what)

    # ---- time

    def _flush_turn(self) -> None:
        self._flush_due = False
        self.flush()

    def _tick(self) -> None:
        self._ticker = self._clock.call_later(TICK_S, self._tick)
        self._refusals.tick()
        for link in self._connections.all:
            link.tick()
        for (name, channel), link in self._proven.items():
            if channel is Channel.CONTROL and (seen := round_trip_s(link.transport)) is not None:
                self._round_trips.setdefault(name, RoundTrips()).saw(*seen)


def _printable(error: LinkRefused) -> str:
    """A sentence that may hold a stranger's words, fit for one line of the log."""
    return str(error)[:800].encode("unicode_escape").decode("ascii")
