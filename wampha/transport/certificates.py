"""What a TLS listener shows, and whom it believes: read from files, and again when they have changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from wampha.auth.steps import Certificate
from wampha.counters import Counters
from wampha.errors import WamphaError

LOG_S: Final = 10.0
VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# TLS 1.2 only with forward secrecy and authenticated encryption (RFC 9325); TLS 1.3 has nothing else.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE


class CertificateError(WamphaError):
    """A file cannot be used; `key` is that of the configuration."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key: Final = key


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """The TLS side of one listener. Sessions are never resumed: so each client is judged by the present files."""

    def __init__(self, tls: Any) -> None:
        """`tls`: a `config.tls.Tls`. Raises CertificateError."""
        self._tls: Final = tls
        self._context = context_of(tls)

    def reload(self) -> None:
        """Read the files again, for connections to come; raises CertificateError, and keeps what there was."""
        self._context = context_of(self._tls)

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
            why=_why(error),
        )
        self._silent_until, self._untold = now + LOG_S, 0


def _why(error: SSL.Error) -> str:
    """OpenSSL's words for what was wrong, e.g. `unsupported protocol` or `tlsv1 alert unknown ca`."""
    reasons = [entry[2] for entry in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(filter(None, reasons)) or "the connection was closed"


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
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(VERSIONS[tls.minimum_version])
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(_CIPHERS)
    _read("certificate", tls.certificate)
    _read("key", tls.key)
    try:
        context.use_certificate_chain_file(tls.certificate)
    except SSL.Error:
        raise CertificateError("certificate", f"{tls.certificate} holds no certificate in PEM format") from None
    try:
        context.use_privatekey_file(tls.key)
        context.check_privatekey()
    except SSL.Error:
        raise CertificateError(
            "key", f"{tls.key} is no private key in PEM format that fits {tls.certificate}"
        ) from None
    if tls.client_ca:
        _believe(context, tls)
    return context


def _believe(context: SSL.Context, tls: Any) -> None:
    _read("client_ca", tls.client_ca)
    try:
        context.load_verify_locations(tls.client_ca)
    except SSL.Error:
        raise CertificateError("client_ca", f"{tls.client_ca} holds no certificate in PEM format") from None
    required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if tls.client_certificate == "required" else 0
    context.set_verify(SSL.VERIFY_PEER | required, None)


def _read(key: str, path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(key, f"{path} cannot be read: {error.strerror}") from None
