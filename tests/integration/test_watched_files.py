"""A node that looks whether its files have changed, as in a pod, where nobody can send it a signal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.nodes import NodeProcess
from tests.support.wampclient import ConnectionEndedError

EVERY_S: Final = 0.2
AGAIN: Final = "the configuration was read again; changed: "


class Volume:
    """A folder as Kubernetes fills it: all its files change in one moment, by a link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def fill(self, **files: str) -> None:
        self._count += 1
        fresh = self._folder / f"..{self._count}"
        fresh.mkdir()
        for name, text in files.items():
            (fresh / name.replace("_", ".")).write_text(text)
            (fresh / name.replace("_", ".")).chmod(0o640)
        (self._folder / "..new").symlink_to(fresh.name)
        (self._folder / "..new").rename(self._folder / "..data")
        for path in fresh.iterdir():
            if not (self._folder / path.name).is_symlink():
                (self._folder / path.name).symlink_to(f"..data/{path.name}")


@pytest.fixture
def node(fresh_node: Callable[..., NodeProcess], tmp_path: Path) -> tuple[NodeProcess, Volume]:
    made = fresh_node()
    made.settings["node"]["watch_files_s"] = EVERY_S
    volume = Volume(tmp_path)
    volume.fill(node_yaml="", other="")  # the node's configuration is written through the link
    return made, volume


def with_realms(settings: dict[str, Any], *names: str | dict[str, str]) -> str:
    first, *others = settings["realms"]
    return json.dumps({**settings, "realms": [first, *others, *({**first, "name": name} for name in names)]})


def test_what_changes_in_the_file_is_taken_over_without_a_signal(node: tuple[NodeProcess, Volume]) -> None:
    there, volume = node
    there.launch().wait_until_serving()
    with there.session() as stays:
        with pytest.raises(ConnectionEndedError), there.session(realm="realm2"):
            pass
        volume.fill(node_yaml=with_realms(there.settings, "realm2"))
        there.wait_for_log(AGAIN + r"realms\[realm2\] \(added\)")
        with there.session(realm="realm2") as joined:
            joined.subscribe("test.topic")
        stays.subscribe("test.topic")


def test_a_file_that_cannot_be_used_is_told_once_and_what_it_names_may_come_later(
    node: tuple[NodeProcess, Volume],
) -> None:
    there, volume = node
    there.launch().wait_until_serving()
    there.expect_log("the configuration stays as it was|the file name cannot be read")
    text = with_realms(there.settings, {"file": "name"})
    volume.fill(node_yaml=text)
    there.wait_for_log("the configuration stays as it was; problems: 1")
    volume.fill(node_yaml=text, name="realm3")
    there.wait_for_log(AGAIN + r"realms\[realm3\] \(added\)")
    assert there.log().count("the configuration stays as it was") == 1
    volume.fill(node_yaml=text, name="realm4")
    there.wait_for_log(r"realms\[realm4\] \(added\)")
