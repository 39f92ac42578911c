"""How a session comes about: TCP or TLS, WebSocket or RawSocket, one URL after the other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from autobahn.twisted.rawsocket import WampRawSocketClientFactory, WampRawSocketClientProtocol
from autobahn.twisted.websocket import WampWebSocketClientFactory, WampWebSocketClientProtocol
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import defer, error, ssl
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from wampha.cli.exits import CommandFailed, Exit
from wampha.cli.session import AWAY, Lost, Refused, Session
from wampha.cli.target import Target, Trust, Url

PING_S: Final = 15.0  # of silence, after which a WebSocket server is asked whether it lives, and so long may answer
_SERIALIZERS: Final[dict[str, Any]] = {"json": JsonSerializer, "msgpack": MsgPackSerializer, "cbor": CBORSerializer}


class _Told:
    """Tells the session when, and why, its connection is gone: Autobahn says so only to sessions that were opened."""

    factory: Any
    wasNotCleanReason: str | None = None  # noqa: N815 - Autobahn's name

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        super().connectionLost(reason)  # type: ignore[misc]  # of the protocol beside
        self.factory.session.lost(_words(reason.value, self.wasNotCleanReason))


class _WebSocket(_Told, WampWebSocketClientProtocol):  # type: ignore[misc]  # untyped in Autobahn
    pass


class _RawSocket(_Told, WampRawSocketClientProtocol):  # type: ignore[misc]  # untyped in Autobahn
    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        super().connectionMade()  # type: ignore[no-untyped-call]  # in Autobahn
        transport: Any = self.transport
        transport.setTcpKeepAlive(True)  # RawSocket's own pings are unknown to Autobahn


def _factory(url: Url, target: Target, session: Session) -> Any:
    make: Any = WampWebSocketClientFactory if url.websocket else WampRawSocketClientFactory
    serializer = _SERIALIZERS[target.serializer]()
    if not url.websocket:
        factory = make(lambda: session, serializer=serializer)
        factory.protocol = _RawSocket
    else:
        factory = make(lambda: session, url=url.text, serializers=[serializer])
        factory.protocol = _WebSocket
        factory.setProtocolOptions(
            openHandshakeTimeout=target.connect_timeout_s,
            closeHandshakeTimeout=1,
            autoPingInterval=PING_S,
            autoPingTimeout=PING_S,
            autoPingRestartOnAnyTraffic=True,
        )
    factory.session = session
    return factory


async def connect(reactor: Any, target: Target) -> Session:
    """A session that has joined, at the first URL of the target that has one for us.

    Raises CommandFailed: UNREACHABLE with one sentence per URL, or REFUSED.
    """
    failures = []
    for url in target.urls:
        try:
            return await _join(reactor, url, target)
        except Lost as lost:
            failures.append(f"{url.text}: {lost}")
        except Refused as refused:
            if refused.reason not in AWAY:
                raise CommandFailed(Exit.REFUSED, f"{url.text} refuses: {refused}") from None
            failures.append(f"{url.text}: {refused}")
    raise CommandFailed(Exit.UNREACHABLE, "cannot connect to " + "; ".join(failures))


async def _join(reactor: Any, url: Url, target: Target) -> Session:
    """Raises Lost or Refused."""
    session = Session(target)
    endpoint = _endpoint(reactor, url, target)
    try:
        await endpoint.connect(_factory(url, target, session)).addTimeout(target.connect_timeout_s, reactor)
    except (error.ConnectError, error.DNSLookupError, defer.TimeoutError, OSError, ValueError) as failure:
        raise Lost(_words(failure)) from None
    try:
        await session.joined.addTimeout(target.connect_timeout_s, reactor)
    except defer.TimeoutError:
        session.abandon()
        raise Lost(f"it accepts connections, but lets nobody join within {target.connect_timeout_s:g} s") from None
    except defer.CancelledError:
        session.abandon()
        raise
    return session


def _endpoint(reactor: Any, url: Url, target: Target) -> Any:
    endpoint: Any = HostnameEndpoint(reactor, url.host, url.port, timeout=target.connect_timeout_s)
    return wrapClientTLS(_creator(url.host, target.trust), endpoint) if url.encrypted else endpoint


def _creator(host: str, trust: Trust) -> Any:
    """What makes TLS connections to `host`. Raises CommandFailed for files that are no certificates."""
    try:
        own = _own(trust)
        if trust.insecure:
            return _Insecure(host, own)
        authority = None
        if trust.authority is not None:
            root: Any = ssl.trustRootFromCertificates
            authority = root(_certificates(trust.authority))
        return ssl.optionsForClientTLS(host, trustRoot=authority, clientCertificate=own)
    except (SSL.Error, ValueError) as wrong:
        raise CommandFailed(Exit.USAGE, f"the TLS files cannot be used: {_openssl(wrong)}") from None


def _certificates(path: Path) -> list[Any]:
    end = "-----END CERTIFICATE-----"
    texts = [text + end for text in path.read_text().split(end)[:-1]]
    if not texts:
        raise ValueError(f"{path} has no certificate")
    load: Any = ssl.Certificate.loadPEM
    return [load(text) for text in texts]


def _own(trust: Trust) -> Any:
    if trust.certificate is None or trust.key is None:
        return None
    key, certificate = trust.key.read_text(), trust.certificate.read_text()
    load: Any = ssl.PrivateCertificate.loadPEM
    return load(certificate + "\n" + key)


@implementer(IOpenSSLClientConnectionCreator)
class _Insecure:
    """Encrypts, and asks nobody who the server is."""

    def __init__(self, host: str, own: Any) -> None:
        given = {} if own is None else {"privateKey": own.privateKey.original, "certificate": own.original}
        make: Any = ssl.CertificateOptions
        self._context: Final = make(verify=False, **given).getContext()
        self._host: Final = host

    def clientConnectionForTLS(self, protocol: Any) -> Any:  # noqa: N802 - Twisted's name
        """Return the connection for a new protocol."""
        connection = SSL.Connection(self._context, None)
        connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection


def _words(failure: BaseException, autobahn: str | None = None) -> str:
    """Why a connection failed or ended, for people."""
    if isinstance(failure, SSL.Error):
        return f"TLS: {_openssl(failure)}"
    if isinstance(failure, VerificationError):
        return "TLS: its certificate is for another name"
    for kind, words in _WORDS:
        if isinstance(failure, kind):
            return words
    if autobahn:
        return autobahn
    return str(failure) or type(failure).__name__


_WORDS: Final[Iterable[tuple[type[BaseException], str]]] = (
    (error.ConnectionRefusedError, "connection refused; nothing listens there"),
    (error.DNSLookupError, "there is no such host"),
    (error.TimeoutError, "no answer"),
    (defer.TimeoutError, "no answer"),
)


def _openssl(failure: BaseException) -> str:
    """OpenSSL's own words, and what helps."""
    if isinstance(failure, SSL.Error) and failure.args and isinstance(failure.args[0], list):
        words = ", ".join(sorted({entry[-1] for entry in failure.args[0] if entry[-1]}))
        hint = "; name its authority with --ca FILE" if "verify failed" in words else ""
        return (words or "broken off") + hint
    return str(failure)
