"""What a TLS listener shows, and whom it believes: read from files, and again when they have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from wampha.auth.steps import Certificate
from wampha.counters import Counters
from wampha.tls import believe, context, expires, why

LOG_S: Final = 10.0
VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# TLS 1.2 only with forward secrecy and authenticated encryption (RFC 9325); TLS 1.3 has nothing else.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """The TLS side of one listener. Sessions are never resumed: so each client is judged by the present files."""

    def __init__(self, tls: Any) -> None:
        """`tls`: a `config.tls.Tls`. Raises CertificateError."""
        self._context = context_of(tls)
        self.expires = expires(tls.certificate)  # seconds since 1970

    def prepare(self, tls: Any) -> Callable[[], None]:
        """Read the files of `tls`; raises CertificateError. What is returned makes them hold from now on."""
        fresh, end = context_of(tls), expires(tls.certificate)

        def use() -> None:
            self._context, self.expires = fresh, end

        return use

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:  # noqa: N802, N803 - Twisted's names
        """The TLS state of a new connection."""
        return SSL.Connection(self._context, None)


class FailedHandshakes:
    """TLS handshakes that came to nothing: counted, and said at most once in LOG_S, with how many there were."""

    _log = Logger(namespace="wampha.transport")

    def __init__(self, *, counters: Counters, seconds: Callable[[], float]) -> None:
        self._counters: Final = counters
        self._seconds: Final = seconds
        self._silent_until = 0.0
        self._untold = 0

    def add(self, peer: str, error: SSL.Error) -> None:
        """One has failed."""
        self._counters.add("tls_handshakes_failed")
        self._untold += 1
        now = self._seconds()
        if now < self._silent_until:
            return
        self._log.warn(
            "{count} TLS handshake(s) failed; the last with {peer}: {why}",
            count=self._untold,
            peer=peer,
            why=why(error),
        )
        self._silent_until, self._untold = now + LOG_S, 0


def client_certificate(transport: Any) -> Certificate | None:
    """The certificate that the client has shown and TLS has checked, if there is one."""
    shown = transport.getPeerCertificate() if hasattr(transport, "getPeerCertificate") else None
    if shown is None:
        return None
    certificate = shown.to_cryptography()
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        sha1=certificate.fingerprint(hashes.SHA1()).hex(),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        common_name=str(names[0].value) if names else "",
    )


def context_of(tls: Any) -> SSL.Context:
    """A server's context by a `config.tls.Tls`; raises CertificateError."""
    made = context(SSL.TLS_SERVER_METHOD, VERSIONS[tls.minimum_version], tls)
    made.set_cipher_list(_CIPHERS)
    if tls.client_ca:
        believe(made, "client_ca", tls.client_ca)
        required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if tls.client_certificate == "required" else 0
        made.set_verify(SSL.VERIFY_PEER | required, None)
    return made
