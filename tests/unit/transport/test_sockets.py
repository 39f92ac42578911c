"""What is known of the sockets below Twisted's transports."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor

from wampha.transport.sockets import twisted_buffers_as_expected


def test_twisted_keeps_unsent_bytes_where_the_direct_write_looks_for_them() -> None:
    assert twisted_buffers_as_expected()
    assert issubclass(tcp.Server, FileDescriptor) and issubclass(unix.Server, FileDescriptor)
    descriptor = FileDescriptor(reactor=FakeReactor())
    descriptor.connected = 1
    descriptor.write(b"abc")
    assert descriptor._tempDataLen == 3
    descriptor.writeSomeData = lambda data: 1  # type: ignore[method-assign]
    descriptor.doWrite()
    assert (descriptor._tempDataLen, len(descriptor.dataBuffer) - descriptor.offset) == (0, 2)
    descriptor.doWrite()
    descriptor.doWrite()
    assert descriptor.dataBuffer == b""
    assert tcp.Server.TLS is False


class FakeReactor:
    def addWriter(self, descriptor: Any) -> None:  # noqa: N802 - Twisted's name
        pass

    def removeWriter(self, descriptor: Any) -> None:  # noqa: N802 - Twisted's name
        pass
