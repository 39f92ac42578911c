"""Nodes that can be watched: with a monitoring port and an admin socket each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.nodes import Cluster, eventually, free_ports
from tests.support.web import Answer, ask


class Watched:
    """A cluster that has not been started, and what its nodes tell."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.ports = dict(zip(cluster.nodes, free_ports(len(cluster.nodes)), strict=True))
        for name, node in cluster.nodes.items():
            run_dir = folder / f"{name}.run"
            run_dir.mkdir()
            node.settings["node"]["run_dir"] = str(run_dir)
            node.settings["node"]["drain"] = {"spread_s": 0.5, "answer_s": 1.0, "deadline_s": 10.0}
            node.settings["monitoring"] = {"endpoint": f"tcp:{self.ports[name]}:interface=127.0.0.1"}

    def get(self, name: str, path: str, **values: Any) -> Answer:
        return ask(self.ports[name], path, **values)

    def metrics(self, name: str) -> str:
        return self.get(name, "/metrics").text

    def socket(self, name: str) -> Path:
        return Path(self.cluster[name].settings["node"]["run_dir"], "admin.sock")

    def becomes(self, name: str, path: str, status: int) -> Answer:
        def found() -> Answer | None:
            answer = self.get(name, path)
            return answer if answer.status == status else None

        found_at_last: Answer = eventually(found, 10.0, f"{status} at {path} of {name}", self.cluster[name].log)
        return found_at_last
