"""What one incarnation sends another over data links, and receives, whatever becomes of the connections.

Frames are numbered for as long as both incarnations live. What was sent is kept until the peer has acknowledged it, so
that a new connection goes on where the last one was cut. On each connection both ends first say `Resume`:

    stream    the name of what I send you; a new one each time I have given frames up
    heard     the name of what I have heard from you (0: nothing), and `received`, the number of the last frame
    first     the oldest frame that I still have
    origin    the name of my first stream to you; another one than before: I had forgotten you

    DOWN -- connected --> CONNECTING -- peer's Resume --> FLOWING
     ^  `<------------- disconnected --------------'---------'
     give_up, in any state --> BROKEN -- connected --> CONNECTING

Neither time nor sockets: who calls decides when the window for a resume is over.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from wampha.cluster.frames import Ack, Envelope, FrameError, Resume, append_envelope, frames_end
from wampha.messages.relayed import CancelInvoke, Query, QueryReply, Relayed, Reported
from wampha.state.commands import Owner

_CHUNK_BYTES_MAX: Final = 1024 * 1024  # what is gathered becomes a chunk at this size at the latest
ACK_BYTES: Final = 1024 * 1024  # received bytes that are acknowledged at once; fewer wait for the next keep-alive

# The calls between two nodes that have lost one another end at both ends, and who asks is told whom it does not hear.
_NO_LOSS: Final = frozenset((CancelInvoke, Query, QueryReply, Reported))


class State(enum.Enum):
    """What a stream does with frames."""

    DOWN = "keeps them for the next connection"
    CONNECTING = "keeps them until the peer has said where to go on"
    FLOWING = "sends them"
    BROKEN = "gave them up, and takes none until there is a connection"


_FLOWING: Final = State.FLOWING  # asked for each frame
_BROKEN: Final = State.BROKEN


class Loss(NamedTuple):
    """Something between two incarnations cannot be made good; `frames` is how many frames, None if unknown."""

    frames: int | None


class Stream:
    """Both directions between this node's incarnation and `peer`. At any time it has one connection at most."""

    def __init__(self, *, peer: Owner, draw_name: Callable[[], int], frame_bytes_max: int, ring_bytes_max: int) -> None:
        """`draw_name` gives numbers from 1 that nobody else draws; the ring is what is kept of frames sent."""
        self.peer: Final = peer
        self.state = State.DOWN
        self.refused = 0  # frames that came while it was broken and that no loss has told yet
        self.waiting = 0  # bytes not handed to the present connection
        self.offset = 0  # bytes that `take` has given out of a chunk that is not out as a whole
        self.ack_due = False  # an acknowledgement should not wait for the next keep-alive
        self._draw_name: Final = draw_name
        self._frame_bytes_max: Final = frame_bytes_max
        self._ring_bytes_max: Final = ring_bytes_max
        # Sending. Chunks are whole frames with the number of the last one; they are kept and sent as the same object.
        self._name = draw_name()
        self._origin: Final = self._name
        self._sent = 0  # number of the last frame
        self._handed = 0  # and of the last one that any connection got a byte of
        self._acked = 0  # and of the last one that the peer has
        self._gone = 0  # and of the last one that is not kept any more
        self._announced = 1  # `first` of our last Resume
        self._gathered: Final = bytearray()  # the newest frames
        self._ready: Final[deque[tuple[int, bytes]]] = deque()  # older ones, not handed over
        self._ring: Final[deque[tuple[int, bytes]]] = deque()  # the oldest: handed over, not acknowledged
        self._ring_bytes = 0
        # Receiving.
        self._heard = 0
        self._heard_origin = 0
        self._received = 0
        self._told = 0  # the last one that was acknowledged
        self._untold_bytes = 0

    # ---- sending

    def append(self, relayed: Relayed) -> bool:
        """Number and keep one message; False if the stream is broken. FrameError, and nothing kept, as in `frames`."""
        number = self._sent + 1
        if self.state is _BROKEN:
            if type(relayed) in _NO_LOSS:
                return False
            self._sent = self._gone = number
            self.refused += 1
            return False
        gathered = self._gathered
        self.waiting += append_envelope(
            gathered, Envelope(self.peer.incarnation, number, relayed), self._frame_bytes_max
        )
        self._sent = number
        if len(gathered) > _CHUNK_BYTES_MAX:
            self._seal()
        return True

    def unsent(self) -> int:
        """How many of the waiting bytes no connection was given, in time linear in the chunks that wait."""
        return len(self._gathered) + sum(len(data) for last, data in self._ready if last > self._handed)

    def _seal(self) -> None:
        self._ready.append((self._sent, bytes(self._gathered)))
        self._gathered.clear()

    def take(self, bytes_max: int) -> bytes:
        """The next bytes for the connection, empty if there are none now."""
        if self.state is not _FLOWING:
            return b""
        ready = self._ready
        if not ready:
            gathered = self._gathered
            if not gathered:
                return b""
            if len(gathered) <= bytes_max:  # the usual case, without a detour
                data = bytes(gathered)
                gathered.clear()
                self.waiting = 0
                self._handed = self._sent
                self._keep(self._sent, data)
                return data
            self._seal()
        last, data = ready[0]
        self._handed = last
        piece = data[self.offset : self.offset + bytes_max]  # the object itself if it is all of it
        self.waiting -= len(piece)
        self.offset += len(piece)
        if self.offset == len(data):
            self.offset = 0
            ready.popleft()
            self._keep(last, data)
        return piece

    def _keep(self, last: int, data: bytes) -> None:
        ring = self._ring
        ring.append((last, data))
        self._ring_bytes += len(data)
        while self._ring_bytes > self._ring_bytes_max and len(ring) > 1:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._gone, data = self._ring.popleft()
        self._ring_bytes -= len(data)

    def acknowledged(self, received: int) -> None:
        """The peer has all frames up to a number; FrameError if they were never sent."""
        self._confirm(received)
        while self._ring and self._ring[0][0] <= received:
            self._forget_oldest()

    @property
    def sent(self) -> int:
        """The number of the last frame."""
        return self._sent

    def settled(self, number: int) -> bool:
        """Whether the peer has all frames up to that number, or will not get them."""
        return self._acked >= number or self.state is _BROKEN

    def _confirm(self, received: int) -> None:
        if received > self._handed:
            raise FrameError(f"frame {received} is acknowledged, {self._handed} were sent")
        self._acked = max(self._acked, received)

    def give_up(self) -> Loss:
        """Keep nothing: whatever the peer has not got is lost. Returns how many frames that may be, at most."""
        loss = Loss(self._sent - self._acked)
        self._gathered.clear()
        self._ready.clear()
        self._ring.clear()
        self._ring_bytes = self.waiting = self.offset = 0
        self._gone = self._acked = self._sent
        self.refused = 0
        self._name = self._draw_name()
        self.state = State.BROKEN
        return loss

    # ---- connections

    def connected(self) -> Resume:
        """A new connection, in place of any other: what to say on it first."""
        self.disconnected()
        self.state = State.CONNECTING
        self._announced = self._gone + 1
        self._handed = max(self._handed, self._gone)  # the peer will count on from there
        self._told, self._untold_bytes, self.ack_due = self._received, 0, False
        return Resume(self._name, self._heard, self._received, self._announced, self._origin)

    def disconnected(self) -> None:
        """The connection is gone: what it was given and the peer did not acknowledge is to be sent again."""
        if self.state is State.BROKEN:
            return
        self.state = State.DOWN
        self.waiting += self._ring_bytes + self.offset
        self.offset = self._ring_bytes = 0
        while self._ring:
            self._ready.appendleft(self._ring.pop())

    def resume(self, resume: Resume) -> tuple[Loss | None, Loss | None]:
        """The peer's first word on this connection: sending goes on. Returns what is lost of our frames and of theirs.

        A loss of no frames says that the peer gave up, though nothing was on its way. FrameError if the peer has
        frames that were never sent.
        """
        if self.state is not State.CONNECTING:
            raise FrameError("it resumes a second time")
        ours, theirs = self._go_on(resume), self._listen(resume)
        self.state = State.FLOWING
        return ours, theirs

    def _go_on(self, resume: Resume) -> Loss | None:
        lost, self.refused = self.refused, 0
        forgot = self._heard_origin not in (0, resume.origin)
        self._heard_origin = resume.origin
        if forgot:  # it may have had what it was given: never twice (P4)
            lost = max(lost, self._handed - self._acked)
            self._acked = self._handed
            self._skip_to(self._handed)
            return Loss(lost)
        if resume.heard == self._name:
            self._confirm(resume.received)
            lost += max(0, self._gone - resume.received)
            self._skip_to(resume.received)
        else:  # the peer goes by what we announced
            self._acked = max(self._acked, self._announced - 1)
        return Loss(lost) if lost else None

    def _skip_to(self, received: int) -> None:
        """Forget the frames up to that number."""
        ready = self._ready
        while ready and ready[0][0] <= received:
            self._gone, data = ready.popleft()
            self.waiting -= len(data)
        if ready and self._gone < received:
            last, data = ready[0]
            end = frames_end(data, received - self._gone)
            ready[0] = (last, data[end:])
            self.waiting -= end
            self._gone = received

    # ---- receiving

    def _listen(self, resume: Resume) -> Loss | None:
        known, self._heard = self._heard, resume.stream
        missing = resume.first - 1 - self._received
        if known == resume.stream and missing <= 0:
            return None
        self._received = resume.first - 1
        if not known:
            return Loss(missing) if missing else None
        return Loss(missing if missing >= 0 else None)

    def accept(self, number: int, size: int) -> Loss | None:
        """Take note of a received frame; returns what is missing before it. FrameError if it came already."""
        if self.state is not _FLOWING:
            raise FrameError("a data frame came before the peer said what it resumes")
        missing = number - self._received - 1
        if missing < 0:
            raise FrameError(f"data frame {number} came after {self._received}")
        self._received = number
        self._untold_bytes += size
        if self._untold_bytes >= ACK_BYTES:
            self.ack_due = True
        return Loss(missing) if missing else None

    def ack(self) -> Ack | None:
        """The acknowledgement to send, if the peer does not know yet."""
        if self.state is not State.FLOWING or self._told == self._received:
            return None
        self._told, self._untold_bytes, self.ack_due = self._received, 0, False
        return Ack(self._received)
