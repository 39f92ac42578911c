"""What TLS for clients and TLS between nodes have in common: files, contexts, and words for what went wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL

from wampha.errors import WamphaError

_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE


class CertificateError(WamphaError):
    """A file cannot be used; `key` is that of the configuration."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key: Final = key


def context(method: int, minimum_version: int, files: Any) -> SSL.Context:
    """A context that shows `files.certificate` and never resumes a session; raises CertificateError."""
    made = SSL.Context(method)
    made.set_min_proto_version(minimum_version)
    made.set_options(_OPTIONS)
    made.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    read("certificate", files.certificate)
    read("key", files.key)
    try:
        made.use_certificate_chain_file(files.certificate)
    except SSL.Error:
        raise CertificateError("certificate", f"{files.certificate} holds no certificate in PEM format") from None
    try:
        made.use_privatekey_file(files.key)
        made.check_privatekey()
    except SSL.Error:
        raise CertificateError(
            "key", f"{files.key} is no private key in PEM format that fits {files.certificate}"
        ) from None
    return made


def expires(path: str) -> float:
    """When the first of the certificates in a file ends, in seconds since 1970; infinity if that cannot be read.

    OpenSSL has accepted the file before, so that it is used in any case.
    """
    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
        return min(each.not_valid_after_utc.timestamp() for each in certificates)
    except (OSError, ValueError):
        return math.inf


def believe(made: SSL.Context, key: str, path: str) -> None:
    """Believe whom the authorities in a file have signed; raises CertificateError, for `key` of the configuration."""
    read(key, path)
    try:
        made.load_verify_locations(path)
    except SSL.Error:
        raise CertificateError(key, f"{path} holds no certificate in PEM format") from None


def read(key: str, path: str) -> bytes:
    """The bytes of a file; raises CertificateError, for `key` of the configuration."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(key, f"{path} cannot be read: {error.strerror}") from None


def why(error: SSL.Error) -> str:
    """OpenSSL's words for what was wrong, e.g. `unsupported protocol` or `tlsv1 alert unknown ca`."""
    reasons = [entry[2] for entry in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(filter(None, reasons)) or "the connection was closed"
