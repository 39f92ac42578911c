"""Permissions in Crossbar's words, places, and the JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wampha.cli.configuration import schema_text
from wampha.config import schema
from wampha.config.load import load
from wampha.config.places import Place, check_address, is_loopback, place_of
from wampha.config.schema import Permission, Settings
from wampha.limits import Limits

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "config").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_usable_configuration(path: Path) -> None:
    assert load(path, {}).realms


def test_the_three_nodes_of_the_examples_form_one_cluster() -> None:
    nodes = [load(ROOT / "config" / f"node-{ordinal}.yaml", {}) for ordinal in range(3)]
    clusters = [node.cluster for node in nodes if node.cluster]
    assert len({(cluster.name, cluster.secret, cluster.voters) for cluster in clusters}) == 1
    assert [node.node.name for node in nodes] == [voter.name for voter in clusters[0].voters]
    assert len({node.realms for node in nodes}) == 1
    assert len({node.listeners[0].endpoint for node in nodes}) == 3


# ---- permissions


@pytest.mark.parametrize(
    ("given", "match", "uri"),
    [
        ({"uri": "a.b"}, "exact", "a.b"),
        ({"uri": "a.*"}, "prefix", "a."),
        ({"uri": "*"}, "prefix", ""),
        ({"uri": "a*"}, "prefix", "a"),
        ({"uri": "a.*.c"}, "wildcard", "a..c"),
        ({"uri": "a.*.c.*"}, "wildcard", "a..c."),
        ({"uri": "*.c"}, "wildcard", ".c"),
        ({"uri": "a.", "match": "prefix"}, "prefix", "a."),
        ({"uri": "", "match": "prefix"}, "prefix", ""),
        ({"uri": "a..c", "match": "wildcard"}, "wildcard", "a..c"),
        ({"uri": "a.*", "match": "exact"}, "exact", "a.*"),
    ],
)
def test_stars_say_how_a_permission_matches_unless_match_does(given: dict[str, str], match: str, uri: str) -> None:
    permission = Permission.model_validate(given, strict=True)
    assert (permission.match, permission.uri) == (match, uri)


@pytest.mark.parametrize(
    "given",
    [
        {"uri": ""},
        {"uri": "a..b"},
        {"uri": "a b"},
        {"uri": "a.#"},
        {"uri": "a..", "match": "prefix"},
        {"uri": "a.*.b c"},
    ],
)
def test_a_permission_for_no_uri_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not a valid URI"):
        Permission.model_validate(given, strict=True)


# ---- places


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("tcp:8080", Place(port=8080)),
        ("tcp:port=8080:interface=127.0.0.1", Place(port=8080, interface="127.0.0.1")),
        ("tcp6:8080:interface=\\:\\:1", Place(port=8080, interface="::1")),
        ("unix:/run/wampha.sock:mode=600", Place(path="/run/wampha.sock")),
        ("systemd:domain=INET:index=0", None),
    ],
)
def test_an_endpoint_tells_what_it_binds(endpoint: str, place: Place | None) -> None:
    assert place_of(endpoint) == place


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("", 'begins with "", which is no kind of endpoint'),
        ("8080", 'should be a Twisted endpoint string. Did you mean "tcp:8080"?'),
        ("localhost:8080", 'Did you mean "tcp:8080:interface=localhost"?'),
        ("tpc:8080", 'Did you mean "tcp"?'),
        ("stdio:", 'begins with "stdio"'),
        ("tcp", "it lacks a parameter"),
        ("tcp:http", "'http' is not a port number"),
        ("tcp:8080:interfaces=127.0.0.1", 'it has no parameter "interfaces"'),
        ("tcp:65536", "has port 65536"),
        ("tcp:-1", "has port -1"),
        ("unix:", "should name the path"),
        ("ssl:443:privateKey=/none.pem", "No such file"),
    ],
)
def test_an_endpoint_that_is_none_says_why(endpoint: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        place_of(endpoint)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "[::1]:65535", "wampha-0.wampha-peers.default.svc.cluster.local.:8071"]
)
def test_an_address_is_host_and_port(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address", ["", "host", "host:", ":80", "host:0", "host:65536", "::1:80", "a b:80", "http://h:80", "h:8o"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="should be host:port"):
        check_address(address)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("a.example", False),
    ],
)
def test_only_loopback_counts_as_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


# ---- the JSON Schema


def test_the_committed_schema_is_the_one_of_the_code() -> None:
    committed = Path(schema.__file__).with_name("schema.json").read_text()
    assert committed == schema_text(), "run: wampha schema > wampha/config/schema.json"


def test_every_key_says_what_it_means() -> None:
    sections: dict[str, Any] = {**json.loads(schema_text())["$defs"], "Settings": Settings.model_json_schema()}
    silent = [
        f"{section}.{key}"
        for section, definition in sections.items()
        for key, field in definition.get("properties", {}).items()
        if section != "Reference" and not field.get("description")
    ]
    assert silent == []


def test_scalars_may_be_references_in_the_schema_and_sections_may_not() -> None:
    definitions = json.loads(schema_text())["$defs"]
    reference = {"$ref": "#/$defs/Reference"}
    assert reference in definitions["ClusterSettings"]["properties"]["secret"]["anyOf"][0]["anyOf"]
    assert reference in definitions["Limits"]["properties"]["message_bytes_max"]["anyOf"]
    assert "anyOf" not in definitions["ListenerSettings"]["properties"]["auth"]


def test_the_default_limits_are_those_of_the_node() -> None:
    assert Settings.model_fields["limits"].default == Limits()
