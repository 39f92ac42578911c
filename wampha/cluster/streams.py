"""All streams of one node: who gets what, what is behind, what is given up, and who hears of it.

A stream outlives its connections, by at most `WAIT_MAX_S`: then it is given up, and calls over it end. It dies with
either incarnation (protocol rule 29). It begins when the ledger names the peer, or with the first link.

Of a stream that was given up, or whose peer is dead, the numbers stay: the peer may come back and would say again what
was received. Who is forgotten for good knows it by our next `Resume`, and says nothing twice either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from twisted.logger import Logger

from wampha.cluster.carriers import DataCarrier
from wampha.cluster.frames import FrameError
from wampha.cluster.stream import Loss, State, Stream
from wampha.cluster.window import Window
from wampha.counters import Counters
from wampha.limits import Limits
from wampha.messages.relayed import Relayed
from wampha.routing.ports import Clock
from wampha.state.commands import Owner

GONE_MAX: Final = 200  # streams without link or frames that are kept; so many dead incarnations the ledger remembers


@dataclass(frozen=True)
class Gap:
    """Frames between two nodes are lost though both live; how many, None if that is not known.

    The sender counts what the peer has not acknowledged, and so perhaps too many; the receiver knows.
    """

    source: str
    target: str
    frames: int | None


class Connection(Protocol):
    """What is asked of the link that carries a stream."""

    def flush(self) -> None:
        """Send what the stream has."""

    def break_off(self, sentence: str) -> None:
        """Close at once because of what the peer did."""

    def stop_flow(self) -> None:
        """Hand over no more messages than the one in hand, and read no more."""

    def resume(self) -> None:
        """Go on."""


@dataclass
class _Entry:
    """A stream and what becomes of it."""

    stream: Stream
    window: Window  # open while it has no link, or one that does not say what it resumes
    link: Connection | None = None
    member = False  # the ledger has named the peer
    doomed = False  # the peer's incarnation is dead, though it may still talk
    replaced = False  # another incarnation of its name was linked since
    flowed = False
    told = False  # that frames are lost, since it flowed
    counted = False  # the gap likewise: what is refused until there is a link belongs to it

    @property
    def over(self) -> bool:
        """Nobody waits for its link to come back."""
        return self.doomed or self.replaced


class Streams:
    """Streams by the peer's incarnation."""

    _log = Logger()

    def __init__(
        self,
        *,
        name: str,
        limits: Limits,
        counters: Counters,
        clock: Clock,
        draw_name: Callable[[], int],
        on_chunk: Callable[[Connection], None],
        on_data: Callable[[Owner, Relayed], None],
        on_chunk_end: Callable[[], None],
        on_owner_lost: Callable[[Owner], None],
        on_gap: Callable[[Gap], None],
        on_relieved: Callable[[Owner], None],
        on_written: Callable[[], None],
    ) -> None:
        """The callbacks are those of `Links`; `on_written`: there is something to flush, told once until then."""
        self._name: Final = name
        self._limits: Final = limits
        self._counters: Final = counters
        self._counts: Final = counters.values
        self._clock: Final = clock
        self._draw_name: Final = draw_name
        self._on_chunk: Final = on_chunk
        self._on_data: Final = on_data
        self._on_chunk_end: Final = on_chunk_end
        self._on_owner_lost: Final = on_owner_lost
        self._on_gap: Final = on_gap
        self._on_relieved: Final = on_relieved
        self._on_written: Final = on_written
        self._incarnation = 0  # of this node; all streams are of it
        self._stopped = False
        self._mark_bytes: Final = limits.link_queue_bytes_max // 4
        self._streams: Final[dict[Owner, Stream]] = {}
        self._entries: Final[dict[Owner, _Entry]] = {}  # the same keys
        self._gone: Final[dict[Owner, None]] = {}  # those without a link that keep no frame, oldest first
        self._unflushed: Final[dict[Stream, None]] = {}
        self.behind: Final[dict[Owner, None]] = {}  # more than the mark waited for them, and still half of it does

    # ---- sending

    def forward(self, owner: Owner, relayed: Relayed) -> bool:
        """Queue a message for that incarnation; False if there is no way to it, or the message cannot be sent."""
        stream = self._streams.get(owner)
        try:
            kept = stream is not None and stream.append(relayed)
        except FrameError as error:
            kept = False
            self._log.warn("{error}", error=error)
        if not kept or stream is None or (stream.waiting > self._mark_bytes and not self._bear(owner, stream)):
            self._counters.add("forwards_unsendable")
            if stream is not None and stream.refused:
                self._tell_refused(self._entries[owner])
            return False
        if stream not in self._unflushed:
            if not self._unflushed:
                self._on_written()
            self._unflushed[stream] = None
        self._counts["forwards_sent"] += 1
        return True

    def _tell_refused(self, entry: _Entry) -> None:
        """Frames for a living peer are lost, and nobody has been told: it was given up while nothing was on its way."""
        if not entry.told and not entry.over:
            entry.told = True
            self._clock.call_later(0, self._tell_given_up, entry, Loss(None), "there is no link to it")

    def _bear(self, owner: Owner, stream: Stream) -> bool:
        """Whether so many bytes may wait."""
        bytes_max = self._limits.link_queue_bytes_max
        if stream.waiting <= bytes_max or stream.unsent() <= bytes_max:  # the ring has a bound of its own
            self.behind[owner] = None
            return True
        self._counters.add("link_queue_resets")
        sentence = f"it does not read: more than link_queue_bytes_max ({stream.waiting} bytes) wait for it"
        entry = self._entries[owner]
        loss = stream.give_up()
        entry.window.shut()
        entry.told = True  # in a moment
        if entry.link is not None:
            entry.link.break_off(sentence)
        self._clock.call_later(0, self._tell_given_up, entry, loss, sentence)
        return False

    def waiting(self) -> dict[str, int]:
        """How many bytes wait to be sent, by the name of the node that they are for."""
        waiting: dict[str, int] = {}
        for owner, stream in self._streams.items():
            waiting[owner.name] = waiting.get(owner.name, 0) + stream.waiting
        return waiting

    def settling(self) -> Callable[[], bool]:
        """What tells from then on whether everybody has what was sent until now, as far as anybody waits for it."""
        marks = [(entry, entry.stream.sent) for entry in self._entries.values()]

        def settled() -> bool:
            return all(
                entry.over or entry.stream.settled(number) or self._entries.get(entry.stream.peer) is not entry
                for entry, number in marks
            )

        return settled

    def flush(self) -> None:
        """Hand what was queued since the last flush to the links."""
        if self._unflushed:
            streams = tuple(self._unflushed)
            self._unflushed.clear()
            for stream in streams:
                entry = self._entries.get(stream.peer)
                if entry is not None and entry.link is not None:
                    entry.link.flush()
        if self.behind:
            self.look_relieved()

    def look_relieved(self) -> None:
        """Tell, in a later turn, which peers are no longer behind."""
        for owner in tuple(self.behind):
            stream = self._streams.get(owner)
            if stream is None or stream.waiting < self._mark_bytes // 2:
                del self.behind[owner]
                self._clock.call_later(0, self._on_relieved, owner)

    # ---- connections

    def expect(self, peer: Owner) -> None:
        """`peer` is a member: what is for it waits for its first link as for any other, or is told as lost."""
        self._entry(peer).member = True

    def _entry(self, peer: Owner) -> _Entry:
        entry = self._entries.get(peer)
        if entry is None:
            stream = Stream(
                peer=peer,
                draw_name=self._draw_name,
                frame_bytes_max=self._limits.link_frame_bytes_max,
                ring_bytes_max=self._limits.link_ring_bytes_max,
            )
            window = Window(self._clock, lambda: self._give_up(peer))
            self._streams[peer] = stream
            entry = self._entries[peer] = _Entry(stream, window)
            self._wait(entry)
        return entry

    def attach(self, peer: Owner, incarnation: int, link: Connection) -> DataCarrier:
        """`link` to `peer` is proven, for our `incarnation`: what it shall carry."""
        self.become(incarnation)
        entry = self._entry(peer)
        entry.link = link
        entry.replaced = False
        self._wait(entry)
        self._gone.pop(peer, None)
        return DataCarrier(
            stream=entry.stream,
            incarnation=incarnation,
            counters=self._counters,
            on_chunk=partial(self._on_chunk, link),
            on_data=self._on_data,
            on_chunk_end=self._on_chunk_end,
            on_resumed=lambda ours, theirs: self._resumed(entry, ours, theirs),
            on_missing=lambda loss: self._tell_theirs(entry, loss),
        )

    def _resumed(self, entry: _Entry, ours: Loss | None, theirs: Loss | None) -> None:
        if entry.flowed and ours is None and theirs is None:
            self._counters.add("link_resumes")
        entry.flowed = True
        entry.told = False
        entry.window.shut()
        if theirs is not None:
            self._tell_theirs(entry, theirs)
        if ours is not None:
            self._tell_ours(entry, ours, "the link broke, and it could not be resumed where it was cut")
        entry.counted = False
        if entry.link is not None:
            entry.link.flush()

    def detach(self, peer: Owner) -> None:
        """The link to `peer` is gone: the window for a resume begins."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        entry.link = None
        entry.stream.disconnected()
        if entry.over:
            self._bury(entry)
        elif entry.stream.state is State.BROKEN:
            self._park(entry)
        else:
            self._wait(entry)

    # ---- the end of streams

    def _wait(self, entry: _Entry) -> None:
        if not self._stopped:
            entry.window.open()

    def stop(self) -> None:
        """Wait for no link any more."""
        self._stopped = True
        for entry in self._entries.values():
            entry.window.shut()

    def _give_up(self, peer: Owner) -> None:
        entry = self._entries[peer]
        loss = entry.stream.give_up()
        if entry.link is not None:
            entry.link.break_off("it proved itself, but does not say what it resumes")
        self._tell_given_up(entry, loss, "the link did not come back in time")

    def _tell_given_up(self, entry: _Entry, loss: Loss, sentence: str) -> None:
        self.look_relieved()
        if self._entries.get(entry.stream.peer) is entry:
            self._tell_ours(entry, loss, sentence)
            if entry.link is None:
                self._park(entry)

    def _tell_ours(self, entry: _Entry, loss: Loss, sentence: str) -> None:
        peer = entry.stream.peer
        if loss.frames != 0:
            entry.told = entry.stream.state is State.BROKEN
            if not entry.counted:
                self._counters.add("link_gaps")
            entry.counted = True
            self._counters.add("link_frames_lost", loss.frames or 0)
            self._log.warn("{frames} to {name} are lost: {why}", frames=_frames(loss), name=peer.name, why=sentence)
            self._on_gap(Gap(self._name, peer.name, loss.frames))
        self._on_owner_lost(peer)

    def _tell_theirs(self, entry: _Entry, loss: Loss) -> None:
        peer = entry.stream.peer
        if loss.frames != 0:
            self._counters.add("link_gaps")
            self._counters.add("link_frames_lost", loss.frames or 0)
            self._log.warn("{frames} from {name} are lost: it gave them up", frames=_frames(loss), name=peer.name)
            self._on_gap(Gap(peer.name, self._name, loss.frames))
        self._on_owner_lost(peer)

    def supersede(self, peer: Owner) -> None:
        """`peer` is proven: other incarnations of its name are dead."""
        for owner, entry in tuple(self._entries.items()):
            if owner.name == peer.name and owner != peer and not entry.over:
                entry.replaced = True
                self._bury(entry)
                self._on_owner_lost(owner)

    def dead(self, owner: Owner) -> None:
        """The ledger says that this incarnation is dead; who waits for it is told by the ledger."""
        entry = self._entries.get(owner)
        if entry is None:
            return
        entry.doomed = True
        if entry.link is None:
            self._bury(entry)

    def members(self, up: Collection[Owner]) -> None:
        """The ledger's table has been replaced: members that are not `up` any more are dead."""
        for owner, entry in tuple(self._entries.items()):
            if entry.member and owner not in up:
                self.dead(owner)
        for owner in up:
            self.expect(owner)

    def _bury(self, entry: _Entry) -> None:
        entry.stream.give_up()
        entry.window.shut()
        self.look_relieved()
        self._park(entry)

    def _park(self, entry: _Entry) -> None:
        """Keep its numbers, and those of `GONE_MAX` in all: of the living rather than of the dead."""
        self._gone.pop(entry.stream.peer, None)
        self._gone[entry.stream.peer] = None
        if len(self._gone) > GONE_MAX:
            owner = next((each for each in self._gone if self._entries[each].over), next(iter(self._gone)))
            oldest = self._entries[owner]
            self._drop(owner)
            if oldest.stream.refused and not oldest.over:
                self._tell_ours(oldest, Loss(oldest.stream.refused), "the link did not come back")

    def become(self, incarnation: int) -> None:
        """This node's incarnation: streams of another one are dropped, which is told in a later turn."""
        if incarnation == self._incarnation:
            return
        self._incarnation = incarnation
        for owner in tuple(self._entries):
            self._drop(owner)
            self._clock.call_later(0, self._on_owner_lost, owner)

    def _drop(self, owner: Owner) -> None:
        self._entries.pop(owner).window.shut()
        self._unflushed.pop(self._streams.pop(owner), None)
        self._gone.pop(owner, None)
        self.look_relieved()


def _frames(loss: Loss) -> str:
    return "an unknown number of frames" if loss.frames is None else f"{loss.frames} frame(s) at most"
