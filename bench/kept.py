"""What it costs to have events kept: retained ones against plain ones, on three nodes. `python -m bench.kept`

The publisher and the subscriber are at two nodes that do not lead. Only the ratios of one run mean something.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.support.nodes import Cluster
from tests.support.wampclient import EVENT, PUBLISH, Session

ROUNDS = 400
BURSTS = ((16, 3000), (10_000, 500))  # (bytes, events)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder)).start()
        try:
            first, second = (node for node in cluster if node is not cluster.leader())
            for retain in (False, True):
                with first.session("rawsocket", "msgpack") as publisher, second.session("rawsocket") as subscriber:
                    subscriber.subscribe("bench.topic")
                    measure(publisher, subscriber, {"retain": True} if retain else {})
        finally:
            cluster.end()


def measure(publisher: Session, subscriber: Session, options: dict[str, bool]) -> None:
    """Acknowledged ones one by one, then bursts until the subscriber has the last."""
    name, acknowledged = "retained" if options else "plain", {"acknowledge": True, **options}
    taken = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        publisher.ask(PUBLISH, acknowledged, "bench.topic", [number])
        taken.append(time.perf_counter() - began)
    print(f"{name}: PUBLISHED after {sorted(taken)[ROUNDS // 2] * 1000:.2f} ms (median)", flush=True)
    for size, count in BURSTS:
        began = time.perf_counter()
        for _ in range(count):
            publisher.start(PUBLISH, options, "bench.topic", ["x" * size])
        publisher.ask(PUBLISH, acknowledged, "bench.topic", ["end"])
        while subscriber.next(EVENT)[-1] != ["end"]:
            pass
        rate = count / (time.perf_counter() - began)
        print(f"{name}: {rate:,.0f} events/s of {size} bytes", flush=True)


if __name__ == "__main__":
    main()
