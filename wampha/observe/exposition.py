"""What Prometheus is told. Values are plain numbers until it asks: nothing here is known where messages are routed.

docs/metrics.md is written from the tables below (`make reference`); labels have few values, each named by
the configuration, by the protocol or by the members of the cluster.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Final, NamedTuple

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from wampha.counters import CATALOGUE, Counters
from wampha.distributions import MEASURES, Distribution
from wampha.observe.census import Kind
from wampha.stages import Stage

PREFIX: Final = "wampha_"
_Labelled = Iterable[tuple[tuple[str, ...], float]]


class Reading(NamedTuple):
    """All that one scrape tells."""

    status: Mapping[str, Any]  # `Node.status`
    counters: Counters
    turns: Distribution
    round_trips: Mapping[str, Distribution]  # by peer
    sessions: Mapping[Kind, int]
    figures: Mapping[str, Mapping[str, int]]  # `Router.figures`
    cpu_s: float


class Family(NamedTuple):
    """A metric, and where its values stand in a reading: one, or one for each combination of labels."""

    name: str
    text: str
    read: Callable[[Reading], float | _Labelled | None]
    labels: tuple[str, ...] = ()


def _of(*path: str) -> Callable[[Reading], float | None]:
    """The number at that place of the status; None if this node has none."""

    def read(reading: Reading) -> float | None:
        value: Any = reading.status
        for step in path:
            value = value.get(step) if value else None
        return None if value is None else float(value)

    return read


def _of_links(key: str) -> Callable[[Reading], _Labelled]:
    return lambda reading: [((peer,), float(link[key])) for peer, link in reading.status["links"].items()]


def _counted(**labels: str) -> Callable[[Reading], _Labelled]:
    """By label value, the counter that stands for it."""
    return lambda reading: [((value,), reading.counters[name]) for value, name in labels.items()]


def _info(reading: Reading) -> _Labelled:
    return [((str(reading.status["version"]), platform.python_version(), str(reading.status["role"])), 1.0)]


GAUGES: Final[tuple[Family, ...]] = (
    Family("wampha_build_info", "1; the labels say what runs", _info, ("version", "python", "role")),
    Family("wampha_ready", "1 if clients should be sent here", _of("ready")),
    Family("wampha_serving", "1 while this node holds a lease and serves its clients", _of("serving")),
    Family(
        "wampha_stage",
        "1 for the stage that the node is in",
        lambda reading: [((stage.value,), float(stage.value == reading.status["stage"])) for stage in Stage],
        ("stage",),
    ),
    Family("wampha_uptime_seconds", "since the start of the node", _of("uptime_s")),
    Family(
        "wampha_sessions",
        "sessions of this node; those that wait for their client to come back have neither transport nor serializer",
        lambda reading: [(kind, count) for kind, count in sorted(reading.sessions.items())],
        ("realm", "transport", "serializer"),
    ),
    Family("wampha_connections", "connections of clients, whether they have a session or not", _of("connections")),
    Family("wampha_detached_sessions", "sessions that wait for their client to come back", _of("detached", "sessions")),
    Family("wampha_detached_bytes", "bytes that wait for those clients", _of("detached", "bytes")),
    Family("wampha_slow_clients", "clients that do not read as fast as they are sent", _of("slow", "clients")),
    Family("wampha_slow_clients_bytes", "bytes that wait for those clients", _of("slow", "bytes")),
    Family(
        "wampha_routes", "subscribed topics and patterns of the whole cluster, as this node knows them", _of("routes")
    ),
    Family("wampha_registrations", "registered procedures of the whole cluster, likewise", _of("registrations")),
    Family("wampha_nodes", "members of the cluster that are up, as this node knows it", _of("nodes")),
    Family("wampha_raft_has_leader", "1 if this node follows a leader, or leads", _of("has_leader")),
    Family("wampha_raft_is_leader", "1 if this node leads", _of("leading")),
    Family("wampha_raft_term", "the present term", _of("term")),
    Family("wampha_raft_recovering", "1 for a voter that may not vote yet since it has restarted", _of("recovering")),
    Family("wampha_raft_applied_index", "the last entry of the log that this node has applied", _of("applied")),
    Family("wampha_raft_log_entries", "entries of the log in memory", _of("log_entries")),
    Family("wampha_raft_commit_lag_entries", "committed entries that this node has not applied", _of("lag")),
    Family(
        "wampha_raft_barrier_lag_entries",
        "applied entries of which this node does not know that every node that may serve has applied them",
        _of("barrier_lag"),
    ),
    Family(
        "wampha_lease_left_seconds", "for so long this node may serve without hearing the leader", _of("lease_left_s")
    ),
    Family("wampha_link_up", "1 if the links to that node are up", _of_links("up"), ("peer",)),
    Family("wampha_link_queue_bytes", "bytes that wait to be sent to that node", _of_links("queue_bytes"), ("peer",)),
    Family("wampha_link_behind", "1 if so much waits that clients must wait", _of_links("behind"), ("peer",)),
    Family(
        "wampha_certificate_expiry_timestamp_seconds",
        "when the first certificate of listeners, or that of links between nodes, ends, since 1970",
        lambda reading: [((use,), end) for use, end in reading.status["certificates"].items() if end is not None],
        ("use",),
    ),
    Family(
        "wampha_config_differing_nodes",
        "other nodes that run another configuration than this one",
        lambda reading: len(reading.status["config"]["differing"]),
    ),
    Family("process_resident_memory_bytes", "memory of the process", _of("resident_bytes")),
    Family("process_open_fds", "open file descriptors of the process", _of("file_descriptors")),
    Family("process_max_fds", "file descriptors that the process may have", _of("descriptors_max")),
    Family("process_start_time_seconds", "when the process started, since 1970", _of("started_s")),
)

COUNTERS: Final[tuple[Family, ...]] = (
    Family(
        "wampha_messages_received_total",
        "messages of open sessions by type; one that had to wait for an authorizer counts each time it was tried",
        lambda reading: [((kind,), count) for kind, count in sorted(reading.figures["received"].items())],
        ("type",),
    ),
    Family(
        "wampha_events_dropped_total",
        "EVENTs that a subscriber did not get, by reason",
        _counted(
            drop_newest="events_dropped_newest",
            drop_oldest="events_dropped_oldest",
            detached="resumable_events_dropped",
            undeliverable="events_undeliverable",
        ),
        ("reason",),
    ),
    Family(
        "wampha_slow_sessions_cut_total",
        "clients cut since they did not read, by whose bound was reached: the client's, or that of all together",
        _counted(client="clients_cut_slow", node="clients_cut_crowded"),
        ("bound",),
    ),
    Family(
        "wampha_auth_failures_total",
        "clients that could not prove who they are, by method",
        lambda reading: [((method,), count) for method, count in sorted(reading.figures["failures"].items())],
        ("method",),
    ),
    Family("process_cpu_seconds_total", "processor time of the process", lambda reading: reading.cpu_s),
    *(
        Family(f"{PREFIX}{name}_total", text, lambda reading, name=name: reading.counters[name])  # type: ignore[misc]
        for name, text in CATALOGUE.items()
    ),
)

HISTOGRAMS: Final[Mapping[str, str]] = {
    **{f"{PREFIX}{name}": measure.text for name, measure in MEASURES.items()},
    "wampha_reactor_lag_seconds": "turns of the reactor: while one lasts, nothing else happens",
}
LINK_HISTOGRAM: Final = Family(
    "wampha_link_rtt_seconds",
    "round trip to that node, as its system acknowledges (with up to 40 ms where little is said); seen twice a second",
    lambda reading: (),
    ("peer",),
)


class Exposition:
    """One reading, for the encoders of prometheus-client."""

    def __init__(self, reading: Reading) -> None:
        self._reading: Final = reading

    def collect(self) -> Iterator[Metric]:
        """Every family, also those that have no value at the moment."""
        reading = self._reading
        for family in GAUGES:
            yield _filled(GaugeMetricFamily(family.name, family.text, labels=family.labels), family, reading)
        for family in COUNTERS:
            yield _filled(CounterMetricFamily(family.name, family.text, labels=family.labels), family, reading)
        distributions = {f"{PREFIX}{name}": each for name, each in reading.counters.distributions.items()}
        distributions["wampha_reactor_lag_seconds"] = reading.turns
        for name, text in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, text)
            _pour(histogram, (), distributions[name])
            yield histogram
        links = HistogramMetricFamily(LINK_HISTOGRAM.name, LINK_HISTOGRAM.text, labels=LINK_HISTOGRAM.labels)
        for peer, distribution in sorted(reading.round_trips.items()):
            _pour(links, (peer,), distribution)
        yield links

    def encode(self, accept: str) -> tuple[bytes, str]:
        """The text in the format that an Accept header asks for, and its content type."""
        try:
            encoder, kind = choose_encoder(accept)
            return encoder(self), kind
        except (ValueError, TypeError):  # a version that is none
            return generate_latest(self), CONTENT_TYPE_PLAIN_0_0_4


def _filled(metric: Any, family: Family, reading: Reading) -> Metric:
    value = family.read(reading)
    if isinstance(value, int | float):
        metric.add_metric((), value)
    elif value is not None:
        for labels, each in value:
            metric.add_metric(labels, each)
    filled: Metric = metric
    return filled


def _pour(metric: HistogramMetricFamily, labels: tuple[str, ...], distribution: Distribution) -> None:
    ends = [*(f"{bound:g}" for bound in distribution.bounds), "+Inf"]
    counts, total = distribution.reading()
    metric.add_metric(labels, list(zip(ends, accumulate(counts), strict=True)), total)
