"""Three nodes for your own clients, until Ctrl-C: `make cluster`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from examples.nodes import CLIENT_PORTS, REALM, Nodes, NotStartedError, PortTakenError, page

WATCH_S = 0.2  # how often the processes are looked at


def main() -> int:
    """Start the nodes, tell where they are, and end them; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds")
    seconds = parser.parse_args().seconds
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        with Nodes() as nodes:
            nodes.wait_until_serving()
            introduce(nodes)
            return watch(nodes, stop, seconds)
    except (PortTakenError, NotStartedError) as error:
        print(f"wampha: {error}", file=sys.stderr)
        return 1


def introduce(nodes: Nodes) -> None:
    """Say what runs and where."""
    print("wampha: three nodes, one router\n")
    for name, port in CLIENT_PORTS.items():
        print(f"  {name}   ws://127.0.0.1:{port}/ws   and RawSocket on 127.0.0.1:{port}   pid {nodes.pid(name)}")
    print(f"\n  realm `{REALM}`, everybody may do everything; logs and configurations in {nodes.folder}")
    print(f"  the cluster in your browser: {page('node1')}  (metrics for Prometheus: {page('node1')}metrics)")
    print("  try: kill -9 one of them.  Ctrl-C ends all.", flush=True)


def watch(nodes: Nodes, stop: threading.Event, seconds: float | None) -> int:
    """Tell which node ends, until it is time or none is left."""
    told: set[str] = set()
    left = seconds if seconds is not None else float("inf")
    while left > 0 and not stop.wait(WATCH_S):
        left -= WATCH_S
        for name in nodes.ended():
            if name not in told:
                told.add(name)
                print(f"  {name} has ended; its log: {nodes.folder / name}.log", flush=True)
        if len(told) == len(CLIENT_PORTS):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
