"""Mutual TLS 1.3 between nodes: both sides show a certificate of the cluster's authority.

`handshake.py` compares the names in it with the node that the peer says it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from wampha.cluster.handshake import HandshakeRefused, Refusal, RefusedByPeer
from wampha.errors import LinkRefused
from wampha.tls import CertificateError, believe, context, expires, read, why

_RECORD_TYPES: Final = (21, 22)  # alert and handshake: what a peer that speaks TLS can say first
_Codes = SSL.X509VerificationCodes
_UNSIGNED: Final = "is not signed by an authority in cluster.tls.ca"
_WRONG: Final = {
    _Codes.ERR_CERT_HAS_EXPIRED: "has expired",
    _Codes.ERR_CERT_NOT_YET_VALID: "is not valid yet, by the clock of this node",
    _Codes.ERR_INVALID_PURPOSE: "is not for both who dials and who accepts (extended key usage)",
    _Codes.ERR_CERT_SIGNATURE_FAILURE: _UNSIGNED,
    _Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: _UNSIGNED,
    _Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN: _UNSIGNED,
    _Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: _UNSIGNED,
    _Codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: _UNSIGNED,
}


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class Encryption:
    """The TLS side of a node's links. Sessions are never resumed: so each peer is judged by the present files."""

    def __init__(self, tls: Any, name: str, reactor: Any) -> None:
        """`tls`: a `config.tls.ClusterTls`; `name`: this node's. Raises CertificateError."""
        self._tls: Final = tls
        self._name: Final = name
        self._reactor: Final = reactor
        self._context = link_context(tls, name)
        self.expires = expires(tls.certificate)  # seconds since 1970

    def prepare(self) -> Callable[[], None]:
        """Read the files again; raises CertificateError. What is returned makes them hold for links to come."""
        fresh, end = link_context(self._tls, self._name), expires(self._tls.certificate)

        def use() -> None:
            self._context, self.expires = fresh, end

        return use

    def around(self, factory: Any, *, dials: bool) -> Any:
        """The factory whose protocols are those of `factory`, encrypted."""
        return _EncryptedFactory(cast(Any, self), dials, factory, self._reactor)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:  # noqa: N802, N803 - Twisted's names
        """The TLS state of a dialled connection."""
        return SSL.Connection(self._context, None)

    serverConnectionForTLS = clientConnectionForTLS  # noqa: N815 - Twisted's name


def link_context(tls: Any, name: str) -> SSL.Context:
    """The context of the links of node `name`, for both sides; raises CertificateError."""
    made = context(SSL.TLS_METHOD, SSL.TLS1_3_VERSION, tls)
    believe(made, "ca", tls.ca)
    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _judge)
    names = _dns_names(x509.load_pem_x509_certificate(read("certificate", tls.certificate)))
    if name not in names:
        shown = ", ".join(sorted(names)) or "nobody"
        raise CertificateError("certificate", f'{tls.certificate} is for {shown}, and node.name is "{name}"')
    return made


def _dns_names(certificate: x509.Certificate) -> frozenset[str]:
    """The names for which a certificate stands. Wildcards are not interpreted: they are the name of no node."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):  # ValueError: an extension that cannot be read
        return frozenset()
    return frozenset(extension.value.get_values_for_type(x509.DNSName))


def _judge(connection: SSL.Connection, certificate: crypto.X509, error: int, _depth: int, good: int) -> bool:
    """Note why OpenSSL does not believe a certificate; its error says no more than that it does not."""
    if not good:
        wrong = _WRONG.get(error, f"is not valid (reason {error} of OpenSSL's X509_V_ERR)")
        connection.get_app_data().complaint = f"the certificate of {certificate.get_subject().commonName!r} {wrong}"
    return bool(good)


# ---- connections


class Encrypted(Protocol):
    """The protocol above TLS."""

    def spoken_to_plainly(self) -> bytes:
        """The peer does not speak TLS; what is returned is its answer, as plain."""


class EncryptedTransport(TLSMemoryBIOProtocol):
    """TLS below one link. It buffers no more than what it is given at once: a link's writes come together already."""

    complaint = ""  # what is wrong with the peer's certificate
    _heard = False

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Decrypt; a peer that does not speak TLS is told so in a way that it can read."""
        if not self._heard:
            self._heard = True
            if data[0] not in _RECORD_TYPES:
                transport = cast(Any, self.transport)
                transport.write(cast(Encrypted, self.wrappedProtocol).spoken_to_plainly())
                transport.loseConnection()
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]  # of Twisted

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close at once; a connection that is gone already stays so."""
        if self.connected:
            super().abortConnection()  # type: ignore[no-untyped-call]  # of Twisted

    def peer_names(self) -> frozenset[str]:
        """The names in the certificate that the peer has shown and TLS has checked."""
        shown = self.getPeerCertificate()  # type: ignore[no-untyped-call]  # of Twisted
        return _dns_names(shown.to_cryptography()) if shown is not None else frozenset()

    def refusal(self, reason: Failure) -> LinkRefused | None:
        """What TLS found wrong, if that has ended the connection for `reason`."""
        if not isinstance(reason.value, SSL.Error):
            return None
        words = why(reason.value)
        if "alert" in words:
            return RefusedByPeer(f"{Refusal.TLS.value} there ({words})")
        return HandshakeRefused(Refusal.TLS, self.complaint or words)


class _EncryptedFactory(TLSMemoryBIOFactory):
    protocol = EncryptedTransport

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        prefix: str = self.wrappedFactory.logPrefix()
        return prefix

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 - Twisted's name
        """None if there shall be no connection, which Twisted's own does not know."""
        protocol = self.wrappedFactory.buildProtocol(addr)
        if protocol is None:
            return None
        return EncryptedTransport(self, protocol)  # type: ignore[no-untyped-call]  # of Twisted
