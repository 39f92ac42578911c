"""What a message costs on its way through a data link, without sockets. `python -m bench.links`

One message per write, the dearest way: processor time to queue and take it, and to read and hand it over. To compare
two versions, run it in a checkout of each, in turns.
"""

from __future__ import annotations

import argparse
import time

from wampha.cluster.carriers import DataCarrier
from wampha.cluster.frames import FrameReader
from wampha.cluster.stream import Stream
from wampha.counters import Counters
from wampha.limits import Limits
from wampha.messages.payload import Family, Payload
from wampha.messages.relayed import Forward, Originator
from wampha.state.commands import Owner

_PIECE_BYTES = 1024 * 1024
_EVENT = Forward(
    "realm1",
    "com.example.topic",
    5,
    Originator(77, "someone", "anonymous"),
    {},
    Payload(Family.MSGPACK, 1, b"\x91\xb00123456789abcdef"),
)


class End:
    """One node's end of a data link, and how many messages it heard."""

    def __init__(self, name: int) -> None:
        limits = Limits()
        self.heard = 0
        self.reader = FrameReader(limits.link_frame_bytes_max)
        self.stream = Stream(
            peer=Owner("peer", 1),
            draw_name=lambda: name,
            frame_bytes_max=limits.link_frame_bytes_max,
            ring_bytes_max=limits.link_ring_bytes_max,
        )
        self.carrier = DataCarrier(
            stream=self.stream,
            incarnation=1,
            counters=Counters(),
            on_chunk=lambda: None,
            on_data=self._hear,
            on_chunk_end=lambda: None,
            on_resumed=lambda ours, theirs: None,
            on_missing=lambda loss: None,
        )

    def _hear(self, _source: Owner, _message: object) -> None:
        self.heard += 1

    def taken(self) -> list[bytes]:
        """All that this end has to send, as it would be written."""
        pieces = []
        while piece := self.carrier.take(_PIECE_BYTES):
            pieces.append(piece)
        return pieces

    def receive(self, chunk: bytes) -> None:
        """As a link does with what it reads."""
        for body in self.reader.frames(chunk):
            if body:
                self.carrier.receive(body)
        self.carrier.chunk_ended()


def measure(sender: End, receiver: End, messages: int) -> tuple[float, float]:
    """Seconds to send and to receive so many messages, each in a write of its own."""
    chunks: list[bytes] = []
    began = time.process_time()
    for _ in range(messages):
        sender.stream.append(_EVENT)
        chunks += sender.taken()
    sent = time.process_time()
    for chunk in chunks:
        receiver.receive(chunk)
    received = time.process_time()
    receiver.carrier.beat()
    for chunk in receiver.taken():
        sender.receive(chunk)
    return sent - began, received - sent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.links", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ends = End(1), End(2)
    for from_end, to_end in (ends, ends[::-1]):
        for chunk in from_end.taken():
            to_end.receive(chunk)
    best = [
        min(times) for times in zip(*(measure(*ends, options.messages) for _ in range(options.rounds)), strict=True)
    ]
    assert ends[1].heard == options.rounds * options.messages
    sending, receiving = (seconds / options.messages * 1e6 for seconds in best)
    print(f"sending {sending:.2f} us, receiving {receiving:.2f} us per message")


if __name__ == "__main__":
    main()
