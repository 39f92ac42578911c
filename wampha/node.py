"""One node, wired: the only place where the layers meet.

clients -> transport -> Router -> Delivery -> clients of this node
                          |  ^
          ledger <--------+  +-------- links <-> other nodes
(local, or Raft over the links' control channel)
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.internet import defer
from twisted.logger import Logger

from wampha import __version__
from wampha.auth.steps import Chance
from wampha.clock import ReactorClock, wall_ms
from wampha.cluster.encryption import Encryption
from wampha.cluster.links import Links, configuration_hash, configuration_terms
from wampha.cluster.streams import Gap
from wampha.config.fingerprint import fingerprint
from wampha.config.load import Loaded
from wampha.config.schema import ClusterSettings, ListenerSettings, Settings
from wampha.counters import Counters
from wampha.departure import Departure
from wampha.ledger.certificate import DeathCertificate
from wampha.ledger.constants import Timing
from wampha.ledger.local import LocalLedger
from wampha.ledger.options import Options
from wampha.ledger.raft import RaftLedger
from wampha.limits import PresentLimits
from wampha.live import Entries, live_parts
from wampha.messages.serializers import serializers
from wampha.names.ids import Ids
from wampha.observe.audit import Audit
from wampha.observe.chronicle import Chronicle
from wampha.observe.monitor import Monitor
from wampha.observe.status import Inquiry, of_process, of_tables
from wampha.observe.turns import Turns
from wampha.reloading import Reloaded, Reloading
from wampha.routing.concord import Differing
from wampha.routing.permissions import RealmRules, RealmTemplate
from wampha.routing.ports import Cancellable
from wampha.routing.router import Router
from wampha.stages import Event, Stage, after
from wampha.state.changes import LeaderChanged, NodeGone, NodeUp
from wampha.state.commands import Owner
from wampha.state.machine import Machine
from wampha.threads import Threads
from wampha.tidings import Tidings
from wampha.transport.cookies import BrowserCookies
from wampha.transport.delivery import Delivery
from wampha.transport.doors import Doors, now
from wampha.transport.gate import Gate
from wampha.transport.headcount import Headcount
from wampha.transport.listeners import Listener
from wampha.transport.room import Room, descriptors
from wampha.transport.slow import SlowClients

PATIENCE_S: Final = 10.0  # between lines that say why this node does not serve
AGENT: Final = f"wampha-{__version__}"


class Node:
    """One wampha process: a complete router alone, or a member of a cluster."""

    _log = Logger(namespace="wampha.node")

    def __init__(
        self,
        *,
        settings: Settings,
        reactor: Any,
        chance: random.Random | None = None,
        machine: Callable[[Counters], Machine] = Machine,
        options: Options | None = None,
        wall_ms: Callable[[], int] = wall_ms,
        read: Callable[[], Loaded] | None = None,
        show: Callable[[str], None] = lambda level: None,
    ) -> None:
        """Wire everything and start nothing; `chance` draws every identifier (default: the system's own source).

        `read` reads the configuration file again, for `reload`; `show` sets the level of the log.

        `reactor` provides Twisted's IReactorTime, IReactorTCP and IReactorPluggableNameResolver, and has been made
        `steady`: the node reads no other clock. `machine`, `options` and `wall_ms` are for tests.
        """
        self.settings = settings  # that hold; `reload` puts others in their place
        self._limits: Final = PresentLimits.of(settings.limits)
        self.counters: Final = Counters(time.monotonic)  # measures durations; nothing depends on them
        self.turns: Final = Turns(self.counters)
        self._reactor: Final = reactor
        self._clock: Final = ReactorClock(reactor)
        self._began: Final = self._clock.now()
        self._began_ms: Final = wall_ms()
        self._chronicle: Final = Chronicle(wall_ms)
        self._chance: Final = chance or random.SystemRandom()
        self._machine: Final = machine
        self._options: Final = options
        self._audit: Final = Audit(self._clock.now).add
        self._stage = Stage.JOINING
        self._telling: Cancellable | None = None  # the timer that tells why this node does not serve

        run_dir = settings.node.run_dir if settings.cluster else None
        self._certificate: Final = DeathCertificate(Path(run_dir), settings.node.name) if run_dir else None
        self._threads: Final = Threads(reactor=reactor, counters=self.counters)
        self._link_encryption: Final = self._encryption_of_links(settings.cluster)
        self.links: Final = self._make_links(settings.cluster) if settings.cluster else None
        self.delivery: Final = Delivery(
            forward=self.links.forward if self.links else _forward_nowhere,
            flush_links=self.links.flush if self.links else _nothing_to_flush,
            behind=self.links.behind if self.links else (),
            counters=self.counters,
            reactor=reactor,
        )
        self.router: Final = Router(
            realms=[RealmRules.of(realm) for realm in settings.realms],
            templates=[RealmTemplate.of(template) for template in settings.realm_templates],
            limits=self._limits,
            counters=self.counters,
            ids=Ids(self._chance),
            clock=self._clock,
            outbox=self.delivery,
            workers=self._threads,
            chance=Chance(partial(_bytes, self._chance), _utc),
            agent=AGENT,
            audit=self._audit,
            wall_ms=wall_ms,
            status=self.status,
            linked=lambda name: self.links is not None and name in self.links.connected(),
            differing=self._tell_differing,
        )
        self.ledger: Final = self._make_ledger(settings.cluster)
        self.router.attach(self.ledger)
        self.router.concord.hold(fingerprint(settings))
        self.inquiry: Final = Inquiry(status=self.status, machine=lambda: self.ledger.machine, clock=self._clock)
        self.gate: Final = Gate(serving=self.ledger.serving, reactor=reactor)
        self._entries: Final = Entries(_bytes(self._chance, 32))
        self._slow: Final = SlowClients(limits=self._limits, counters=self.counters, reactor=reactor)
        self._room: Final = Room(descriptors=descriptors(), limits=self._limits, counters=self.counters)
        self._headcount: Final = Headcount(limits=self._limits, counters=self.counters, audit=self._audit)
        self.doors: Final = Doors(
            doors=self._make_listeners(), linked=self._linked, opened=self._tell_listening, reactor=reactor
        )
        self._reloading: Final = Reloading(
            read=read,
            settings=lambda: self.settings,
            parts=(
                *live_parts(
                    limits=self._limits,
                    level=settings.log.level,
                    show=show,
                    entries=self._entries,
                    encryption=self._link_encryption,
                    router=self.router,
                ),
                self._hold,
            ),
            workers=self._threads,
            counters=self.counters,
            audit=self._audit,
        )
        self.monitor: Final = self._make_monitor(wall_ms)

    # ---- start and stop

    def start(self) -> None:
        """Start to work; clients are let in when this node first serves.

        Raises StartError, with a sentence, when an address is taken.
        """
        if self.settings.monitoring is not None:
            self.monitor.listen(self.settings.monitoring.endpoint, self._reactor)
        self.doors.take_addresses(keep=self.links is None)
        if self.links and self.settings.cluster:
            now(self.links.listen(self.settings.cluster.listen))
            self.links.start()
            self._telling = self._clock.call_later(PATIENCE_S, self._tell_waiting)
        self.ledger.start()

    def stop(self) -> defer.Deferred[None]:
        """Send the clients away and leave the cluster; fires when all is closed, in `node.drain.deadline_s` at most."""
        self._move(Event.STOPPED)
        self._chronicle.add("stage", stage=self._stage.value)
        if self._telling:
            self._telling.cancel()
        departure = Departure(
            name=self.settings.node.name,
            drain=self.settings.node.drain,
            router=self.router,
            doors=self.doors,
            ledger=self.ledger,
            emptied=lambda: self._move(Event.EMPTIED),
            confirm_links=self.links.confirm if self.links else lambda done: done(),
            stop_links=self.links.stop if self.links else lambda: defer.succeed(None),
            clock=self._clock,
        )
        stopped: defer.Deferred[None] = departure.go()
        return stopped.addCallback(self._stopped)

    def reload(self) -> defer.Deferred[Reloaded]:
        """Read the configuration again, and its certificates, and change what can be changed while the node runs.

        Fires with what was said about it in the log, and never fails. A file that cannot be used changes nothing.
        """
        return self._reloading.reload()

    def _hold(self, settings: Settings) -> Callable[[], None]:
        def use() -> None:
            self.settings = settings
            self.router.concord.hold(fingerprint(settings))

        return use

    def _tell_differing(self, differing: Differing) -> None:
        """Say which nodes run another configuration than this one, once, and when they agree again."""
        if not differing:
            self._log.info("all nodes run the same configuration again")
        for name, parts in differing.items():
            self._log.warn(
                "{name} runs another configuration than this node; it differs in: {parts}",
                name=name,
                parts=", ".join(parts),
            )

    def _stopped(self, _: object) -> defer.Deferred[Any]:
        self._threads.stop()
        if self._certificate:
            self._certificate.close()  # this process never serves again
        return self.monitor.stop()

    def status(self) -> dict[str, Any]:
        """What an operator asks: the ledger's view, how much is held, and what was counted. Cheap."""
        counters = {name: count for name, count in self.counters.snapshot().items() if count}
        ledger = self.ledger.status()
        return {
            "version": __version__,
            "uptime_s": round(self._clock.now() - self._began, 3),
            "started_s": self._began_ms / 1000,
            "stage": self._stage.value,
            "ready": self.ready,
            "listening": self.doors.open_to_clients,
            "waits_for": None if ledger["serving"] else self._waits_for() or ledger.get("refused"),
            **ledger,
            "lag": ledger["committed"] - ledger["applied"],
            "barrier_lag": max(0, ledger["applied"] - ledger["safe"]),
            "nodes": len(self.ledger.tables.up),
            "links": self.links.status() if self.links else {},
            **of_tables(self.ledger.tables),
            "config": self.router.concord.status(),
            "realms": self.router.realms(),
            "certificates": {
                "listeners": self._entries.expires(),
                "links": self._link_encryption.expires if self._link_encryption else None,
            },
            "connections": self._room.connections,
            "descriptors_max": self._room.descriptors,
            "slow": self._slow.status(),
            "sessions": self.router.sessions(),
            "detached": self.router.waiting(),
            **of_process(),
            "turns": self.turns.status(),
            "counters": counters,
        }

    # ---- parts

    # Links, router and ledger know each other: what is made first reaches what is made later through a lambda.
    # ruff: noqa: PLW0108

    def _make_links(self, cluster: ClusterSettings) -> Links:
        voters = {voter.name: voter.address for voter in cluster.voters}
        return Links(
            reactor=self._reactor,
            name=self.settings.node.name,
            cluster=cluster.name,
            voters=voters,
            secret=(cluster.secret or "").encode(),
            identity=self._identity,
            advertise=cluster.advertise,
            limits=self._limits,
            counters=self.counters,
            config_hash=configuration_hash(cluster.name, list(voters), _shared_times(cluster)),
            config_terms=configuration_terms(list(voters), cluster.election_timeout_s),
            on_control=lambda name, data: self._raft.received(name, data),
            on_chunk=lambda link: self.delivery.flusher.begin(link),
            on_data=lambda source, relayed: self.router.relayed(source, relayed),
            on_up=lambda name, life, incarnation: self._raft.peer_up(name, life, incarnation),
            on_down=lambda name: self._raft.peer_down(name),
            on_owner_lost=lambda owner: self.router.node_lost(owner),
            is_dead=lambda owner: owner.incarnation in self.ledger.tables.dead,
            on_gap=self._announce_gap,
            on_chunk_end=lambda: self.delivery.flush(),
            on_relieved=lambda owner: self.delivery.relieved(owner),
            chance=self._chance,
            encryption=self._link_encryption,
        )

    def _make_monitor(self, wall_ms: Callable[[], int]) -> Monitor:
        cluster = self.settings.cluster
        return Monitor(
            status=self.status,
            frame={
                "node": self.settings.node.name,
                "version": __version__,
                "cluster": cluster.name if cluster else None,
                "voters": [voter.name for voter in cluster.voters] if cluster else [],
            },
            router=self.router,
            ledger=self.ledger,
            round_trips=self.links.round_trips if self.links else dict,
            counters=self.counters,
            turns=self.turns,
            chronicle=self._chronicle,
            clock=self._clock,
            wall_ms=wall_ms,
        )

    def _encryption_of_links(self, cluster: ClusterSettings | None) -> Encryption | None:
        if cluster is None or cluster.tls is None:
            return None
        return Encryption(cluster.tls, self.settings.node.name, self._reactor)

    def _announce_gap(self, gap: Gap) -> None:
        """Tell clients of lost frames: those everywhere by the sender, who knows first, its own by the receiver."""
        name = self.settings.node.name
        self.router.announce(
            "wampha.link.on_gap",
            [gap.source, gap.target],
            {"frames": gap.frames, "noticed_by": name},
            everywhere=gap.source == name,
        )

    def _make_ledger(self, cluster: ClusterSettings | None) -> LocalLedger | RaftLedger:
        name = self.settings.node.name
        if cluster is None or self.links is None:
            return LocalLedger(
                machine=self._machine(self.counters),
                owner=Owner(name, self._chance.getrandbits(63)),
                clock=self._clock,
                events=self._tidings(),
            )
        return RaftLedger(
            name=name,
            voters=tuple(voter.name for voter in cluster.voters),
            address=cluster.advertise,
            machine_factory=lambda: self._machine(self.counters),
            clock=self._clock,
            random=self._chance,
            send=self.links.send_control,
            identity_changed=self.links.identity_changed,
            events=self._tidings(),
            counters=self.counters,
            version=__version__,
            predecessors=self._certificate.predecessors if self._certificate else (),
            incarnated=self._incarnated,
            timing=Timing.of(cluster.election_timeout_s),
            options=self._options,
        )

    def _tidings(self) -> Tidings:
        return Tidings(
            name=self.settings.node.name,
            node=self,
            router=self.router,
            links=self.links,
            tables=lambda: self.ledger.tables,
        )

    def _incarnated(self, incarnation: int) -> None:
        if self._certificate:
            self._certificate.add(incarnation)

    def _make_listeners(self) -> list[Listener]:
        limits = self._limits
        shared = serializers(limits, self.counters)
        return [
            Listener(
                endpoint_string=listener.endpoint,
                protocols=listener.protocols,
                doorway=entry,
                certificates=certificates,
                cookies=self._cookies(listener),
                router=self.router,
                gate=self.gate,
                delivery=self.delivery,
                slow=self._slow,
                room=self._room,
                headcount=self._headcount,
                origins=origins,
                audit=self._audit,
                limits=limits,
                counters=self.counters,
                serializers=shared,
                reactor=self._reactor,
            )
            for listener in self.settings.listeners
            for entry, certificates, origins in (self._entries.add(listener),)
        ]

    def _cookies(self, listener: ListenerSettings) -> BrowserCookies | None:
        if listener.auth.cookie is None:
            return None
        return BrowserCookies(
            listener.auth.cookie,
            encrypted=listener.tls is not None or listener.endpoint.startswith("ssl:"),
            knows=self.router.recognises,
            draw=partial(_bytes, self._chance),
        )

    @property
    def _raft(self) -> RaftLedger:
        assert isinstance(self.ledger, RaftLedger)
        return self.ledger

    def _identity(self) -> tuple[int, int]:
        return self._raft.life, self._raft.owner.incarnation

    # ---- serving

    def leader_changed(self, change: LeaderChanged) -> None:
        """Tell in the log who leads."""
        self._log.info("{name} leads the cluster in term {term}", name=change.name, term=change.term)
        self._chronicle.add("leader", name=change.name, term=change.term)
        self.counters.add("raft_leader_changes")

    def member_changed(self, change: NodeUp | NodeGone) -> None:
        """Remember it for who asks what has happened."""
        if isinstance(change, NodeUp):
            self._chronicle.add("up", name=change.owner.name)
        else:
            self._chronicle.add("gone", name=change.owner.name, reason=change.reason)

    def _tell_waiting(self) -> None:
        """Say what keeps this node from serving, as long as something does."""
        if not self.ledger.serving() and (reason := self._waits_for()):
            self._log.warn("{name} does not serve: {reason}", name=self.settings.node.name, reason=reason)
        self._telling = self._clock.call_later(PATIENCE_S, self._tell_waiting)

    def _waits_for(self) -> str | None:
        """What a node of a cluster lacks that does not serve."""
        if self.links is None or self.settings.cluster is None:
            return None
        voters = [voter.name for voter in self.settings.cluster.voters]
        missing = set(voters) - {self.settings.node.name, *self.links.connected()}
        return f"no link to {', '.join(sorted(missing))}" if missing else "the voters have no leader yet"

    def condition(self) -> str:
        """What this node is doing, in a few words for people."""
        if self._stage in (Stage.JOINING, Stage.SUSPENDED):
            return f"{self._stage.value}: {self._waits_for() or 'it is starting'}"
        return f"{self._stage.value} {self.router.sessions()} session(s)"

    @property
    def ready(self) -> bool:
        """Whether clients should be sent here, and, in a rolling restart, the next node may be stopped."""
        return self._stage is Stage.SERVING and self.doors.open_to_clients and not self.ledger.recovering

    def _move(self, event: Event) -> None:
        self._stage = after(self._stage, event)

    def serving_changed(self, serving: bool) -> None:
        """Let clients in, or hold what they send and refuse new ones (rule 2)."""
        self._move(Event.LEASED if serving else Event.LAPSED)
        if self._stage is not Stage.LEAVING:
            self._log.info("{name} {verb}", name=self.settings.node.name, verb="serves" if serving else "is suspended")
            self._chronicle.add("stage", stage=self._stage.value)
        self.gate.changed(serving)
        if self._stage is Stage.SERVING:
            self.doors.open()
        else:
            self.doors.refuse_newcomers()

    def fenced(self, sentence: str) -> None:
        """Nobody listens for clients until this node serves again (rule 4)."""
        self._move(Event.FENCED)
        self._chronicle.add("fenced", reason=sentence)
        self.doors.close()

    def _linked(self) -> bool:
        members = {owner.name for owner in self.ledger.tables.up} - {self.settings.node.name}
        return self.links is None or members.issubset(self.links.connected())

    def _tell_listening(self) -> None:
        for listener in self.settings.listeners:
            self._log.info(
                "{name} accepts {protocols} clients at {endpoint}",
                name=self.settings.node.name,
                protocols=" and ".join(listener.protocols),
                endpoint=listener.endpoint,
            )


def _shared_times(cluster: ClusterSettings) -> dict[str, float]:
    """The times that all nodes of a cluster must share (protocol section 2)."""
    timing = dataclasses.asdict(Timing.of(cluster.election_timeout_s))
    return {name: value for name, value in timing.items() if isinstance(value, float)}


def _bytes(chance: random.Random, length: int) -> bytes:
    return chance.getrandbits(8 * length).to_bytes(length, "big")


def _utc() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _forward_nowhere(owner: Owner, relayed: object) -> bool:
    """A single node has nobody to forward to."""
    return False


def _nothing_to_flush() -> None:
    """And so it has no links to flush."""
