"""Encryption of a listener, and between nodes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wampha.config.section import Section


class Tls(Section):
    """TLS for clients. Files are PEM; relative paths start at the folder of this file, and SIGHUP reads them again."""

    certificate: str = Field(min_length=1, description="the listener's certificate, and behind it those that signed it")
    key: str = Field(min_length=1, description="the private key of the certificate, without a passphrase")
    client_ca: str | None = Field(
        None, min_length=1, description="whose signature a client's certificate must have; else none is asked for"
    )
    client_certificate: Literal["required", "optional"] = Field(
        "required", description="whether a client without a certificate is refused, if there is a client_ca"
    )
    minimum_version: Literal["1.2", "1.3"] = Field("1.2", description="the oldest version of TLS that is spoken")

    @model_validator(mode="after")
    def _check_client(self) -> Self:
        if self.client_certificate == "optional" and not self.client_ca:
            raise ValueError("should have a client_ca, since client_certificate is optional")
        return self


class ClusterTls(Section):
    """Mutual TLS 1.3 between nodes. Files are PEM; relative paths start at the folder of this file.

    SIGHUP reads them again, for links to come.
    """

    certificate: str = Field(
        min_length=1, description="this node's certificate, with node.name among its DNS names; behind it who signed it"
    )
    key: str = Field(min_length=1, description="the private key of the certificate, without a passphrase")
    ca: str = Field(min_length=1, description="whose signature the certificates of all nodes must have")
