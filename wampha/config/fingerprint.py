"""By what nodes see whether they run the same configuration: digests of what should be the same on all of them.

What belongs to one node or machine is left out: names, addresses, files, and the limits of `_OF_THE_MACHINE`. Secrets
are in a digest of their own, under a key that only nodes of the cluster have: so a change of one is seen, and who sees
the digest cannot try out guesses. It goes to other nodes only, and is shown nowhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from wampha.config.difference import parts
from wampha.config.schema import Settings
from wampha.routing.concord import SECRETS

_BYTES: Final = 8  # of a digest: it tells versions of a file apart, and need not resist anybody
_OF_THE_MACHINE: Final = frozenset(
    (
        "connections_max",
        "clients_queue_bytes_max",
        "detached_sessions_max",
        "detached_bytes_max",
        "descriptors_reserved",
        "link_queue_bytes_max",
        "link_ring_bytes_max",
        "link_handshakes_max",
    )
)


def fingerprint(settings: Settings) -> Mapping[str, str]:
    """A digest of each part of the configuration that should be the same on all nodes, by its name."""
    auths = [listener.auth for listener in settings.listeners]
    secret = settings.cluster.secret if settings.cluster and settings.cluster.secret else ""
    limits = {name: value for name, value in settings.limits if name not in _OF_THE_MACHINE}
    # Listeners with other addresses may let in the same people.
    return {
        "realms": _digest(_text(settings.realms) + _text(settings.realm_templates)),
        "limits": _digest(_text(limits)),
        "principals": _digest("".join(sorted({_text(auth) for auth in auths}))),
        SECRETS: _digest("".join(sorted({_text(list(_secrets(auth))) for auth in auths})), secret),
    }


def _digest(text: str, key: str = "") -> str:
    hashed = hashlib.blake2b(digest_size=_BYTES, key=hashlib.sha256(key.encode()).digest() if key else b"")
    hashed.update(text.encode())
    return hashed.hexdigest()


def _text(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    """As JSON knows it, without secrets and the order of sections."""
    if isinstance(value, BaseModel):
        hidden = {field.alias or name for name, field in type(value).model_fields.items() if not field.repr}
        return {step: _plain(part) for step, part in parts(value).items() if step not in hidden}
    if isinstance(value, dict) or (isinstance(value, tuple) and value and isinstance(value[0], BaseModel)):
        return {step: _plain(part) for step, part in parts(value).items()}
    return list(value) if isinstance(value, tuple) else value


def _secrets(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every secret with its path."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if not field.repr:
                yield f"{path}.{name}", str(getattr(value, name))
            else:
                yield from _secrets(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _secrets(value[key], f"{path}[{key}]")
