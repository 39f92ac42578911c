"""What a message costs on its way through a data link, without sockets. `python -m bench.links`

One message per write, the dearest way: processor time to queue and take it, and to read and hand it over. To compare
two versions, run it in a checkout of each, in turns. With `--tls` the writes go through mutual TLS as on a link, in
rounds that take turns with those without it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from wampha.certs import CA, Authority, write
from wampha.cluster.carriers import DataCarrier
from wampha.cluster.encryption import Encryption
from wampha.cluster.frames import FrameReader
from wampha.cluster.stream import Stream
from wampha.config.tls import ClusterTls
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


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append

    def taken(self) -> bytes:
        data = b"".join(self.written)
        self.written.clear()
        return data


class Tls:
    """An encrypted connection: what the one end writes can be read at the other."""

    def __init__(self) -> None:
        self.wires = Wire(), Wire()
        with tempfile.TemporaryDirectory() as folder:
            authority = Authority.new(1)
            write(Path(folder), CA, authority.key, authority.certificate)
            self.dialer, self.acceptor = (self._end(Path(folder), authority, name) for name in "ba")
        while any(wire.written for wire in self.wires):
            for wire, other in zip(self.wires, (self.acceptor, self.dialer), strict=True):
                if data := wire.taken():
                    other.dataReceived(data)

    def _end(self, folder: Path, authority: Authority, name: str) -> Any:
        write(folder, name, *authority.sign(name, [], 1))
        files = ClusterTls(certificate=f"{folder}/{name}.pem", key=f"{folder}/{name}.key", ca=f"{folder}/{CA}.pem")
        factory = Factory.forProtocol(Protocol)
        end = Encryption(files, name, Clock()).around(factory, dials=name == "b").buildProtocol(None)
        end.makeConnection(self.wires[name == "a"])
        return end

    def encrypt(self, data: bytes) -> bytes:
        self.dialer.write(data)
        return self.wires[0].taken()


def measure(sender: End, receiver: End, messages: int, tls: Tls | None = None) -> tuple[float, float]:
    """Seconds to send and to receive so many messages, each in a write of its own."""
    chunks: list[bytes] = []
    receive = receiver.receive
    began = time.process_time()
    for _ in range(messages):
        sender.stream.append(_EVENT)
        chunks += sender.taken() if tls is None else map(tls.encrypt, sender.taken())
    sent = time.process_time()
    if tls is not None:
        tls.acceptor.wrappedProtocol.dataReceived, receive = receive, tls.acceptor.dataReceived
    for chunk in chunks:
        receive(chunk)
    received = time.process_time()
    receiver.carrier.beat()
    for chunk in receiver.taken():
        sender.receive(chunk)
    return sent - began, received - sent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.links", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tls", action="store_true", help="with and without TLS, in turns")
    options = parser.parse_args()
    ends = End(1), End(2)
    for from_end, to_end in (ends, ends[::-1]):
        for chunk in from_end.taken():
            to_end.receive(chunk)
    ways: dict[str, Tls | None] = {"plain": None, "TLS": Tls()} if options.tls else {"plain": None}
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, tls in ways.items():
            times[way].append(measure(*ends, options.messages, tls))
    assert ends[1].heard == len(ways) * options.rounds * options.messages
    for way, rounds in times.items():
        sending, receiving = (min(each) / options.messages * 1e6 for each in zip(*rounds, strict=True))
        print(f"{way}: sending {sending:.2f} us, receiving {receiving:.2f} us per message")


if __name__ == "__main__":
    main()
