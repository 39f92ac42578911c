"""Who is let in, and how: the `auth` of a transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wampha.config.authentication import COOKIE_LENGTH_MIN
from wampha.config.crossbar.part import Part

_REMEMBERED: Final = frozenset(("ticket", "wampcra", "scram", "cryptosign"))
_ONLY_TO_RETURN: Final = (
    "browsers get a cookie only to be let in again by method cookie, once ticket, wampcra, scram or cryptosign did"
)
_KDFS: Final = {"argon2id-13": "argon2id-13", "argon2id13": "argon2id-13", "pbkdf2": "pbkdf2"}


@dataclass
class Known:
    """What the converted realms have: principals may refer to nothing else."""

    realms: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)


def auth(part: Part | None, transport: Part, known: Known) -> dict[str, Any]:
    """Our `auth` of a listener; empty if nobody could join."""
    if part is None:
        transport.leave("cookie", _ONLY_TO_RETURN)
        # As Crossbar has it: a transport without `auth` lets anybody in.
        if "anonymous" in known.roles:
            return {"anonymous": {"role": "anonymous"}}
        transport.note('has no auth, and no realm has the role "anonymous" that its clients would get')
        return {}
    made: dict[str, Any] = {}
    for method, convert in _METHODS.items():
        section = part.part(method)
        converted = convert(section, known) if section is not None else None
        if converted is not None:
            made[method] = converted
    cookie = _cookie(part, transport, made)
    if cookie is not None:
        made["cookie"] = cookie
    part.close()
    return made


def _cookie(part: Part, transport: Part, made: Mapping[str, Any]) -> dict[str, Any] | None:
    """Crossbar tracks browsers by the `cookie` of a transport, and lets them in again by the one of its `auth`."""
    if "cookie" not in part or not made.keys() & _REMEMBERED:
        part.leave("cookie", _ONLY_TO_RETURN)
        transport.leave("cookie", _ONLY_TO_RETURN)
        return None
    section, tracking = part.part("cookie"), transport.part("cookie")
    if section is None or tracking is None:
        part.leave("cookie", "needs the cookie of the transport, which is not there")
        return None
    section.close()
    store = tracking.part("store")
    if store is not None:
        store.ignore("type")
        store.leave("filename", "cookies are kept in the memory of all nodes, and not in a file")
        store.close()
    found = {"name": tracking.take("name", str), "length": tracking.take("length", int)}
    found["max_age"] = tracking.take("max_age", int)
    if found["length"] is not None and found["length"] < COOKIE_LENGTH_MIN:
        tracking.leave("length", f"a cookie has {COOKIE_LENGTH_MIN} characters or more, that nobody guesses it")
        found["length"] = None
    tracking.close()
    return {key: value for key, value in found.items() if value is not None}


def _anonymous(part: Part, known: Known) -> dict[str, Any] | None:
    if (dynamic := _dynamic(part)) is not None:
        return dynamic or None
    role = part.take("role", str, "anonymous")
    part.leave("realm", "the realm is the one that the client asks for")
    part.leave("authid", "the router draws a name")
    part.close()
    if role in known.roles:
        return {"role": role}
    part.note(f'no realm has the role "{role}"')
    return None


def _dynamic(part: Part) -> dict[str, Any] | None:
    """The section if it names an authenticator ({}: one of a kind that is not there); None if it is static."""
    kind = part.take("type", str, "static")
    if kind == "static":
        return None
    procedure, realm = part.take("authenticator", str), part.take("authenticator-realm", str)
    if kind != "dynamic" or procedure is None:
        part.note(f'an authenticator of type "{kind}" has no counterpart; type dynamic asks a procedure')
        return {}
    part.close()
    return {"type": "dynamic", "authenticator": procedure, **({"authenticator-realm": realm} if realm else {})}


def _listed(
    principals: str, convert: Callable[[Part], dict[str, Any] | None]
) -> Callable[[Part, Known], dict[str, Any] | None]:
    """How a method is converted whose principals stand under the key `principals`."""

    def section(part: Part, known: Known) -> dict[str, Any] | None:
        if (dynamic := _dynamic(part)) is not None:
            return dynamic or None
        by_authid = part.part(principals)
        found = {}
        for authid in by_authid or ():
            assert by_authid is not None
            one = by_authid.part(authid)
            principal = _principal(one, convert, known) if one is not None else None
            if principal is not None:
                found[authid] = principal
        part.leave("trustroots", "certificates of principals have no counterpart")
        part.close()
        return {principals: found} if found else None

    return section


def _principal(part: Part, convert: Callable[[Part], dict[str, Any] | None], known: Known) -> dict[str, Any] | None:
    role, realm = part.take("role", str), part.take("realm", str)
    proof = convert(part)
    part.close()
    if role not in known.roles:
        part.note(f'no realm has the role "{role}"; this principal is left out' if role else "has no role")
        return None
    if realm is not None and realm not in known.realms:
        part.note(f'there is no realm "{realm}"; this principal is left out')
        return None
    if proof is None:
        part.note("has nothing by which it could prove who it is, and is left out")
        return None
    return {**proof, "role": role, **({"realm": realm} if realm is not None else {})}


def _ticket(part: Part) -> dict[str, Any] | None:
    ticket = part.secret("ticket")
    return {"ticket": ticket} if ticket else None


def _wampcra(part: Part) -> dict[str, Any] | None:
    secret = part.secret("secret")
    salted = {
        "salt": part.take("salt", str),
        "iterations": part.take("iterations", int),
        "keylen": part.take("keylen", int),
    }
    if not secret:
        return None
    return {"secret": secret, **({key: value for key, value in salted.items() if value} if salted["salt"] else {})}


def _scram(part: Part) -> dict[str, Any] | None:
    kdf = _KDFS.get(part.take("kdf", str, "argon2id-13"))
    keys = ("salt", "stored-key", "server-key")
    made = {key: part.take(key, str) for key in keys}
    iterations, memory = part.take("iterations", int), part.take("memory", int)
    if kdf is None or iterations is None or not all(made.values()):
        return None
    if (kdf == "argon2id-13") != (memory is not None):
        return None
    return {"kdf": kdf, "iterations": iterations, **({"memory": memory} if memory else {}), **made}


def _cryptosign(part: Part) -> dict[str, Any] | None:
    keys = [key for key in part.take("authorized_keys", (list, tuple), ()) if isinstance(key, str)]
    return {"authorized_keys": keys} if keys else None


def _tls(part: Part) -> dict[str, Any] | None:
    fingerprints = {key: part.take(key, str) for key in ("certificate-sha1", "certificate-sha256")}
    return {key: value for key, value in fingerprints.items() if value} or None


_METHODS: Final[Mapping[str, Callable[[Part, Known], dict[str, Any] | None]]] = {
    "anonymous": _anonymous,
    "ticket": _listed("principals", _ticket),
    "wampcra": _listed("users", _wampcra),
    "scram": _listed("principals", _scram),
    "cryptosign": _listed("principals", _cryptosign),
    "tls": _listed("principals", _tls),
}
