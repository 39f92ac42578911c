"""What must hold between the keys of a configuration.

The rules read the document and not the settings: so they find their problems beside those of single values, in one go.
They take what they find and pass over what is missing or of the wrong kind, which the schema reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from wampha.config.document import Document, PathInFile
from wampha.config.places import Place, host_of, is_loopback, place_of
from wampha.config.schema import SECRETS, Drain, HistorySettings
from wampha.config.section import starred
from wampha.config.sentences import did_you_mean
from wampha.limits import KIB, MIB, Limits
from wampha.names.patterns import matcher
from wampha.names.uri import EXACT

EACH: Final = "*"
_FEW: Final = 8  # names that are worth listing in a sentence
DRAIN_END_S: Final = 5.0  # to leave the cluster, close connections and flush links
HISTORIES_BYTES_MAX: Final = 256 * MIB  # of one realm; every node holds them in memory
_HISTORY_BYTES: Final[int] = HistorySettings.model_fields["bytes_max"].default
FRAME_HEADER_BYTES: Final = 64 * KIB  # what a frame between nodes carries beside the message: URIs, details, options

# The sections of a listener's `auth` that name principals, and under which key.
_PRINCIPALS: Final = (
    ("ticket", "principals"),
    ("wampcra", "users"),
    ("scram", "principals"),
    ("cryptosign", "principals"),
    ("tls", "principals"),
)

_GRANT: Final = "permissions, as in: permissions: [{uri: 'com.example.*', allow: {call: true, subscribe: true}}]"
_REMEMBERED: Final = ("ticket", "wampcra", "scram", "cryptosign")  # those for which a cookie can stand

_REALMS: Final = ("realms", "realm_templates")

Found = tuple[PathInFile, Any]


def report(document: Document) -> None:
    """Note every rule that the document breaks."""
    for rule in (
        _names,
        _permissions,
        _roles,
        _cookies,
        _endpoints,
        _voters,
        _own_address,
        _secret,
        _drain,
        _limits,
        _histories,
    ):
        for path, sentence in rule(document.data):
            document.report(path, sentence)
    for warning in (_grants, _secret_files):
        for path, sentence in warning(document):
            document.warn(path, sentence)


def select(data: Any, *steps: str | int, at: PathInFile = ()) -> Iterator[Found]:
    """Yield path and value of what is found along `steps` (`EACH`: each entry of a list)."""
    if not steps:
        yield at, data
    elif steps[0] == EACH:
        for index, item in enumerate(data if isinstance(data, tuple) else ()):
            yield from select(item, *steps[1:], at=(*at, index))
    elif isinstance(steps[0], int) or (isinstance(data, dict) and steps[0] in data):
        yield from select(data[steps[0]], *steps[1:], at=(*at, steps[0]))


def _of_realms(data: Any, *steps: str | int) -> Iterator[Found]:
    """Likewise in each realm, and each template of realms."""
    for section in _REALMS:
        yield from select(data, section, EACH, *steps)


def _texts(data: Any, *steps: str | int) -> list[Found]:
    return [(path, value) for path, value in select(data, *steps) if isinstance(value, str)]


def _one(data: Any, *steps: str | int) -> str | None:
    return next((str(value) for _, value in _texts(data, *steps)), None)


def _names(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """Names that tell entries apart are given once."""
    for section in _REALMS:
        yield from _given_once(_texts(data, section, EACH, "name"))
    yield from _given_once(_texts(data, "cluster", "voters", EACH, "name"))
    yield from _given_once(_texts(data, "cluster", "voters", EACH, "address"))
    for path, _ in _of_realms(data, "roles"):
        yield from _given_once(_texts(data, *path, EACH, "name"))
    for path, _ in select(data, "listeners", EACH, "protocols"):
        yield from _given_once(_texts(data, *path, EACH))


def _given_once(found: list[Found]) -> Iterator[tuple[PathInFile, str]]:
    seen: set[Any] = set()
    for path, value in found:
        if value in seen:
            yield path, f'"{value}" is given twice'
        seen.add(value)


def _permissions(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """A role has one permission per pattern, so that the order in the file never matters."""
    for role, _ in _of_realms(data, "roles", EACH, "permissions"):
        seen = set()
        for path, uri in _texts(data, *role, EACH, "uri"):
            pattern = (_one(data, *path[:-1], "match"), uri)
            if pattern in seen:
                yield path, f'the role has a permission for "{uri}" already'
            seen.add(pattern)


def _roles(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """Every listener lets somebody in, as a role that some realm has."""
    roles = sorted({str(role) for _, role in _of_realms(data, "roles", EACH, "name")})
    for path, role in _given_to(data, "role"):
        if role not in roles:
            yield path, f'no realm has a role "{role}"' + did_you_mean(role, roles, otherwise=_known("roles", roles))
    realms = [name for _, name in _texts(data, "realms", EACH, "name")]
    templates = [matcher(*starred(name)) for _, name in _texts(data, "realm_templates", EACH, "name")]
    for path, realm in _given_to(data, "realm"):
        if realm not in realms and not any(matches(realm) for matches in templates):
            yield path, f'there is no realm "{realm}"' + did_you_mean(realm, realms, otherwise=_known("realms", realms))
    for path, listener in select(data, "listeners", EACH):
        if isinstance(listener, dict) and not listener.get("auth", None):
            yield path, "nobody could join here; say who may, as in: auth: {anonymous: {role: guest}}"


def _known(what: str, names: list[str]) -> str:
    return f"; the {what} are: {', '.join(names[:_FEW])}" if names else ""


def _cookies(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """A cookie stands for a proof by another method, and travels with WebSocket requests."""
    for path, cookie in select(data, "listeners", EACH, "auth", "cookie"):
        _, auth = next(select(data, *path[:-1]))
        if not any(auth.get(method) for method in _REMEMBERED):
            yield path, f"stands for a proof by another method; add one of {', '.join(_REMEMBERED)}"
        _, listener = next(select(data, *path[:-2]))
        protocols = listener.get("protocols")
        if isinstance(protocols, tuple) and "websocket" not in protocols:
            yield path, "comes with WebSocket requests only, which this listener does not take"
        if not isinstance(cookie, dict) or listener.get("tls") or cookie.get("secure"):
            continue
        if cookie.get("same_site") == "none":
            yield (*path, "same_site"), "may be none only with a tls section, or secure: true behind a proxy with TLS"
        if str(cookie.get("name", "")).startswith("__"):
            yield (*path, "name"), "may begin with __ only with a tls section, or secure: true behind a proxy with TLS"


def _given_to(data: Any, key: str) -> Iterator[Found]:
    """What `key` says of those who can be let in."""
    for auth, _ in select(data, "listeners", EACH, "auth"):
        yield from _texts(data, *auth, "anonymous", key)
        for method, principals in _PRINCIPALS:
            for path, by_authid in select(data, *auth, method, principals):
                for authid in by_authid if isinstance(by_authid, dict) else ():
                    yield from _texts(data, *path, authid, key)


def _grants(document: Document) -> Iterator[tuple[PathInFile, str]]:
    """Who comes in as a role may do something."""
    for path, role in _of_realms(document.data, "roles", EACH):
        if not isinstance(role, dict) or role.get("authorizer") is not None:
            continue
        granted = [allowed for _, allowed in select(role, "permissions", EACH, "allow") if isinstance(allowed, dict)]
        if not any(value is not False for allowed in granted for value in allowed.values()):
            name = role.get("name")
            yield path, f'role "{name}" grants nothing, and what is not granted is refused; give it {_GRANT}'


def _secret_files(document: Document) -> Iterator[tuple[PathInFile, str]]:
    """What only this node should know stands in files that only this node can read."""
    for path, name in document.open_files.items():
        if path and path[-1] in SECRETS:
            yield path, everybody_reads(name)


def everybody_reads(name: str) -> str:
    """The warning about a file with a secret."""
    return f"everybody on this machine may read {name}; if they should not: chmod o= {name}"


def _endpoints(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """No two listeners bind the same port or path."""
    taken: dict[Place, str] = {}
    for path, endpoint in [
        *_texts(data, "cluster", "listen"),
        *_texts(data, "listeners", EACH, "endpoint"),
        *_texts(data, "monitoring", "endpoint"),
    ]:
        place = _place(endpoint)
        if place is None or place.port == 0:
            continue
        if place in taken:
            yield path, f'binds the same place as "{taken[place]}" above'
        taken[place] = endpoint


def _place(endpoint: str) -> Place | None:
    try:
        return place_of(endpoint)
    except ValueError:
        return None


def _voters(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """In a cluster every node has a name of its own."""
    if any(True for _ in select(data, "cluster", "voters")) and _one(data, "node", "name") is None:
        yield ("node", "name"), "is missing; a node of a cluster needs a name of its own"


def _own_address(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """Name and address of this node agree with the list of voters; this notices a misspelt or copied name."""
    name, advertise = _one(data, "node", "name"), _one(data, "cluster", "advertise")
    voters = {_one(voter, "name"): _one(voter, "address") for _, voter in select(data, "cluster", "voters", EACH)}
    if name is None or advertise is None:
        return
    if name in voters:
        if voters[name] not in (None, advertise):
            yield ("cluster", "advertise"), f'voter "{name}" has the address {voters[name]} in the list of voters'
    elif advertise in voters.values():
        voter = next(voter for voter, address in voters.items() if address == advertise)
        yield ("node", "name"), f'cluster.advertise is the address of voter "{voter}". Did you mean "{voter}"?'


def _secret(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """Whoever can reach the nodes of a cluster could join it with neither a secret nor TLS."""
    if any(given is not None for key in ("secret", "tls") for _, given in select(data, "cluster", key)):
        return
    places = [_place(endpoint) for _, endpoint in _texts(data, "cluster", "listen")]
    addresses = [*_texts(data, "cluster", "advertise"), *_texts(data, "cluster", "voters", EACH, "address")]
    if any(place and not place.is_local for place in places) or any(not _is_loopback(a) for _, a in addresses):
        yield (
            ("cluster", "secret"),
            "is missing, and so is cluster.tls; a cluster beyond 127.0.0.1 needs one of both: a secret, e.g. "
            "{env: WAMPHA_SECRET} made by: openssl rand -hex 32, or certificates, e.g. made by: wampha certs",
        )


def _is_loopback(address: str) -> bool:
    try:
        return is_loopback(host_of(address))
    except ValueError:
        return True  # reported as no address; nothing can be said about its reach


def _drain(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """Clients that are left when the time is up would all be sent away at once."""
    times = {name: _number(data, Drain, "node", "drain", name) for name in ("spread_s", "answer_s", "deadline_s")}
    needed = times["spread_s"] + times["answer_s"] + DRAIN_END_S
    if times["deadline_s"] < needed:
        yield ("node", "drain", "deadline_s"), f"should be at least spread_s + answer_s + {DRAIN_END_S:g} ({needed:g})"


def _limits(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """Bounds that contain each other are in order."""
    message, queue = _limit(data, "message_bytes_max"), _limit(data, "client_queue_bytes_max")
    frame, link_queue = _limit(data, "link_frame_bytes_max"), _limit(data, "link_queue_bytes_max")
    if queue < message:
        yield ("limits", "client_queue_bytes_max"), f"should be at least message_bytes_max ({message})"
    if _limit(data, "clients_queue_bytes_max") < queue:
        yield ("limits", "clients_queue_bytes_max"), f"should be at least client_queue_bytes_max ({queue})"
    if frame < message + FRAME_HEADER_BYTES:
        yield (
            ("limits", "link_frame_bytes_max"),
            f"should be at least message_bytes_max and {FRAME_HEADER_BYTES} more ({message + FRAME_HEADER_BYTES})",
        )
    if link_queue < 2 * frame:  # one comes on top of a quarter of it, and the rest is for what no client waits for
        yield ("limits", "link_queue_bytes_max"), f"should be at least twice link_frame_bytes_max ({2 * frame})"


def _histories(data: Any) -> Iterator[tuple[PathInFile, str]]:
    """A realm has one history per pattern, and room for all of them."""
    for realm, _ in _of_realms(data, "history"):
        seen = set()
        room = HISTORIES_BYTES_MAX
        for path, _ in select(data, *realm, EACH):
            pattern = (_one(data, *path, "match") or EXACT, _one(data, *path, "uri"))
            if pattern in seen:
                yield (*path, "uri"), f'the realm has a history of "{pattern[1]}" already'
            seen.add(pattern)
            fits = room >= 0
            _, bytes_max = next(select(data, *path, "bytes_max"), ((), _HISTORY_BYTES))
            room -= bytes_max if type(bytes_max) is int and bytes_max > 0 else 0
            if fits and room < 0:
                yield (
                    (*path, "bytes_max"),
                    f"the histories of a realm may have {HISTORIES_BYTES_MAX} bytes together; those up to here have "
                    f"{HISTORIES_BYTES_MAX - room}",
                )


def _limit(data: Any, name: str) -> int:
    return int(_number(data, Limits, "limits", name))


def _number(data: Any, section: type[BaseModel], *path: str) -> float:
    """Return a number of the file, or its default if the file has none that is valid by itself."""
    name = path[-1]
    default: float = section.model_fields[name].default
    _, given = next(select(data, *path), ((), default))
    try:
        section.model_validate({name: given}, strict=True)
    except ValidationError:
        return default
    return float(given)
