"""`wampha convert crossbar-config`: what has a counterpart comes along, the rest is listed, the result is valid."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from wampha.certs import CA, Authority, write
from wampha.cli import main
from wampha.config.crossbar.node import Conversion, convert
from wampha.config.load import load
from wampha.errors import ConfigError

ALL: Final = {"call": True, "register": True, "publish": True, "subscribe": True}
ANYTHING: Final = {"uri": "", "match": "prefix", "allow": ALL, "cache": True}
ROLE: Final = {"name": "anonymous", "permissions": [ANYTHING]}
REALM: Final = {"name": "realm1", "roles": [ROLE]}
TCP: Final = {"type": "tcp", "port": 8080}
WEB: Final = {"type": "web", "endpoint": TCP, "paths": {"ws": {"type": "websocket"}}}


def node(*transports: Any, realms: Any = (REALM,), **more: Any) -> dict[str, Any]:
    """A node configuration with one router."""
    worker = {"type": "router", "id": "r", "realms": list(realms), "transports": list(transports), **more}
    return {"$schema": "somewhere", "version": 2, "controller": {}, "workers": [worker]}


def made(data: Any) -> Conversion:
    """The conversion, which must give a valid file."""
    return convert(data, lambda path: path)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["convert", "crossbar-config", *map(str, arguments)])


def converted(tmp_path: Path, data: Any, **environment: str) -> tuple[dict[str, Any], list[str]]:
    """What a file becomes, as plain data, and the lines of what was left out; the output loads."""
    source, target = tmp_path / "config.json", tmp_path / "config.yaml"
    source.write_text(json.dumps(data, indent="\t"))
    result = run(source, "-o", target)
    left = [line for line in result.stderr.splitlines() if not line.startswith("wampha: ")]
    assert result.exit_code == (2 if left else 0), result.output
    load(target, environment)
    settings: dict[str, Any] = yaml.safe_load(target.read_text())
    return settings, left


def auth(tmp_path: Path, section: Any, **environment: str) -> tuple[Any, list[str]]:
    """What the `auth` of a transport becomes."""
    roles = [ROLE, {**ROLE, "name": "user"}]
    transport = {"type": "websocket", "endpoint": TCP, "auth": section}
    settings, left = converted(tmp_path, node(transport, realms=[{"name": "realm1", "roles": roles}]), **environment)
    return settings["listeners"][0]["auth"], left


def test_the_configuration_of_a_new_crossbar_node_becomes_one_of_ours(tmp_path: Path) -> None:
    settings, left = converted(tmp_path, node(WEB))
    assert left == []
    assert settings == {
        "realms": [
            {
                "name": "realm1",
                "roles": [{"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": ALL}]}],
                "call_timeout_unit": "s",
                "undeclared_features": "accepted",
            }
        ],
        "listeners": [
            {"endpoint": "tcp:8080", "protocols": ["websocket"], "auth": {"anonymous": {"role": "anonymous"}}}
        ],
    }
    assert stat.S_IMODE((tmp_path / "config.yaml").stat().st_mode) == 0o600


# ---- realms


def test_permissions_keep_their_words_and_the_older_form_is_read_too(tmp_path: Path) -> None:
    permissions = [
        {"uri": "com.a.*", "allow": {"call": True, "publish": False}, "disclose": {"caller": True}},
        {"uri": "com..b", "match": "wildcard", "publish": True, "subscribe": True},
        {"uri": "com.c", "match": "exact", "allow": {}},
        {"uri": "com.a.*", "allow": ALL},
        {"match": "prefix"},
    ]
    role = {"name": "anonymous", "permissions": permissions}
    settings, left = converted(tmp_path, node(WEB, realms=[{"name": "realm1", "roles": [role]}]))
    assert settings["realms"][0]["roles"][0]["permissions"] == [
        {"uri": "com.a.*", "allow": {"call": True}, "disclose": {"caller": True}},
        {"uri": "com..b", "match": "wildcard", "allow": {"publish": True, "subscribe": True}},
        {"uri": "com.c", "match": "exact", "allow": {}},
    ]
    at = "workers[0].realms[0].roles[0].permissions"
    assert [line.split(":")[0] for line in left] == [f"{at}[3]", f"{at}[4]"]


def test_an_authorizer_is_asked_and_not_the_permissions(tmp_path: Path) -> None:
    role = {"name": "anonymous", "authorizer": "com.example.authorize", "permissions": [ANYTHING]}
    settings, left = converted(tmp_path, node(WEB, realms=[{"name": "realm1", "roles": [role]}]))
    assert settings["realms"][0]["roles"] == [{"name": "anonymous", "authorizer": "com.example.authorize"}]
    assert len(left) == 1 and left[0].startswith("workers[0].realms[0].roles[0].permissions: ")


def test_options_and_stores_of_a_realm(tmp_path: Path) -> None:
    realm = {
        **REALM,
        "options": {"uri_check": "strict", "enable_meta_api": True, "event_dispatching_chunk_size": 50},
        "store": {
            "type": "memory",
            "event-history": [{"uri": "com.a", "limit": 5}, {"uri": "com.b.", "match": "prefix"}],
            "call-queue": [{"uri": "com.c", "limit": 5}, {"uri": "com.d", "limit": 7}],
        },
    }
    settings, left = converted(tmp_path, node(WEB, realms=[realm]))
    got = settings["realms"][0]
    assert (got["uri_check"], got["call_queue_max"], got["history_answer"]) == ("strict", 7, "list")
    assert got["history"] == [{"uri": "com.a", "limit": 5}, {"match": "prefix", "uri": "com.b.", "limit": 1000}]
    assert [line.split(":")[0] for line in left] == ["workers[0].realms[0].store.call-queue"]


def test_options_without_a_counterpart_are_listed(tmp_path: Path) -> None:
    options = {"enable_meta_api": False, "bridge_meta_api": True, "novel": 1}
    realm = {**REALM, "options": options, "store": {"type": "cookiestore"}, "statistics": {}}
    _, left = converted(tmp_path, node(WEB, realms=[realm]))
    at = "workers[0].realms[0]"
    assert {line.split(":")[0] for line in left} == {
        *(f"{at}.options.{option}" for option in options),
        f"{at}.store.type",
        f"{at}.statistics",
    }


def test_the_realms_of_several_routers_are_together_and_a_second_one_of_the_same_name_is_listed(tmp_path: Path) -> None:
    data = node(WEB)
    data["workers"] += node({**WEB, "endpoint": {**TCP, "port": 8081}}, realms=[REALM, {**REALM, "name": "realm2"}])[
        "workers"
    ]
    settings, left = converted(tmp_path, data)
    assert [realm["name"] for realm in settings["realms"]] == ["realm1", "realm2"]
    assert [listener["endpoint"] for listener in settings["listeners"]] == ["tcp:8080", "tcp:8081"]
    assert left == ["workers[1].realms[0]: realm realm1 is there already, of another router; this one is left out"]


# ---- transports


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ({"type": "tcp", "port": 8080}, "tcp:8080"),
        (
            {"type": "tcp", "port": 8080, "interface": "127.0.0.1", "backlog": 1024},
            "tcp:8080:interface=127.0.0.1:backlog=1024",
        ),
        (
            {"type": "tcp", "port": 8080, "version": 6, "interface": "::1", "shared": False},
            "tcp6:8080:interface=\\:\\:1",
        ),
        ({"type": "unix", "path": "/run/a b:c"}, "unix:/run/a b\\:c"),
        ({"type": "twisted", "server_string": "tcp:port=8080"}, "tcp:port=8080"),
    ],
)
def test_endpoints_become_those_of_twisted(tmp_path: Path, endpoint: Any, words: str) -> None:
    settings, left = converted(tmp_path, node({**WEB, "endpoint": endpoint}))
    assert settings["listeners"][0]["endpoint"] == words
    assert left == []


def test_kinds_of_transports_say_which_protocols_are_spoken(tmp_path: Path) -> None:
    ports = iter(range(8001, 8010))

    def at(**transport: Any) -> dict[str, Any]:
        return {**transport, "endpoint": {"type": "tcp", "port": next(ports)}}

    settings, left = converted(
        tmp_path,
        node(
            at(type="websocket", url="ws://localhost:8001", serializers=["json"]),
            at(type="rawsocket", max_message_size=1_048_576, serializers=["cbor", "msgpack"]),
            at(type="universal", rawsocket={}, websocket={"ws": {"type": "websocket"}}),
            at(type="universal", websocket={"ws": {}}, web={"paths": {"/": {"type": "static", "directory": ".."}}}),
            at(type="web", paths={"/": {"type": "path", "paths": {"ws": {"type": "websocket"}}}}),
        ),
    )
    assert [listener.get("protocols", "both") for listener in settings["listeners"]] == [
        ["websocket"], ["rawsocket"], "both", ["websocket"], ["websocket"],
    ]  # fmt: skip
    assert settings["limits"] == {"message_bytes_max": 1_048_576}
    assert [line.split(":")[0] for line in left] == [
        "workers[0].transports[0].serializers",
        "workers[0].transports[1].serializers",
        "workers[0].transports[3].web.paths./",
    ]


def test_services_on_paths_are_listed_each_by_its_path(tmp_path: Path) -> None:
    kinds = (
        "static",
        "redirect",
        "json",
        "nodeinfo",
        "publisher",
        "caller",
        "webhook",
        "longpoll",
        "wsgi",
        "cgi",
        "upload",
    )
    paths = {kind: {"type": kind, "directory": "x", "options": {}} for kind in (*kinds, "novel")}
    transport = {**WEB, "paths": {**WEB["paths"], **paths, "chat": {"type": "websocket"}}}
    _, left = converted(tmp_path, node(transport))
    at = "workers[0].transports[0].paths"
    assert {line.split(":")[0] for line in left} == {f"{at}.{kind}" for kind in (*paths, "chat")}


def test_options_of_websocket_become_limits_of_the_node(tmp_path: Path) -> None:
    options = {
        "max_message_size": 2_000_000,
        "auto_ping_interval": 10_000,
        "auto_ping_timeout": 5_000,
        "open_handshake_timeout": 2_500,
        "fail_by_drop": True,
        "tcp_nodelay": True,
        "enable_webstatus": False,
        "compression": {"deflate": {}},
        "auto_fragment_size": 65_536,
        "allowed_origins": ["*"],
    }
    settings, left = converted(tmp_path, node({"type": "websocket", "endpoint": TCP, "options": options}))
    assert settings["limits"] == {
        "message_bytes_max": 2_000_000,
        "ping_interval_s": 10.0,
        "ping_timeout_s": 5.0,
        "opening_timeout_s": 2.5,
    }
    at = "workers[0].transports[0].options"
    assert {line.split(":")[0] for line in left} == {
        f"{at}.auto_fragment_size",
        f"{at}.compression",
        f"{at}.allowed_origins",
    }


def test_tls_comes_along_with_paths_as_seen_from_the_new_file(tmp_path: Path) -> None:
    folder = tmp_path / ".crossbar"
    folder.mkdir()
    authority = Authority.new(1)
    write(folder, CA, authority.key, authority.certificate)
    write(folder, "server", *authority.sign("server", ["localhost"], 1))
    tls = {"key": "server.key", "certificate": "server.pem", "ca_certificates": ["ca.pem", "ca.pem"], "dhparam": "d"}
    principals = {"type": "static", "principals": {"a": {"certificate-sha1": "ab:" * 19 + "ab", "role": "anonymous"}}}
    section = {"tls": principals, "anonymous": {"role": "anonymous"}}
    data = node({"type": "websocket", "endpoint": {**TCP, "tls": tls}, "auth": section})
    (folder / "config.json").write_text(json.dumps(data))
    result = run(folder / "config.json", "-o", tmp_path / "config.yaml")
    assert result.exit_code == 2
    (listener,) = load(tmp_path / "config.yaml", {}).listeners
    assert listener.tls is not None
    assert listener.tls.client_certificate == "optional"
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["listeners"][0]["tls"] == {
        "certificate": ".crossbar/server.pem",
        "key": ".crossbar/server.key",
        "client_ca": ".crossbar/ca.pem",
        "client_certificate": "optional",
    }
    at = "workers[0].transports[0].endpoint.tls"
    assert [line.split(":")[0] for line in result.stderr.splitlines()[:-1]] == [
        f"{at}.ca_certificates",
        f"{at}.dhparam",
    ]


@pytest.mark.parametrize(
    "transport",
    [
        {"type": "mqtt", "endpoint": TCP},
        {"type": "flashpolicy", "endpoint": TCP},
        {"type": "websocket", "endpoint": {"type": "onion", "port": 80}},
        {"type": "websocket", "endpoint": {"type": "tcp", "port": "$PORT"}},
        {"type": "websocket", "endpoint": {"type": "tcp", "port": True}},
        {"type": "websocket"},
        {"type": "web", "endpoint": TCP, "paths": {"/": {"type": "static"}}},
        {"type": "websocket", "endpoint": {**TCP, "port": 8081}, "auth": {"anonymous": {"role": "nobody"}}},
        {"type": "websocket", "endpoint": {**TCP, "port": 8081}, "auth": {}},
        "websocket",
        {},
    ],
)
def test_a_transport_that_becomes_no_listener_is_listed(tmp_path: Path, transport: Any) -> None:
    settings, left = converted(tmp_path, node(WEB, transport))
    assert len(settings["listeners"]) == 1
    assert left and all(line.startswith("workers[0].transports[1]") for line in left)


def test_two_ways_into_one_listener_have_one_auth(tmp_path: Path) -> None:
    ticket = {"type": "static", "principals": {"joe": {"ticket": "t", "role": "anonymous"}}}
    transport = {
        "type": "universal",
        "endpoint": TCP,
        "websocket": {"ws": {"auth": {"ticket": ticket}}},
        "rawsocket": {"auth": {"anonymous": {"type": "static", "role": "anonymous"}}},
    }
    settings, left = converted(tmp_path, node(transport))
    assert settings["listeners"] == [
        {
            "endpoint": "tcp:8080",
            "protocols": ["websocket"],
            "auth": {"ticket": {"principals": {"joe": {"ticket": "t", "role": "anonymous"}}}},
        }
    ]
    assert [line.split(":")[0] for line in left] == ["workers[0].transports[0].rawsocket.auth"]


# ---- authentication


def test_all_static_methods_come_along(tmp_path: Path) -> None:
    key = "54" * 32
    scram = {
        "kdf": "argon2id-13",
        "iterations": 4,
        "memory": 64,
        "salt": "c2FsdA==",
        "stored-key": key,
        "server-key": key,
    }
    section = {
        "anonymous": {"type": "static", "role": "anonymous"},
        "ticket": {"type": "static", "principals": {"joe": {"ticket": "${JOE}", "role": "user", "realm": "realm1"}}},
        "wampcra": {
            "type": "static",
            "users": {
                "joe": {"secret": "s", "role": "user"},
                "peter": {"secret": "prq7+YkJ", "role": "user", "salt": "salt123", "iterations": 100, "keylen": 16},
            },
        },
        "scram": {"type": "static", "principals": {"carol": {**scram, "role": "user"}}},
        "cryptosign": {"type": "static", "principals": {"eve": {"authorized_keys": [key], "role": "user"}}},
    }
    got, left = auth(tmp_path, section, JOE="geheim")
    assert left == []
    assert got == {
        "anonymous": {"role": "anonymous"},
        "ticket": {"principals": {"joe": {"ticket": {"env": "JOE"}, "role": "user", "realm": "realm1"}}},
        "wampcra": {
            "users": {
                "joe": {"secret": "s", "role": "user"},
                "peter": {"secret": "prq7+YkJ", "salt": "salt123", "iterations": 100, "keylen": 16, "role": "user"},
            }
        },
        "scram": {"principals": {"carol": {**scram, "role": "user"}}},
        "cryptosign": {"principals": {"eve": {"authorized_keys": [key], "role": "user"}}},
    }


@pytest.mark.parametrize("method", ["anonymous", "ticket", "wampcra", "scram", "cryptosign", "tls"])
def test_dynamic_authenticators_are_asked_as_before(tmp_path: Path, method: str) -> None:
    section = {"type": "dynamic", "authenticator": "com.example.auth", "authenticator-realm": "realm1"}
    got, left = auth(tmp_path, {method: section})
    assert (got, left) == ({method: section}, [])


@pytest.mark.parametrize(
    ("method", "section", "path"),
    [
        ("ticket", {"type": "function", "function": "a.b"}, "ticket"),
        ("ticket", {"principals": {"a": {"ticket": "t", "role": "none"}}}, "ticket.principals.a"),
        ("ticket", {"principals": {"a": {"ticket": "t", "role": "user", "realm": "none"}}}, "ticket.principals.a"),
        ("ticket", {"principals": {"a": {"role": "user"}}}, "ticket.principals.a"),
        ("wampcra", {"users": {"a": {"secret": "s", "role": "user", "extra": {}}}}, "wampcra.users.a.extra"),
        ("scram", {"principals": {"a": {"kdf": "pbkdf2", "memory": 1, "role": "user"}}}, "scram.principals.a"),
        ("cryptosign", {"principals": {"a": {"authorized_keys": [], "role": "user"}}}, "cryptosign.principals.a"),
        ("cryptosign", {"principals": {}, "trustroots": ["0x1"]}, "cryptosign.trustroots"),
        ("cookie", {"store": {"type": "memory"}}, "cookie"),
        ("anonymous-proxy", {"type": "static"}, "anonymous-proxy"),
    ],
)
def test_credentials_without_a_counterpart_are_listed(tmp_path: Path, method: str, section: Any, path: str) -> None:
    got, left = auth(tmp_path, {method: section, "anonymous": {"role": "user"}})
    assert got["anonymous"] == {"role": "user"}
    assert [line.split(":")[0] for line in left] == [f"workers[0].transports[0].auth.{path}"]


TICKETS: Final = {"ticket": {"principals": {"a": {"ticket": "t", "role": "anonymous"}}}}


@pytest.mark.parametrize(
    ("tracking", "cookie", "left"),
    [
        ({}, {}, []),
        ({"name": "cbtid", "length": 24, "max_age": 864000, "store": {"type": "memory"}},
         {"name": "cbtid", "length": 24, "max_age": 864000}, []),
        ({"store": {"type": "file", "filename": "cookies.dat"}}, {}, ["cookie.store.filename"]),
        ({"length": 6}, {}, ["cookie.length"]),
        (None, None, ["auth.cookie"]),
    ],
)  # fmt: skip
def test_browsers_that_are_tracked_by_the_transport_are_let_in_again(
    tmp_path: Path, tracking: Any, cookie: Any, left: list[str]
) -> None:
    transport = {**WEB["paths"]["ws"], "auth": {**TICKETS, "cookie": {}}}
    if tracking is not None:
        transport["cookie"] = tracking
    settings, lines = converted(tmp_path, node({**WEB, "paths": {"ws": transport}}))
    assert settings["listeners"][0]["auth"].get("cookie") == cookie
    assert [line.split(":")[0].partition("paths.ws.")[2] for line in lines] == left


def test_rawsocket_shares_the_listener_of_browsers_that_come_back(tmp_path: Path) -> None:
    ways = {
        "websocket": {"ws": {"cookie": {}, "auth": {**TICKETS, "cookie": {}}}},
        "rawsocket": {"auth": TICKETS},
    }
    settings, lines = converted(tmp_path, node({"type": "universal", "endpoint": WEB["endpoint"], **ways}))
    assert "protocols" not in settings["listeners"][0] and settings["listeners"][0]["auth"]["cookie"] == {}
    assert lines == []


def test_a_secret_is_in_no_line_of_what_is_listed(tmp_path: Path) -> None:
    section = {"ticket": {"principals": {"a": {"ticket": "geheim", "role": "none"}}}, "anonymous": {"role": "user"}}
    _, left = auth(tmp_path, section)
    assert left and "geheim" not in str(left)


# ---- workers, files


def test_workers_and_components_that_are_not_run_are_listed(tmp_path: Path) -> None:
    component = {"type": "class", "classname": "a.B", "realm": "realm1", "role": "anonymous"}
    data = node(WEB, components=[component], options={"pythonpath": ["."]})
    data["workers"] += [{"type": "container"}, {"type": "guest"}, {"type": "proxy"}, {"type": "novel"}, 5]
    data["controller"] = {"id": "node1", "options": {"title": "x"}}
    _, left = converted(tmp_path, data)
    assert {line.split(":")[0] for line in left} == {
        "controller.options",
        "workers[0].components[0]",
        "workers[0].options",
        *(f"workers[{index}]" for index in range(1, 6)),
    }


def test_yaml_is_read_as_well_and_standard_output_written(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(node(WEB)))
    result = run(tmp_path / "config.yaml")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["listeners"][0]["endpoint"] == "tcp:8080"


def test_an_output_that_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(node(WEB)))
    (tmp_path / "out.yaml").write_text("mine")
    result = run(tmp_path / "config.json", "-o", tmp_path / "out.yaml")
    assert result.exit_code == 1 and "is there already" in result.stderr
    assert (tmp_path / "out.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        ("{", "this is not YAML"),
        ("[1, 2]", "no Crossbar node configuration"),
        ("realms: []", "no Crossbar node configuration"),
        ('{"workers": []}', "too little of this configuration is of use"),
        ('{"workers": 5}', "workers: is not understood"),
        ("[" * 100_000, "levels deep"),
        ('{"a":' * 5000, "levels deep"),
        ("x" * 300_000, "this is no configuration"),
    ],
)
def test_a_file_that_is_none_gets_a_sentence(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "config.json").write_text(content)
    result = run(tmp_path / "config.json")
    assert result.exit_code == 1
    assert words in result.stderr and result.stdout == ""


def test_a_file_that_is_missing_gets_a_sentence(tmp_path: Path) -> None:
    assert "cannot be read" in run(tmp_path / "none.json").stderr


def test_what_our_own_checks_refuse_is_left_out_and_too_much_of_it_is_no_configuration(tmp_path: Path) -> None:
    history = [{"uri": f"com.t{number}", "limit": 10**9} for number in range(3)]
    realm = {**REALM, "store": {"event-history": [*history, {"uri": "com.good"}]}}
    settings, left = converted(tmp_path, node(WEB, realms=[realm]))
    assert len(settings["realms"][0]["history"]) == 4
    assert len(left) == 3 and all("should be at most 100000" in line for line in left)
    many = {**REALM, "store": {"event-history": [{"uri": "a b"}] * 300}}
    with pytest.raises(ConfigError, match="too little"):
        made(node(WEB, realms=[many]))


def test_the_file_says_where_it_comes_from_and_what_it_lacks(tmp_path: Path) -> None:
    text = made(node(WEB, {"type": "mqtt\x1b", "endpoint": TCP})).text("config.json")
    head = text.split("\n\n")[0].splitlines()
    assert head[0] == "# Made from config.json by: wampha convert crossbar-config"
    assert head[2].startswith("#   workers[0].transports[1]: ") and "\x1b" not in text


KEYS: Final = (
    *("type", "name", "realms", "roles", "permissions", "uri", "match", "allow", "transports", "endpoint", "port"),
    *("paths", "ws", "websocket", "auth", "anonymous", "role", "ticket", "principals", "joe", "options", "store"),
    *("event-history", "limit", "tls", "key", "certificate", "rawsocket", "interface"),
)
WORDS: Final = ("", "tcp", "web", "websocket", "router", "realm1", "a b", "*", "static", "anonymous")
SCRAPS: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9000) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=25,
)


PRINCIPAL: Final = {"secret": "s", "role": "anonymous", "salt": "x", "iterations": 10, "keylen": 16}
RICH: Final = node(
    {
        "type": "universal",
        "endpoint": {**TCP, "interface": "127.0.0.1", "tls": {"key": "k", "certificate": "c"}},
        "rawsocket": {"max_message_size": 4096, "auth": {"wampcra": {"users": {"joe": PRINCIPAL}}}},
        "websocket": {"ws": {"options": {"auto_ping_interval": 5000}, "auth": {"anonymous": {"role": "anonymous"}}}},
    },
    WEB,
    realms=[{**REALM, "options": {"uri_check": "loose"}, "store": {"event-history": [{"uri": "a.b", "limit": 9}]}}],
)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All paths in nested data but the root."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy in which `path`, if it is there, holds another value."""
    if not path:
        return value
    if not isinstance(data, (dict, list)):
        return data
    return type(data)(
        {key: replaced(inner, path[1:], value) if key == path[0] else inner for key, inner in data.items()}
        if isinstance(data, dict)
        else [replaced(inner, path[1:], value) if index == path[0] else inner for index, inner in enumerate(data)]
    )


@given(changes=st.lists(st.tuples(st.sampled_from(list(places(RICH))), SCRAPS), min_size=1, max_size=3))
def test_whatever_stands_there_the_result_is_valid_or_there_is_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    data: Any = RICH
    for path, value in changes:
        data = replaced(data, path, value)
    try:
        conversion = made(data)
    except ConfigError as error:
        assert error.problems
        return
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    file.write_text(conversion.text("fuzz"))
    try:
        load(file, {})
    except ConfigError as error:
        # Whether certificates can be read is not what the conversion is about.
        assert all("tls" in problem for problem in error.problems), error.problems
