"""What a scrape costs a node with many sessions: `python -m bench.scrape --sessions 5000`.

The node runs with the configuration of the bench. What counts is not how long a scrape takes, but its processor time,
and how long the turns of the reactor last in which it is made: in the meantime nobody else is served. On a busy machine
turns last longer than they work.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.process import RouterProcess
from bench.routers import Wampha
from tests.support.nodes import free_ports
from tests.support.wampclient import Session

TURNS_S = 0.01  # turns that last longer are told


def get(port: int, path: str) -> bytes:
    """The answer of the monitoring port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        body: bytes = answer.read()
        return body


def long_turns(port: int) -> dict[str, int]:
    """How many turns have lasted long, by range."""
    lasting: dict[str, int] = json.loads(get(port, "/status"))["nodes"][0]["turns"]["lasting_s"]
    return {name: count for name, count in lasting.items() if float(name.split("-")[0]) >= TURNS_S}


def processor_s(pid: int) -> float:
    """Processor time of the process since its start."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def measure(port: int, pid: int, path: str, times: int) -> dict[str, Any]:
    """Ask so often, and see what turns there were."""
    before, took, worked, length = long_turns(port), [], [], 0
    for _ in range(times):
        began, cpu = time.perf_counter(), processor_s(pid)
        length = len(get(port, path))
        took.append(time.perf_counter() - began)
        worked.append(processor_s(pid) - cpu)
        time.sleep(0.05)
    after = long_turns(port)
    more = {name: count - before[name] for name, count in after.items() if count - before[name]}
    return {
        "path": path,
        "bytes": length,
        "median_ms": round(statistics.median(took) * 1000, 1),
        "median_cpu_ms": round(statistics.median(worked) * 1000, 2),
        "long turns": more,
    }


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--times", type=int, default=40)
    wanted = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        launch = Wampha(Path(sys.executable)).launch(Path(folder))
        file = Path(folder, "wampha.yaml")
        settings = json.loads(file.read_text())
        file.write_text(json.dumps({**settings, "monitoring": {"endpoint": f"tcp:{port}:interface=127.0.0.1"}}))
        with RouterProcess(launch, None) as node:
            node.wait_until_ready()
            sessions = [Session(launch.port, "rawsocket") for _ in range(wanted.sessions)]
            print(f"{len(sessions)} sessions")
            for path in ("/livez", "/metrics", "/status"):
                print(measure(port, node.pid, path, wanted.times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
