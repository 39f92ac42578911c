"""Bad networks: links that flap, lose packets, are slow, or are open on one side only.

    python -m tests.chaos.weather

Three voters with random clients on all, and 2,000 events a second from one to another. Flapping: a pair is cut and
healed, every 0.1 to 2 s. Loss: 1, 5 and 20 % of all packets between nodes. Delay: 50 and 200 ms round trip with as
much jitter as half of it, and a line of 1 kB/s between two nodes, through a proxy. Half-open: a link that swallows
everything, and how soon both ends notice; the same when every packet is dropped, and what then comes all the same.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.clients import Crowd, Load
from tests.chaos.judge import judge
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nemesis import Nemesis
from tests.chaos.nodes import HostCluster, Watch
from tests.chaos.probes import Stream
from tests.chaos.proxy import FAIR, Proxy, Weather
from tests.chaos.results import Figure, Report, finish, options
from tests.checkers.history import Fault

NOTICED_S: Final = 3.0
GOODPUT_MIN: Final = {0.01: 90.0, 0.05: 30.0, 0.20: 0.0}  # % of the undisturbed rate
ROUND_TRIPS_S: Final = (0.05, 0.2)
TRICKLE: Final = Weather(bytes_per_s=1000.0)
_LOAD: Final = Load(per_second=10)
_CALM_S: Final = 8.0  # after the weather: for what it broke to be well again


@dataclass
class Seen:
    """What the nodes counted while the weather lasted."""

    fences: int
    suspensions: int
    terms: int
    gaps: int


@contextlib.contextmanager
def counted(cluster: HostCluster) -> Iterator[Seen]:
    """Fills in what was counted meanwhile."""
    seen = Seen(0, 0, 0, 0)
    before = [node.status() for node in cluster]
    yield seen
    after = [node.status() for node in cluster]

    def more(name: str) -> int:
        return sum(b["counters"].get(name, 0) - a["counters"].get(name, 0) for a, b in zip(before, after, strict=True))

    seen.fences, seen.suspensions, seen.gaps = more("fences"), more("leases_lost"), more("link_gaps")
    seen.terms = max(status["term"] for status in after) - max(status["term"] for status in before)


class Sky:
    """A cluster whose weather changes, and what is seen of it."""

    def __init__(self, cluster: HostCluster, proxy: Proxy) -> None:
        self.cluster: Final = cluster
        self.proxy: Final = proxy
        self.nemesis: Final = Nemesis(cluster)
        self.pairs: Final = [(one.name, two.name) for one, two in itertools.permutations(cluster, 2)]

    def watch(
        self, rows: tuple[int, ...], case: str, change: Callable[[], None], seconds: float, *, resumes: bool = True
    ) -> Report:
        """Let the weather last; `change` makes it, and what it does to the network is undone.

        With `resumes`, no cut is so long that a link could not resume after it, and so nothing may be lost.
        """
        report = Report("weather", case)
        a, b, _ = self.cluster
        with Stream(a, b) as stream:
            time.sleep(1.0)
            fair = len(stream.heard) / (time.monotonic() - stream.times[0])
            with counted(self.cluster) as seen:
                began, heard = time.monotonic(), len(stream.heard)
                change()
                time.sleep(max(0.0, began + seconds - time.monotonic()))
                goodput = 100 * (len(stream.heard) - heard) / (time.monotonic() - began) / fair
            self.clear_up()
            self.cluster.wait_until_whole()
        self.cluster.wait_until_equal(_CALM_S)
        report.add(
            Figure(rows, "events heard meanwhile, of the undisturbed rate", min(goodput, 100.0), "%"),
            Figure(rows, "events lost", stream.lost, goal=0 if resumes else None),
            Figure(rows, "gaps that were announced", seen.gaps),
            Figure(rows, "events doubled or out of order", stream.wrong, goal=0),
            Figure(rows, "nodes fenced", seen.fences),
            Figure(rows, "nodes suspended", seen.suspensions),
            Figure(rows, "elections", seen.terms),
        )
        if stream.wrong:
            report.violations.append(f"P3, P4: {stream.wrong} events doubled or out of order")
        if stream.lost and not seen.gaps and not stream.ended:
            report.violations.append(f"P5: {stream.lost} events lost in silence")
        print(f"{case}: {goodput:.0f} %, {stream.lost} lost, {seen.fences} fenced", flush=True)
        return report

    def clear_up(self) -> None:
        """Fair weather."""
        self.proxy.set(FAIR)
        self.nemesis.heal()

    # ---- kinds

    def flapping(self, seconds: float) -> Report:
        """A pair that sees each other only now and then."""
        chance = random.Random(0)

        def flap() -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.nemesis.cut(("a", "b"), ("b", "a"))
                time.sleep(chance.uniform(0.1, 2.0))
                self.nemesis.heal()
                time.sleep(chance.uniform(0.1, 2.0))

        return self.watch((9,), "flapping", flap, seconds)

    def loss(self, share: float, seconds: float) -> Report:
        """Packets are lost at random, on all links."""
        report = self.watch((10,), f"{share:.0%} loss", lambda: self.nemesis.lose(share, *self.pairs) and None, seconds)
        first = report.figures[0]
        report.figures[0] = Figure(first.rows, first.name, first.value, first.unit, GOODPUT_MIN[share], least=True)
        return report

    def delay(self, round_trip_s: float, seconds: float) -> Report:
        """All links are long, and shake."""
        one_way = Weather(delay_s=round_trip_s / 2, jitter_s=round_trip_s / 4)
        report = self.watch((11,), f"{1000 * round_trip_s:.0f} ms round trip", lambda: self.proxy.set(one_way), seconds)
        report.figures = [
            Figure(figure.rows, figure.name, figure.value, goal=0) if figure.name == "nodes fenced" else figure
            for figure in report.figures
        ]
        return report

    def trickle(self, seconds: float) -> Report:
        """Between two nodes the line is next to nothing."""

        def trickle() -> None:
            self.nemesis.history.add(
                Fault("slow", time.monotonic(), time.monotonic() + seconds, links=(("a", "b"), ("b", "a")))
            )
            self.proxy.set(TRICKLE, "a", "b")

        return self.watch((11,), "1 kB/s between two nodes", trickle, seconds, resumes=False)

    def half_open(self) -> Report:
        """Between two nodes the connections are open and carry nothing."""
        report = Report("weather", "half-open link")
        with self._noticed(report, "a link is half-open"):
            began = time.monotonic()
            self.nemesis.history.add(Fault("cut", began, began + 6.0, links=(("a", "b"), ("b", "a"))))
            self.proxy.set(Weather(swallows=True), "a", "b")
            time.sleep(6.0)
            self.clear_up()
            self.cluster.wait_until_whole()
        return report

    def vanishing(self) -> Report:
        """Between two nodes every packet is dropped, FIN and RST too, until both must have noticed."""

        noticed = Report("weather", "packets vanish")

        def vanish() -> None:
            with self._noticed(noticed, "packets vanish"):
                self.nemesis.cut(("a", "b"), ("b", "a"))
                time.sleep(NOTICED_S)
            self.nemesis.heal()

        report = self.watch((19,), "packets vanish", vanish, NOTICED_S + 3.0)
        report.add(*noticed.figures)
        return report

    @contextlib.contextmanager
    def _noticed(self, report: Report, what: str) -> Iterator[None]:
        """Report after how long each of two nodes notices what is done to the link between them."""
        a, b, _ = self.cluster
        watches = [
            Watch(node, lambda line, peer=peer: f"link to {peer.name} is down" in line)
            for node, peer in ((a, b), (b, a))
        ]
        began = time.monotonic()
        yield
        for watch, node in zip(watches, (a, b), strict=True):
            noticed = watch.end()
            seconds = (noticed or float("inf")) - began
            report.add(Figure((19,), f"{node.name} notices that {what} after", seconds, "s", NOTICED_S))
        print(f"{what}: noticed after {[round(figure.value, 2) for figure in report.figures]} s", flush=True)


def run(seconds: float, kinds: tuple[str, ...] = ()) -> list[Report]:
    """All kinds of weather (or those named) on one cluster, `seconds` each."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Proxy() as proxy,
        HostCluster(Path(folder), proxy=proxy) as cluster,
    ):
        cluster.start().wait_until_whole()
        sky = Sky(cluster, proxy)
        all_kinds: dict[str, Callable[[], list[Report]]] = {
            "flapping": lambda: [sky.flapping(seconds)],
            "loss": lambda: [sky.loss(share, seconds) for share in GOODPUT_MIN],
            "delay": lambda: [sky.delay(round_trip_s, seconds) for round_trip_s in ROUND_TRIPS_S],
            "trickle": lambda: [sky.trickle(seconds)],
            "half-open": lambda: [sky.half_open()],
            "vanishing": lambda: [sky.vanishing()],
        }
        reports = []
        with Crowd(cluster, 1, load=_LOAD) as crowd:
            for kind in kinds or all_kinds:
                reports += all_kinds[kind]()
        crowd.record_into(sky.nemesis.history)
        sky.nemesis.record_gaps()
    return [*reports, judge("weather", (9, 10, 11, 19), sky.nemesis.history, "random clients")]


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each kind of weather lasts (30)")
    arguments = parser.parse_args()
    end_on_signals()
    finish(run(arguments.seconds), arguments.record)


if __name__ == "__main__":
    main()
