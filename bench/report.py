"""From samples to medians, ratios and tables."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.cases import ALL, CLUSTER, IDLE_MB_GOAL, JOIN, SESSION_KIB_GOAL, START_S_GOAL, Case
from bench.load import Reading
from bench.measure import NodeSample, Results, Sample

REFERENCE = "crossbar"
SUBJECT = "wampha"
BEGIN = "<!-- results: written by python -m bench --write-readme -->"
END = "<!-- end of results -->"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum of the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return _number(self.median)
        return f"{_number(self.median)} ({_number(self.low)}-{_number(self.high)})"


def _number(value: float) -> str:
    """Three digits that count, thousands in groups."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of the values, None if there are none."""
    listed = list(values)
    return Spread(median(listed), min(listed), max(listed)) if listed else None


def cpu_per_100k(reading: Reading) -> float:
    """CPU seconds of all measured router processes per 100,000 operations."""
    return sum(reading.router_cpu_s) / reading.operations * 1e5


def ratios(samples: Sequence[Sample], figure: Callable[[Reading], float]) -> list[float]:
    """Divide wampha's figure by Crossbar's of the same round, for each round that has both."""
    by_round: dict[int, dict[str, float]] = {}
    for sample in samples:
        by_round.setdefault(sample.round, {})[sample.router] = figure(sample.reading)
    return [both[SUBJECT] / both[REFERENCE] for both in by_round.values() if {SUBJECT, REFERENCE} <= both.keys()]


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value < 1 else f"{value:.1f}".removesuffix(".0")


def as_fraction(ratio: float) -> str:
    """Write a ratio the way the goals are: 1/15.2, or 0.61 when it is above a half."""
    return f"1/{_short(1 / ratio)}" if 0 < ratio <= 0.5 else _short(ratio)


def _verdict(reached: Spread | None, goal: float, text: str) -> str:
    if reached is None:
        return text
    return f"{text} {'reached' if reached.median <= goal else '**missed**'}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _faults(samples: Iterable[Sample]) -> str:
    found = [f"{sample.router}: {sample.reading.faults()}" for sample in samples if sample.reading.faults()]
    return "; ".join(found).replace("|", "/") or "none"


def _cell(samples: Iterable[Sample], router: str, figure: Callable[[Reading], float]) -> str:
    found = spread(figure(sample.reading) for sample in samples if sample.router == router)
    return "" if found is None else str(found)


def _operations_per_s(reading: Reading) -> float:
    return reading.operations / reading.seconds


def _load_cores(reading: Reading) -> float:
    return reading.load_cpu_s / reading.seconds


def _of(results: Results, case: Case, transport: str) -> tuple[list[Sample], list[Sample]]:
    """All samples of a case, and those that measured something."""
    samples = [sample for sample in results.samples if (sample.case, sample.transport) == (case.name, transport)]
    return samples, [sample for sample in samples if sample.reading.operations]


def _transports(results: Results) -> list[str]:
    return list(dict.fromkeys(sample.transport for sample in results.samples))


def _traffic_rows(results: Results) -> Iterable[list[str]]:
    for case in (case for case in ALL if case not in CLUSTER):
        for transport in _transports(results):
            samples, measured = _of(results, case, transport)
            if not samples:
                continue
            ratio = spread(ratios(measured, cpu_per_100k))
            goal = case.goals.get(transport)
            yield [
                f"`{case.name}` {case.title}",
                transport,
                _cell(measured, REFERENCE, cpu_per_100k),
                _cell(measured, SUBJECT, cpu_per_100k),
                "" if ratio is None else as_fraction(ratio.median),
                "" if goal is None else _verdict(ratio, float(goal), as_fraction(float(goal))),
                _cell(measured, REFERENCE, _operations_per_s),
                _cell(measured, SUBJECT, _operations_per_s),
                f"{max((_load_cores(sample.reading) for sample in measured), default=0):.2f}",
                _faults(samples),
            ]


