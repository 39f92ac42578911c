"""Who may import whom (docs/design.md, section 3). Files are parsed and not imported: a layer may be missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wampha"

# Each imports only from those above it; `ledger` and `cluster` stand side by side and do not know each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "limits", "distributions", "counters", "stages"),
    ("names",),
    ("messages",),
    ("state",),
    ("auth",),
    ("routing",),
    ("clock", "filewatch", "threads", "tls"),
    ("ledger", "cluster"),
    ("transport",),
    ("observe",),
    ("config",),
    ("departure", "tidings", "reloading", "live", "node", "notify", "tap", "certs", "cli", "__main__"),
)
ORDER = {layer: position for position, group in enumerate(LAYERS) for layer in group}
PURE = ("errors", "limits", "distributions", "counters", "stages", "names", "messages", "state", "auth", "routing")
SAME_GROUP_ALLOWED = (*LAYERS[0], *LAYERS[-1])

# What would bring in time, chance, sockets or an event loop.
IMPURE = frozenset(
    {"twisted", "zope", "txaio", "asyncio", "time", "datetime", "random", "secrets", "uuid"}
    | {"socket", "socketserver", "selectors", "select", "ssl", "http", "urllib", "OpenSSL", "websockets", "pysyncobj"}
    | {"threading", "multiprocessing", "concurrent", "subprocess", "signal"}
)
AUTOBAHN_IN_THE_CORE = tuple(f"autobahn.wamp.{module}" for module in ("message", "serializer", "role", "exception"))


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    module: str  # for `from a import b`: `a.b`, since b may be a module

    def is_of(self, *packages: str) -> bool:
        return any(self.module == package or self.module.startswith(package + ".") for package in packages)

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_in(file: Path, text: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = _absolute(file, node)
            yield from (Import(file, node.lineno, f"{package}.{name.name}") for name in node.names)


def _absolute(file: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = file.relative_to(ROOT).parts[: -node.level]
    return ".".join((*package, *filter(None, [node.module])))


def layer_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))
IMPORTS = [found for file in FILES for found in imports_in(file, file.read_text())]


def impurity(found: Import) -> bool:
    if found.is_of("autobahn"):
        return not found.is_of(*AUTOBAHN_IN_THE_CORE)
    return found.is_of(*IMPURE)


def misplaced(found: Import) -> bool:
    importer, package = layer_of(found.file), found.module.split(".")
    if importer == "__init__" or package[0] != "wampha" or len(package) < 2 or package[1] not in ORDER:
        return False
    imported = package[1]
    if imported == importer:
        return False
    if ORDER[imported] == ORDER[importer]:
        return importer not in SAME_GROUP_ALLOWED
    return ORDER[imported] > ORDER[importer]


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(file) for file in FILES} - {"__init__"} <= set(ORDER)


def test_the_core_imports_no_reactor_no_clock_no_chance_and_no_socket() -> None:
    assert [str(found) for found in IMPORTS if layer_of(found.file) in PURE and impurity(found)] == []


def test_each_layer_imports_only_from_those_above_it() -> None:
    assert [str(found) for found in IMPORTS if misplaced(found)] == []


def test_only_the_ledger_imports_pysyncobj() -> None:
    assert [str(found) for found in IMPORTS if found.is_of("pysyncobj") and layer_of(found.file) != "ledger"] == []


def test_only_the_configuration_reads_yaml() -> None:
    assert [str(found) for found in IMPORTS if found.is_of("yaml") and layer_of(found.file) != "config"] == []


def test_the_plugin_imports_nothing_but_twisted() -> None:
    plugin = ROOT / "twisted" / "plugins" / "wampha_plugin.py"
    imported = [found.module for found in imports_in(plugin, plugin.read_text())]
    assert imported == ["twisted.application.service.ServiceMaker"]


def test_we_add_no_package_to_twisted() -> None:
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


# A checker that never failed is not trusted.


@pytest.mark.parametrize(
    ("layer", "statement"),
    [
        ("routing/broker.py", "from twisted.internet import defer"),
        ("routing/broker.py", "import time"),
        ("state/machine.py", "from random import Random"),
        ("messages/model.py", "from autobahn.twisted import websocket"),
        ("names/ids.py", "def f():\n    import socket"),
    ],
)
def test_an_impure_import_is_noticed(layer: str, statement: str) -> None:
    assert [impurity(found) for found in imports_in(PACKAGE / layer, statement)] == [True]


def test_the_message_classes_of_autobahn_are_allowed_in_the_core() -> None:
    statement = "from autobahn.wamp.message import Hello\nfrom autobahn.wamp import role, serializer"
    assert not any(impurity(found) for found in imports_in(PACKAGE / "messages/model.py", statement))


@pytest.mark.parametrize(
    ("layer", "statement"),
    [
        ("state/machine.py", "from wampha.routing import broker"),
        ("ledger/raft.py", "from wampha.cluster.link import Link"),
        ("cluster/link.py", "from ..ledger import base"),
        ("names/uri.py", "import wampha.node"),
        ("config/load.py", "from wampha import tap"),
    ],
)
def test_an_import_from_below_is_noticed(layer: str, statement: str) -> None:
    assert [misplaced(found) for found in imports_in(PACKAGE / layer, statement)] == [True]


@pytest.mark.parametrize(
    ("layer", "statement"),
    [
        ("routing/broker.py", "from wampha.state.commands import AddRoute"),
        ("routing/broker.py", "from . import session"),
        ("tap.py", "from wampha.node import Node"),
        ("node.py", "from wampha import __version__"),
    ],
)
def test_an_import_from_above_or_beside_is_fine(layer: str, statement: str) -> None:
    assert not any(misplaced(found) for found in imports_in(PACKAGE / layer, statement))
