"""Real client libraries connect unchanged, to one node and to a cluster, over each transport and serializer they have.

Each library's script holds the same conversation (see `clients/autobahn_python.py`); here stands what must be seen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.conftest import Router
from tests.support.nodes import Cluster

HERE: Final = Path(__file__).parent
LIMIT_S: Final = 30.0

AUTOBAHN_PYTHON: Final = (sys.executable, str(HERE / "clients" / "autobahn_python.py"))
XCONN: Final = (sys.executable, str(HERE / "clients" / "xconn_python.py"))
AUTOBAHN_JS: Final = ("node", str(HERE / "js" / "autobahn_client.js"))
WAMPY: Final = ("node", str(HERE / "js" / "wampy_client.js"))

# It has neither progressive results nor CANCEL.
XCONN_WAYS: Final = [
    pytest.param(XCONN, transport, serializer, id=f"xconn-{transport}-{serializer}")
    for transport in ("websocket", "rawsocket")
    for serializer in ("json", "msgpack", "cbor")
]
FULL_WAYS: Final = [
    *[
        pytest.param(AUTOBAHN_PYTHON, transport, serializer, id=f"autobahn-python-{transport}-{serializer}")
        for transport in ("websocket", "rawsocket")
        for serializer in ("json", "msgpack", "cbor")
    ],
    *[
        pytest.param(AUTOBAHN_PYTHON, "websocket", serializer, id=f"autobahn-python-websocket-{serializer}")
        for serializer in ("json.batched", "msgpack.batched", "cbor.batched")
    ],
    *[
        pytest.param(AUTOBAHN_JS, "websocket", serializer, id=f"autobahn-js-websocket-{serializer}")
        for serializer in ("json", "msgpack", "cbor")
    ],
    pytest.param(AUTOBAHN_JS, "rawsocket", "json", id="autobahn-js-rawsocket-json"),  # it knows no other there
    *[
        pytest.param(WAMPY, "websocket", serializer, id=f"wampy-websocket-{serializer}")
        for serializer in ("json", "msgpack", "cbor")
    ],
]
WAYS: Final = [*FULL_WAYS, *XCONN_WAYS]

PAYLOAD: Final = [[7, "zwei", None, {"deep": [1.5, True]}], {"name": "value", "n": -1}]
EXPECTED: Final[dict[str, Any]] = {
    "event": PAYLOAD,
    "pattern_topic": ".topic",
    "binary": bytes(range(256)).hex(),
    "own": [["own"], {}],
    "after_unsubscribe": 0,
    "result": PAYLOAD,
    "error": ["com.example.refused", *PAYLOAD],
    "taken": "wamp.error.procedure_already_exists",
    "after_unregister": "wamp.error.no_such_procedure",
    "left": ["wamp.close.goodbye_and_out"] * 2,
}


def converse(client: tuple[str, ...], transport: str, serializer: str, *ports: int) -> dict[str, Any]:
    """What the two sessions of a library saw."""
    environment = {**os.environ, "NODE_PATH": str(HERE / "js" / "node_modules")}
    command = [*client, transport, serializer, *map(str, ports)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


# The scripts that look at options of PUBLISH and CALL.
OPTIONS: Final = {
    client: (client[0], str(HERE / name))
    for client, name in (
        (AUTOBAHN_PYTHON, "clients/autobahn_python_options.py"),
        (XCONN, "clients/xconn_python_options.py"),
        (AUTOBAHN_JS, "js/autobahn_options.js"),
        (WAMPY, "js/wampy_options.js"),
    )
}


def check_options(client: tuple[str, ...], transport: str, serializer: str, *ports: int) -> None:
    """All that the library has of black and white lists, disclosure, progress, timeouts and CANCEL works."""
    seen = {
        "heard": ["eligible"],
        "publisher": None if client is AUTOBAHN_PYTHON else True,  # it cannot ask for that
        "progress": [0, 1, 2, "end"],
        "timeout": "wamp.error.timeout",
        "canceled": True,
        "after": "end",
    }
    if client is XCONN:
        del seen["progress"], seen["canceled"]
    assert converse(OPTIONS[client], transport, serializer, *ports) == seen


# The scripts that look at the meta API.
META: Final = (
    (AUTOBAHN_PYTHON, (AUTOBAHN_PYTHON[0], str(HERE / "clients/autobahn_python_meta.py"))),
    (AUTOBAHN_JS, (AUTOBAHN_JS[0], str(HERE / "js/autobahn_meta.js"))),
)
META_WAYS: Final = [
    pytest.param(script, *way.values[1:], id=way.id)
    for client, script in META
    for way in FULL_WAYS
    if way.values[0] is client and "batched" not in str(way.id)
]
META_SEEN: Final = {
    kind: {
        "found": True,
        "details": [True, "exact"],
        "members": [True, 1],
        "events": ["on_create", f"on_{begins}", f"on_un{begins}", "on_delete"],
        "gone": True,
        "unknown": f"wamp.error.no_such_{kind}",
    }
    for kind, begins in (("subscription", "subscribe"), ("registration", "register"))
}


# The scripts that look at the session meta API and at testaments.
SESSIONS: Final = {script: (script[0], script[1].replace("_meta.", "_sessions.")) for _, script in META}
SESSIONS_SEEN: Final = {
    "details": [True, "anonymous", "anonymous"],
    "listed": True,
    "own": "wamp.error.no_such_session",
    "reason": "test.enough",
    "told": [[["first"], {"n": 1}], [["third"], {}], "left"],
}


# The scripts in which several callees offer one procedure.
SHARED: Final = {
    client: (client[0], str(HERE / name))
    for client, name in (
        (AUTOBAHN_PYTHON, "clients/autobahn_python_shared.py"),
        (AUTOBAHN_JS, "js/autobahn_shared.js"),
    )
}
SHARING_WAYS: Final = [each for each in FULL_WAYS if each.values[0] in SHARED]


def check_shared(client: tuple[str, ...], transport: str, serializer: str, *ports: int) -> None:
    """Callees take turns, are refused, put out, and called no more often at once than they want."""
    assert converse(SHARED[client], transport, serializer, *ports) == {
        "turns": ["one", "two", True],
        "conflict": "wamp.error.procedure_exists_with_different_invocation_policy",
        "forced": "three",
        "goes_on": True,
        "full": "crossbar.error.max_concurrency_reached",
        "done": "done",
    }


# The scripts that look at kept events, shared procedures, other sessions and testaments in one.
ADVANCED: Final = {
    XCONN: (XCONN[0], str(HERE / "clients/xconn_python_advanced.py")),
    WAMPY: (WAMPY[0], str(HERE / "js/wampy_advanced.js")),
}
ADVANCED_WAYS: Final = [
    each for each in WAYS if each.values[0] in ADVANCED and (each.values[1] == "rawsocket" or each.values[2] == "json")
]


def check_advanced(client: tuple[str, ...], transport: str, serializer: str, *ports: int) -> None:
    """The libraries that know least of the advanced profile use it all the same."""
    seen: dict[str, Any] = {
        "kept": {"retained": [2, True], "live": [3, False], "history": [1, 2, 3]},
        "shared": {
            "turns": ["one", "two", True],
            "conflict": "wamp.error.procedure_exists_with_different_invocation_policy",
            "forced": "three",
        },
        "sessions": {"details": ["anonymous", "anonymous"], "told": ["first", "second", "left"]},
    }
    if client is WAMPY:
        del seen["kept"]["retained"]  # it takes `retain`, but does not send it
        del seen["shared"]["forced"]  # it sends no option of REGISTER that it does not know
    assert converse(ADVANCED[client], transport, serializer, *ports) == seen


def expected(client: tuple[str, ...], serializer: str) -> dict[str, Any]:
    """What every library must see, less what it cannot show."""
    seen = dict(EXPECTED)
    if serializer == "json" and client is not AUTOBAHN_PYTHON:
        seen["binary"] = None  # the JavaScript libraries and xconn do not send binary values over JSON
    if client is XCONN:
        seen["error"] = seen["error"][:2]  # as a callee it does not send the named values of an error
        del seen["left"]  # nor does it tell the reason of the router's GOODBYE
    if client is WAMPY:
        seen["own"] = None  # wampy cannot ask for its own events
        del seen["left"]  # nor does it tell the reason of the router's GOODBYE
    return seen


@pytest.mark.parametrize(("client", "transport", "serializer"), WAYS)
def test_library_on_one_node(router: Router, client: tuple[str, ...], transport: str, serializer: str) -> None:
    seen = converse(client, transport, serializer, router.port, router.port)
    assert seen == expected(client, serializer)


@pytest.mark.parametrize(("client", "transport", "serializer"), WAYS)
def test_library_across_nodes(cluster: Cluster, client: tuple[str, ...], transport: str, serializer: str) -> None:
    seen = converse(client, transport, serializer, cluster["a"].port, cluster["c"].port)
    assert seen == expected(client, serializer)


@pytest.mark.parametrize(("client", "transport", "serializer"), FULL_WAYS)
def test_options_on_one_node(router: Router, client: tuple[str, ...], transport: str, serializer: str) -> None:
    check_options(client, transport, serializer, router.port, router.port)


@pytest.mark.parametrize(("client", "transport", "serializer"), FULL_WAYS)
def test_options_across_nodes(cluster: Cluster, client: tuple[str, ...], transport: str, serializer: str) -> None:
    check_options(client, transport, serializer, cluster["b"].port, cluster["a"].port)


@pytest.mark.parametrize(("client", "transport", "serializer"), XCONN_WAYS)
def test_fewer_options_on_one_node(router: Router, client: tuple[str, ...], transport: str, serializer: str) -> None:
    check_options(client, transport, serializer, router.port, router.port)


@pytest.mark.parametrize(("client", "transport", "serializer"), XCONN_WAYS)
def test_fewer_options_across_nodes(cluster: Cluster, client: tuple[str, ...], transport: str, serializer: str) -> None:
    check_options(client, transport, serializer, cluster["b"].port, cluster["a"].port)


@pytest.mark.parametrize(("script", "transport", "serializer"), META_WAYS)
def test_meta_api_on_one_node(router: Router, script: tuple[str, ...], transport: str, serializer: str) -> None:
    assert converse(script, transport, serializer, router.port, router.port) == META_SEEN


@pytest.mark.parametrize(("script", "transport", "serializer"), META_WAYS)
def test_meta_api_across_nodes(cluster: Cluster, script: tuple[str, ...], transport: str, serializer: str) -> None:
    assert converse(script, transport, serializer, cluster["a"].port, cluster["c"].port) == META_SEEN


@pytest.mark.parametrize(("script", "transport", "serializer"), META_WAYS)
def test_sessions_and_testaments_on_one_node(
    router: Router, script: tuple[str, ...], transport: str, serializer: str
) -> None:
    assert converse(SESSIONS[script], transport, serializer, router.port, router.port) == SESSIONS_SEEN


@pytest.mark.parametrize(("script", "transport", "serializer"), META_WAYS)
def test_sessions_and_testaments_across_nodes(
    cluster: Cluster, script: tuple[str, ...], transport: str, serializer: str
) -> None:
    assert converse(SESSIONS[script], transport, serializer, cluster["a"].port, cluster["c"].port) == SESSIONS_SEEN


@pytest.mark.parametrize(("client", "transport", "serializer"), SHARING_WAYS)
def test_shared_procedures_on_one_node(
    router: Router, client: tuple[str, ...], transport: str, serializer: str
) -> None:
    check_shared(client, transport, serializer, router.port, router.port)


@pytest.mark.parametrize(("client", "transport", "serializer"), SHARING_WAYS)
def test_shared_procedures_across_nodes(
    cluster: Cluster, client: tuple[str, ...], transport: str, serializer: str
) -> None:
    check_shared(client, transport, serializer, cluster["b"].port, cluster["a"].port)


@pytest.mark.parametrize(("client", "transport", "serializer"), ADVANCED_WAYS)
def test_advanced_features_on_one_node(
    router: Router, client: tuple[str, ...], transport: str, serializer: str
) -> None:
    check_advanced(client, transport, serializer, router.port, router.port)


@pytest.mark.parametrize(("client", "transport", "serializer"), ADVANCED_WAYS)
def test_advanced_features_across_nodes(
    cluster: Cluster, client: tuple[str, ...], transport: str, serializer: str
) -> None:
    check_advanced(client, transport, serializer, cluster["b"].port, cluster["c"].port)
