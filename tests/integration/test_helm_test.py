"""The script that `helm test` runs in a pod, here against nodes on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.commands import environment
from tests.support.nodes import Cluster

SCRIPT = Path(__file__).parents[2] / "helm" / "wampha" / "files" / "test.py"


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    given = {"WAMPHA_TEST_PREFIX": "com.example.helm_test.", "WAMPHA_REALM": "realm1", **variables}
    command = [sys.executable, "-c", SCRIPT.read_text()]  # as the pod has it
    return subprocess.run(command, env=environment(**given), capture_output=True, text=True, timeout=60, check=False)


def test_an_event_and_a_call_go_from_node_to_node(cluster: Cluster) -> None:
    first, second = (f"ws://127.0.0.1:{cluster[name].port}/ws" for name in "ab")
    ran = run(WAMPHA_TEST_FIRST=first, WAMPHA_TEST_SECOND=second)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        f"an event went from {first} to {second}",
        f"a call went from {first} to {second} and came back",
    ]


def test_it_says_in_one_line_what_does_not_work(cluster: Cluster) -> None:
    first, second = (f"ws://127.0.0.1:{cluster[name].port}/ws" for name in "ab")
    for variables in ({"WAMPHA_REALM": "nowhere"}, {"WAMPHA_TEST_FIRST": "ws://127.0.0.1:1/ws"}):
        ran = run(**{"WAMPHA_TEST_FIRST": first, "WAMPHA_TEST_SECOND": second, **variables})
        assert ran.returncode == 1
        assert ran.stderr.startswith("helm test failed: wampha ") and "Traceback" not in ran.stderr
        assert "nowhere" in ran.stderr or "127.0.0.1:1" in ran.stderr