def traffic_table(results: Results) -> str:
    """CPU per operation and throughput of both routers, with the ratio and the goal."""
    head = [
        "case", "transport", "Crossbar CPU s per 100k", "wampha CPU s per 100k", "wampha / Crossbar", "goal",
        "Crossbar ops/s", "wampha ops/s", "load cores (max)", "faults",
    ]  # fmt: skip
    return _table(head, list(_traffic_rows(results)))


def session_kib(reading: Reading) -> float:
    """Memory that each idle session added to the router process."""
    return (sum(reading.rss_end_kib) - sum(reading.rss_start_kib)) / reading.operations


def _node_cell(nodes: Iterable[NodeSample], router: str, figure: Callable[[NodeSample], float]) -> Spread | None:
    return spread(figure(node) for node in nodes if node.router == router)


def _memory_rows(results: Results) -> Iterable[list[str]]:
    join = next(case for case in ALL if case.name == JOIN)
    for transport in _transports(results):
        _, measured = _of(results, join, transport)
        if measured:
            ours = spread(session_kib(sample.reading) for sample in measured if sample.router == SUBJECT)
            yield [
                f"KiB per idle session, {transport}",
                _cell(measured, REFERENCE, session_kib),
                "" if ours is None else str(ours),
                _verdict(ours, SESSION_KIB_GOAL[transport], f"{SESSION_KIB_GOAL[transport]:g}"),
            ]
    figures: list[tuple[str, float, Callable[[NodeSample], float]]] = [
        ("MB resident, idle node, all processes", IDLE_MB_GOAL, lambda node: node.idle_rss_kib * 1024 / 1e6),
        ("seconds from start to first session", START_S_GOAL, lambda node: node.start_s),
    ]
    for title, goal, figure in figures:
        theirs, ours = (_node_cell(results.nodes, router, figure) for router in (REFERENCE, SUBJECT))
        cells = ["" if cell is None else str(cell) for cell in (theirs, ours)]
        yield [title, *cells, _verdict(ours, goal, f"{goal:g}")]


def memory_table(results: Results) -> str:
    """Memory and start of single nodes."""
    return _table(["figure", "Crossbar", "wampha", "goal"], list(_memory_rows(results)))


def _cpu_of_node(index: int) -> Callable[[Reading], float]:
    return lambda reading: reading.router_cpu_s[index] / reading.operations * 1e5


def _cluster_rows(results: Results) -> Iterable[list[str]]:
    for case in CLUSTER:
        for transport in _transports(results):
            samples, measured = _of(results, case, transport)
            if samples:
                cells = [_cell(measured, SUBJECT, _cpu_of_node(index)) for index in range(3)]
                cells += [_cell(measured, SUBJECT, figure) for figure in (cpu_per_100k, _operations_per_s)]
                yield [f"`{case.name}` {case.title}", transport, *cells, _faults(samples)]


def cluster_table(results: Results) -> str:
    """What an event costs that crosses from one node to another, beside one that stays."""
    head = ["case", "transport", "node 1 CPU s per 100k", "node 2", "node 3", "all", "events/s", "faults"]
    return _table(head, list(_cluster_rows(results)))


def render(results: Results, about: Sequence[str]) -> str:
    """The whole results section in Markdown; `about` are lines on the machine, the routers and the command."""
    parts = ["\n".join(f"* {line}" for line in about)]
    if list(_traffic_rows(results)):
        parts += ["### Traffic and joins, one node", traffic_table(results)]
    if results.nodes:
        parts += ["### Memory and start, one node", memory_table(results)]
    if list(_cluster_rows(results)):
        parts += ["### Forwarded events, three nodes", cluster_table(results)]
    return "\n\n".join(parts)


def replace_section(text: str, section: str) -> str:
    """Put the section between the two markers of the README. Raises ValueError when it does not have both."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"
