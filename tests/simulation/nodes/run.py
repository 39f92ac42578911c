"""One seed, one run: configuration, load and faults, then calm, then all that must hold at the end."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

from tests.checkers.every import check
from tests.checkers.history import OK, Violation
from tests.checkers.kept import check_kept
from tests.simulation.nodes.client import Client
from tests.simulation.nodes.faults import EVERYTHING, Faults
from tests.simulation.nodes.load import Load, Watchers
from tests.simulation.nodes.world import World

CALM_S = 25.0  # longer than D + F, and than two foundings in a row
LIVE_S = 5.0  # then every node must serve and acknowledge within this
STOP_S = 20.0
TRACE_LINES = 60


@dataclass(frozen=True)
class Setting:
    """What a run is besides its seed."""

    voters: int = 3
    observers: int = 1
    seconds: float = 20.0  # of faults
    rate: float = 40.0  # operations per second
    faults: float = 0.5  # per second, on average; each seed has its own rate
    kinds: tuple[str, ...] = EVERYTHING  # of everything, each seed has its own selection
    keeps: bool = False  # half of all events are retained
    shares: bool = False  # most procedures have several callees
    small: bool | None = None  # snapshots and queues at small thresholds; None: as the seed says

    def command(self, seed: int) -> str:
        """What repeats the run."""
        parts = [f"python -m tests.simulation.nodes --seed {seed}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                shown = " ".join(dict.fromkeys(value)) if field.name == "kinds" else value
                parts.append(f"--{field.name} {int(value) if isinstance(value, bool) else shown}")
        return " ".join(parts)


class FoundViolationsError(AssertionError):
    """A run that broke a promise: what, the command that repeats it, and the trace around the first violation."""

    def __init__(self, world: World, command: str) -> None:
        super().__init__(_told(world, sorted(world.violations), command))
        self.world = world


def run(seed: int, setting: Setting | None = None, load: type[Load] = Load) -> World:
    """Run a seed; raises `FoundViolationsError`. The world is closed, and can be looked at."""
    setting = setting or Setting()
    draw = random.Random(f"setting {seed}")  # of a string, it does not depend on PYTHONHASHSEED
    small = draw.random() < 0.4 if setting.small is None else setting.small
    options = {"log_entries_max": 60, "batch_bytes_max": 4000} if small else {}
    if small and setting.keeps:
        options = {"log_entries_max": 60, "log_bytes_max": 20_000}  # events that are kept do not fit small batches
    with World(seed, setting.voters, setting.observers, **options) as world:
        if small:
            world.limits["client_queue_bytes_max"] = 512 * 1024
            world.network.window_bytes = 32 * 1024
        world.network.split = draw.choice([0.0, 0.1, 0.5])
        kinds = setting.kinds
        if kinds == EVERYTHING:  # what never happens leaves room for what then happens undisturbed
            kinds = tuple(draw.sample(EVERYTHING, draw.randint(2, len(EVERYTHING))))
        chosen = dataclasses.replace(setting, kinds=kinds, faults=setting.faults * draw.choice([0.4, 1.0, 1.6]))
        try:
            _rage_and_heal(world, chosen, load)
            _end(world)
        except Exception as exception:
            if not world.violations:
                world.violated("liveness" if isinstance(exception, AssertionError) else "simulation", str(exception))
            _report(world, setting.command(seed))
            raise
    world.violations += check(world.history)
    if setting.keeps:
        world.violations += check_kept(world.history, world.watch.retained())
    _report(world, setting.command(seed))
    return world


def _rage_and_heal(world: World, setting: Setting, kind: type[Load]) -> None:
    world.start_all(certified=world.chance.random() < 0.5)
    world.until_serving()
    Watchers(world)
    load = kind(world, clients=2 * len(world.names) + 2, rate=setting.rate, keeps=setting.keeps, shares=setting.shares)
    world.run(2.0)
    faults = Faults(world, load, kinds=setting.kinds, rate=setting.faults)
    world.run(setting.seconds)
    faults.heal()
    world.note("calm")
    load.rate /= 4
    world.run(CALM_S)
    _live(world)
    load.stop()
    world.run(1.5)


def _live(world: World) -> None:
    """Every node serves, and acknowledges what a newcomer asks."""
    began = world.timeline.time
    probes = [world.client(f"probe-{name}", node=name, reconnects=False) for name in world.names]
    for client in probes:
        client.connect(client.nodes[0])

    def joined() -> bool:
        return all(client.session for client in probes)

    assert world.run(LIVE_S, joined), _not_live(world, "let nobody in", probes)
    asked = [operation for client in probes for operation in _ask(client)]
    left = LIVE_S - (world.timeline.time - began)
    assert world.run(left, lambda: all(each.outcome == OK for each in asked)), _not_live(world, "did not ack", probes)
    for name in world.names:
        assert world.hosts[name].serves(), _not_live(world, "does not serve", probes)


def _ask(client: Client) -> list[object]:
    return [
        client.subscribe(f"last.{client.name}"),
        client.register(f"last.{client.name}"),
        client.publish("t.a", acknowledge=True),
    ]


def _not_live(world: World, what: str, probes: list[Client]) -> str:
    silent = [client.node for client in probes if not client.session]
    lines = [str(host.node.ledger.status()) for host in world.hosts.values()]
    return "\n".join([f"{LIVE_S} s after the calm some node {what} (without session: {silent})", *lines])


def _end(world: World) -> None:
    """All leave; nothing may be left, in the tables and in the processes."""
    watchers = [client for client in world.clients.values() if client.name.startswith("watcher")]
    for client in [*(each for each in world.clients.values() if each not in watchers), *watchers]:
        if client is watchers[0]:
            world.run(1.0)
        if client.process.alive:
            client.finish()
    world.run(3.0)
    world.watch.check_equal_tables()
    world.watch.check_empty_tables()
    world.check()
    at_once = world.chance.random() < 0.3
    for host in world.running:
        host.stop()
        if not at_once:
            world.run(world.chance.uniform(0.0, 3.0))
    stopped = world.run(STOP_S, lambda: all(host.gone for host in world.hosts.values()))
    assert stopped, f"did not stop: {[host.name for host in world.hosts.values() if not host.gone]}"


def _report(world: World, command: str) -> None:
    if world.violations:
        raise FoundViolationsError(world, command)


def _told(world: World, violations: list[Violation], command: str) -> str:
    first = violations[0].time
    lines = [str(violation) for violation in violations[:12]]
    if len(violations) > len(lines):
        lines.append(f"... and {len(violations) - len(lines)} more")
    before = [line for line in world.trace if float(line.split(maxsplit=1)[0]) <= first + 1.0]
    return "\n".join(
        [*lines, "", f"repeat: {command}", "trace up to a second after the first violation:", *before[-TRACE_LINES:]]
    )
