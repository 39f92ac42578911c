"""Method `tls`: the client's certificate, which TLS has checked already, names a principal of ours."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from wampha.auth.grant import Grant
from wampha.auth.principals import STATIC, Source
from wampha.auth.steps import Chance, Claim, Steps, failed

METHOD: Final = "tls"


class CertificateHolder(msgspec.Struct, frozen=True):
    """Whoever has the certificate of one of these fingerprints."""

    authid: str
    role: str
    fingerprints: frozenset[str]  # SHA-1 or SHA-256, lower-case hexadecimal digits
    realm: str | None = None


class Tls:
    """Lets in who has a known certificate."""

    def __init__(self, holders: tuple[CertificateHolder, ...]) -> None:
        self._by_fingerprint: Final = {each: holder for holder in holders for each in holder.fingerprints}

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Compare fingerprints; who gives an authid must be that one."""
        if claim.certificate is None:
            raise failed("no client certificate")
        for fingerprint in (claim.certificate.sha256, claim.certificate.sha1):
            holder = self._by_fingerprint.get(fingerprint)
            if holder is not None and holder.realm in (None, claim.realm) and claim.authid in (None, holder.authid):
                return Grant(holder.authid, holder.role, METHOD, STATIC)
        raise failed("unknown certificate")
        yield  # a generator, like all methods


class PresentedCertificate:
    """Lets in whom an authenticator wants to be let in by the certificate, which stands in `details.transport`."""

    def __init__(self, source: Source[Any]) -> None:
        self._source: Final = source

    def steps(self, claim: Claim, chance: Chance) -> Steps:
        """Ask about the certificate; its common name is the client's, unless the authenticator says another one."""
        certificate = claim.certificate
        if certificate is None:
            raise failed("no client certificate")
        found = yield from self._source.find(claim, METHOD)
        authid = found.authid or certificate.common_name or certificate.sha256
        return Grant(authid, found.principal.role, METHOD, self._source.provider)
