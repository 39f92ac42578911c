"""What a configuration may say: frozen models, unknown keys forbidden, one line of meaning per key.

    Settings
    |-- node       who this process is
    |-- cluster    the others, if there are any
    |-- realms     each with its roles, each with its permissions
    |-- realm_templates  realms by a pattern of their names
    |-- listeners  where clients come in, and as which role
    |-- limits     the bounds of `wampha/limits.py`
    |-- monitoring where health, metrics and the status page are
    `-- log

What must hold *between* keys (a listener's role exists, names are unique, ...) is in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from wampha.config.authentication import Auth
from wampha.config.section import (
    Address,
    Endpoint,
    Name,
    RealmName,
    RealmPattern,
    RoleName,
    Section,
    Uri,
    check_uri,
    starred,
)
from wampha.config.tls import ClusterTls, Tls
from wampha.limits import KIB, MIB, Limits, RoleLimits
from wampha.names.uri import EXACT, is_reserved
from wampha.transport.origins import SAME_HOST, check_pattern

SECRET_LENGTH_MIN: Final = 16  # characters; whoever records a handshake can try shorter ones one by one


class Drain(Section):
    """How a node stops on SIGTERM: clients are sent away one after the other, and served until their turn."""

    spread_s: float = Field(
        10.0, ge=0, le=3600, description="seconds over which clients are sent away; at least 100 per second are"
    )
    answer_s: float = Field(
        2.0, ge=0, le=300, description="seconds that a client has for calls in progress when its turn has come"
    )
    deadline_s: float = Field(
        25.0,
        ge=1,
        le=3600,
        description="seconds after which the node has stopped, whatever is left; Kubernetes kills after 30",
    )


class NodeSettings(Section):
    """Who this process is."""

    name: Name = Field("wampha", description="name of this node; in a cluster no other node may have it")
    run_dir: str | None = Field(
        None,
        min_length=1,
        description="local folder for a file by which a restarted node proves that its former process is dead, so "
        "that nobody waits until that one's lease is over",
    )
    watch_files_s: float = Field(
        0.0,
        ge=0,
        le=3600,
        description="seconds between looks whether this file, or one that it names, has changed; then it is read "
        "again, as for SIGHUP; 0: only for SIGHUP",
    )
    drain: Drain = Field(Drain(), description="how this node stops")


class Voter(Section):
    """One of the nodes that decide together."""

    name: Name = Field(description="the voter's node.name")
    address: Address = Field(description="where other nodes reach the voter, as host:port")


class ClusterSettings(Section):
    """The cluster of this node. A node that is not one of the voters is an observer; it serves clients alike."""

    name: Name = Field(description="name of the cluster, the same on all its nodes")
    listen: Endpoint = Field(description="Twisted endpoint for the other nodes, e.g. tcp:8071:interface=127.0.0.1")
    advertise: Address = Field(description="where other nodes reach this node, as host:port")
    secret: str | None = Field(
        None,
        min_length=SECRET_LENGTH_MIN,
        repr=False,
        description="what the nodes prove to each other that they know; required beyond loopback, unless there is tls",
    )
    tls: ClusterTls | None = Field(
        None, description="encryption between nodes, by which they prove who they are; on all nodes or on none"
    )
    voters: tuple[Voter, ...] = Field(description="the 1, 3 or 5 nodes that decide, in the same order on all nodes")
    election_timeout_s: float = Field(
        0.5,
        ge=0.35,
        le=2.0,
        description="shortest silence of a leader before another one is elected, in seconds; all times of the cluster "
        "follow from it, and all nodes must have the same",
    )

    @field_validator("voters")
    @classmethod
    def _check_count(cls, voters: tuple[Voter, ...]) -> tuple[Voter, ...]:
        # An even number tolerates no more failures than the odd one below it, and needs more nodes to agree.
        if len(voters) not in (1, 3, 5):
            raise ValueError(f"should name 1, 3 or 5 voters, not {len(voters)}; any further node joins as an observer")
        return voters


class Allow(Section):
    """The actions that a permission grants."""

    call: bool = Field(False, description="whether matching procedures may be called")
    # A field called `register` would hide a method of pydantic's metaclass: readers use the property.
    register_: bool = Field(False, alias="register", description="whether matching procedures may be registered")
    publish: bool = Field(False, description="whether events may be published to matching topics")
    subscribe: bool = Field(False, description="whether matching topics may be subscribed to")

    @property
    def register(self) -> bool:
        """Whether matching procedures may be registered."""
        return self.register_


class Disclose(Section):
    """Whose identity the router tells to the other side without being asked: session, authid and authrole."""

    caller: bool = Field(False, description="whether callees learn who calls")
    publisher: bool = Field(False, description="whether subscribers learn who publishes")


class Permission(Section):
    """What a role may do with the URIs that match; the most specific matching permission decides.

    Without `match`, the URI says it with stars, as in Crossbar: `a.b` is exact, `a.*` the prefix `a.`, and any other
    use of stars (`a.*.c`) a wildcard. The fields hold the canonical form, without stars.
    """

    match: Literal["exact", "prefix", "wildcard"] = Field(EXACT, description="how `uri` is compared with a URI")
    uri: str = Field(description="the URI or pattern; without `match`, stars stand for a prefix or for components")
    allow: Allow = Field(Allow(), description="the actions that are granted; all others are refused")
    disclose: Disclose = Field(Disclose(), description="whose identity is told to the other side, though not asked for")
    trustlevel: int | None = Field(
        None, ge=0, le=2**31 - 1, description="how far callees and subscribers may trust what comes by this permission"
    )
    cache: bool = Field(False, description="accepted as in Crossbar; permissions of a file are always at hand")

    @model_validator(mode="before")
    @classmethod
    def _read_stars(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or "match" in given or not isinstance(given.get("uri"), str):
            return given
        match, uri = starred(given["uri"])
        return given if match == EXACT else {**given, "match": match, "uri": uri}

    @field_validator("uri")
    @classmethod
    def _check_pattern(cls, uri: str, info: ValidationInfo) -> str:
        return check_uri(uri, info.data["match"]) if "match" in info.data else uri


class Role(Section):
    """What a session may do after it was let in as this role: nothing, but for its permissions."""

    name: RoleName = Field(description="the name that a listener's auth refers to")
    permissions: tuple[Permission, ...] = Field((), description="what the role may do; what is not granted is refused")
    authorizer: Uri | None = Field(
        None, description="instead of permissions: procedure (session, uri, action, options) -> whether it is allowed"
    )
    authorizer_cache_s: float = Field(
        60.0, ge=0, le=86400, description="seconds for which a decision holds that the authorizer lets be cached"
    )
    limits: RoleLimits | None = Field(
        None, description="what holds for this role's sessions in the place of the node's limits"
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.authorizer and self.permissions:
            raise ValueError("should have either permissions or an authorizer")
        return self


class HistorySettings(Section):
    """Topics whose events are kept on every node, for those who ask later (`wamp.subscription.get_events`)."""

    match: Literal["exact", "prefix", "wildcard"] = Field(EXACT, description="how `uri` is compared with a topic")
    uri: str = Field(description="the topic or pattern")
    limit: int = Field(
        1000, ge=1, le=100_000, description="events that are kept of all these topics together; the oldest go first"
    )
    bytes_max: int = Field(
        4 * MIB, ge=128 * KIB, le=1024 * MIB, description="bytes that they may have together, likewise"
    )

    @field_validator("uri")
    @classmethod
    def _check_pattern(cls, uri: str, info: ValidationInfo) -> str:
        if "match" not in info.data:
            return uri
        check_uri(uri, info.data["match"])
        if is_reserved(uri):
            raise ValueError("is a name of the router's own events, which have no history")
        return uri


class ResumableSessions(Section):
    """Sessions that a client may take up again after its connection was lost, if it asks for that in HELLO."""

    grace_s: float = Field(
        30.0, gt=0, le=3600, description="seconds that a session waits for its client; its procedures stay registered"
    )
    buffer_bytes: int = Field(
        1 * MIB,
        ge=4 * KIB,
        le=64 * MIB,
        description="bytes that wait for one session before `slow_clients` applies: disconnect ends the session",
    )
    sessions: int = Field(
        1000, ge=1, le=100_000, description="sessions that wait at one node; any further one ends with its connection"
    )


class Realm(Section):
    """A name space of topics and procedures; sessions of one realm never see another."""

    name: RealmName = Field(description="the realm that clients ask for, a URI such as realm1")
    roles: tuple[Role, ...] = Field((), description="the roles that sessions of this realm can have")
    uri_check: Literal["loose", "strict"] = Field(
        "loose", description="WAMP's URI rule for requests; strict allows only lower-case letters, digits and '_'"
    )
    slow_clients: Literal["disconnect", "drop_newest", "drop_oldest"] = Field(
        "disconnect",
        description="what happens to a client for which more than limits.client_queue_bytes_max waits: it is cut, or "
        "loses events, never anything else, at either end of what waits",
    )
    undeclared_features: Literal["refused", "accepted"] = Field(
        "refused",
        description="whether a client may use features that it did not announce in HELLO; Autobahn|JS and wampy.js "
        "need accepted for some progressive calls",
    )
    history: tuple[HistorySettings, ...] = Field(
        (), max_length=32, description="topics whose events are kept for those who ask later; the same on all nodes"
    )
    history_answer: Literal["arguments", "list"] = Field(
        "arguments",
        description="how wamp.subscription.get_events answers: each event is an argument; or, as in Crossbar, one list "
        "is, with the newest event first and 10 of them unless the call says otherwise",
    )
    resumable_sessions: ResumableSessions | None = Field(
        None, description="whether, and how long, sessions outlive their connections; without it they never do"
    )
    call_timeout_unit: Literal["ms", "s"] = Field(
        "ms", description="what the `timeout` of a CALL counts; s for clients that were written for Crossbar"
    )
    call_queue_max: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="calls that wait at one callee whose `concurrency` is reached; more are refused with "
        "crossbar.error.max_concurrency_reached",
    )


class RealmTemplate(Realm):
    """Realms that come to be when somebody joins them whose role is here, and go when nobody is left."""

    name: RealmPattern = Field(
        description="the names of the realms, with stars: tenants.* for all that begin with tenants., tenants.*.eu for "
        "any component in between; what realms names, and a more specific template, goes before"
    )
    linger_s: float = Field(
        60.0,
        ge=0,
        le=86400,
        description="seconds for which a node remembers such a realm of which it has no session left",
    )

    @property
    def pattern(self) -> tuple[str, str]:
        """Match policy, and the pattern without stars."""
        return starred(self.name)


Origin = Annotated[str, AfterValidator(check_pattern)]


class ListenerSettings(Section):
    """A place where clients connect; WebSocket and RawSocket share it and are told apart by their first byte."""

    endpoint: Endpoint = Field(description="Twisted endpoint, e.g. tcp:8080 or unix:/run/wampha.sock")
    protocols: tuple[Literal["websocket", "rawsocket"], ...] = Field(
        ("websocket", "rawsocket"), min_length=1, description="what clients may speak here"
    )
    tls: Tls | None = Field(None, description="encryption; without it, use tcp only where nobody listens in")
    origins: tuple[Origin, ...] = Field(
        (SAME_HOST,),
        max_length=100,
        description="the web pages from which browsers may connect: same-host (as the listener's name in the request), "
        "null (files, sandboxes), * (all), or origins such as https://*.example.com; other clients may in any case",
    )
    auth: Auth = Field(Auth(), description="the ways to be let in")

    @model_validator(mode="after")
    def _check_endpoint(self) -> Self:
        if self.tls and self.endpoint.startswith("ssl:"):
            raise ValueError("should have either an ssl: endpoint or a tls section")
        return self


class MonitoringSettings(Section):
    """Health, metrics and the status page, over HTTP, for whoever can connect; there is no secret, and no change."""

    endpoint: Endpoint = Field(
        "tcp:9180:interface=127.0.0.1", description="Twisted endpoint; without an interface, all of them"
    )


class LogSettings(Section):
    """What the log shows."""

    level: Literal["debug", "info", "warn", "error", "critical"] = Field(
        "info", description="the least important lines that are shown"
    )
    format: Literal["auto", "text", "json"] = Field(
        "auto", description="how a line looks; auto: text on a terminal, else one JSON object a line"
    )


class Settings(Section):
    """Everything one node is told; a frozen value that is swapped as a whole."""

    node: NodeSettings = Field(NodeSettings(), description="who this process is")
    cluster: ClusterSettings | None = Field(None, description="the other nodes; leave it out for a node on its own")
    realms: tuple[Realm, ...] = Field(min_length=1, description="the realms that clients can join")
    realm_templates: tuple[RealmTemplate, ...] = Field(
        (), description="realms that come to be when somebody joins them; the same on all nodes"
    )
    listeners: tuple[ListenerSettings, ...] = Field(min_length=1, description="where clients connect")
    limits: Limits = Field(Limits(), description="every bound of the node; the defaults suit most")
    monitoring: MonitoringSettings | None = Field(
        MonitoringSettings(), description="where health, metrics and the status page are; null: nowhere"
    )
    log: LogSettings = Field(LogSettings(), description="what the log shows")


def _sections(of: type[Section]) -> Iterator[type[Section]]:
    for each in of.__subclasses__():
        yield each
        yield from _sections(each)


# The keys of secrets: they are never shown, nor what is calculated from them alone.
SECRETS: Final = frozenset(
    field.alias or name
    for section in _sections(Section)
    for name, field in section.model_fields.items()
    if not field.repr
)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file, in which any scalar may also be {env: NAME} or {file: path}."""
    schema = Settings.model_json_schema()
    definitions = {name: _with_references(definition) for name, definition in schema.pop("$defs").items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_with_references(schema),
        "title": "wampha configuration",
        "$defs": {**definitions, "Reference": _REFERENCE},
    }


_REFERENCE: Final[dict[str, Any]] = {
    "description": "a value that stands in an environment variable, or in a file beside this one",
    "oneOf": [
        {
            "type": "object",
            "properties": {key: {"type": "string"}},
            "required": [key],
            "additionalProperties": False,
        }
        for key in ("env", "file")
    ],
}
_ABOUT: Final = ("title", "description", "default")


def _with_references(schema: dict[str, Any]) -> dict[str, Any]:
    """Let every scalar of a JSON Schema be a reference instead."""
    if schema.get("type") in ("string", "integer", "number", "boolean") or "const" in schema:
        about: dict[str, Any] = {key: schema[key] for key in _ABOUT if key in schema}
        rule = {key: value for key, value in schema.items() if key not in _ABOUT}
        return {**about, "anyOf": [rule, {"$ref": "#/$defs/Reference"}]}
    replaced = dict(schema)
    if "properties" in schema:
        replaced["properties"] = {name: _with_references(value) for name, value in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        replaced["additionalProperties"] = _with_references(schema["additionalProperties"])
    if "items" in schema:
        replaced["items"] = _with_references(schema["items"])
    if "anyOf" in schema:
        replaced["anyOf"] = [_with_references(value) for value in schema["anyOf"]]
    return replaced
