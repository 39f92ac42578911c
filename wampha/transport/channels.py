"""What only the two ends of one TLS channel know: by it a proof is bound to the channel and worth nothing elsewhere."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from wampha.auth.steps import CHANNEL_BINDINGS, TLS_EXPORTER, TLS_UNIQUE, unbound
from wampha.transport.sockets import over_tls

_TLS_1_3: Final = "TLSv1.3"
_LABEL: Final = b"EXPORTER-Channel-Binding"  # RFC 9266, section 2: with an empty context, 32 bytes
_LENGTH: Final = 32


def channel_id(transport: Any, binding: str) -> bytes:
    """The 32 bytes of a TLS channel, by one of CHANNEL_BINDINGS; raises SessionRefused, saying why there are none.

    `tls-unique` is the first Finished message (RFC 5929), as its SHA-256: so WAMP's clients make 32 bytes of it. It is
    the client's, since no session is ever resumed.
    """
    if binding not in CHANNEL_BINDINGS:
        raise unbound(f"it may be {' or '.join(CHANNEL_BINDINGS)}")
    if not over_tls(transport):
        raise unbound("it needs TLS between client and router, with no proxy that ends it in between")
    connection = transport.getHandle()
    version = connection.get_protocol_version_name()
    if binding == TLS_UNIQUE:
        if version == _TLS_1_3:
            raise unbound(f"{TLS_UNIQUE} is not defined for TLS 1.3; ask for {TLS_EXPORTER}, or connect with TLS 1.2")
        return hashlib.sha256(connection.get_peer_finished()).digest()
    # Of older versions only with an extended master secret, which OpenSSL does not let us see (RFC 9266, section 4).
    if version != _TLS_1_3:
        raise unbound(f"{TLS_EXPORTER} needs TLS 1.3; ask for {TLS_UNIQUE}")
    exported: bytes = connection.export_keying_material(_LABEL, _LENGTH)
    return exported
