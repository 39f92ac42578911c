"""Directed faults on whole nodes: rows of the fault matrix, each with what it demands.

row 4   test_a_stopped_process_*          row 19  test_a_half_open_link_is_noticed_within_3_s
row 6   test_a_minority_*                 row 24  test_after_the_death_of_all_a_quorum_forms_within_5_s
row 7   test_a_one_way_cut_*              row 25  test_a_node_may_*, test_an_observer_*
row 8   test_a_bridge_*                   row 27  test_a_frozen_machine_*
row 9   test_a_flapping_link_*            row 40  test_calls_to_a_killed_node_end_once_when_the_link_is_given_up
row 43  test_on_leave_and_testaments_come_once_whoever_dies
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest

from tests.checkers.every import check
from tests.checkers.history import GOODBYE, KILLED, LOST, OK, Fault
from tests.checkers.presence import LAST_WORDS, ON_JOIN, ON_LEAVE
from tests.simulation.nodes.load import Load, Watchers
from tests.simulation.nodes.world import World

CONVERGED_S = 5.0
NOTICED_S = 3.0
RESUME_S = 3.0  # a link that comes back within this goes on, and so do the calls over it


class Scene:
    """A cluster under load, and the faults done to it."""

    def __init__(self, world: World, rate: float = 60.0) -> None:
        self.world = world
        world.start_all()
        world.until_serving()
        self.load = Load(world, clients=2 * len(world.names), rate=rate)
        self.idle = {name: world.client(f"idle-{name}", node=name) for name in world.names}  # they never leave
        for name, client in self.idle.items():
            client.connect(name)
        world.run(2.0)
        self.began = world.timeline.time

    @contextlib.contextmanager
    def fault(self, kind: str, **whom: tuple) -> Iterator[Fault]:
        """Written down from here to the end of the block."""
        fault = Fault(kind, self.world.timeline.time, math.inf, **whom)
        self.world.history.add(fault)
        yield fault
        fault.end = self.world.timeline.time

    def cut(self, seconds: float, *links: tuple[str, str], kind: str = "cut", nodes: tuple[str, ...] = ()) -> None:
        """Nothing gets through these, in these directions, for so long."""
        with self.fault(kind, links=links, nodes=nodes):
            self.world.network.cut("scene", links)
            self.world.run(seconds)
            self.world.network.heal("scene")

    def stop(self, name: str, seconds: float) -> None:
        with self.fault("stop", nodes=(name,)):
            self.world.pause(name)
            self.world.run(seconds)
            self.world.wake(name)

    def check(self) -> None:
        """All is well within the bound, and no promise was broken."""
        self.world.until_serving(seconds=CONVERGED_S)
        self.load.stop()
        self.world.run(1.0)
        self.world.watch.check_equal_tables()
        self.world.check()
        for client in self.world.clients.values():
            client.finish()
        self.world.run(0.5)
        found = check(self.world.history)
        assert not found, "\n".join(map(str, found[:10]))

    def interrupted(self) -> set[str]:
        """The nodes of which some session was ended by the router or the network, and not by another client."""
        endings = self.world.history.endings
        return {each.node for each in endings if each.cause in (GOODBYE, LOST) and each.reason != KILLED}

    def both_ways(self, group: tuple[str, ...]) -> list[tuple[str, str]]:
        """The links between a group of nodes and the others."""
        return both_ways(group, [name for name in self.world.names if name not in group])


def both_ways(group: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    """The links between two groups of nodes."""
    return [pair for one in group for two in others for pair in ((one, two), (two, one))]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with World(getattr(request, "param", 1)) as world:
        yield world


def role(world: World, who: str) -> str:
    return world.leader.name if who == "leader" else world.followers[0]


# ---- rows 4 and 27


@pytest.mark.parametrize("who", ["leader", "follower"])
@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.5, 4.5])
def test_a_stopped_process_that_goes_on_within_5_s_costs_no_session(world: World, who: str, seconds: float) -> None:
    scene = Scene(world)
    scene.stop(role(world, who), seconds)
    world.run(8.0)
    scene.check()
    assert scene.interrupted() == set()


@pytest.mark.parametrize("who", ["leader", "follower"])
@pytest.mark.parametrize("seconds", [7.0, 30.0])
def test_a_stopped_process_is_followed_by_others_and_serves_nobody_by_its_old_table(
    world: World, who: str, seconds: float
) -> None:
    scene = Scene(world)
    name = role(world, who)
    scene.stop(name, seconds)
    world.run(8.0)
    scene.check()
    assert scene.interrupted() == {name}


def test_a_frozen_machine_is_like_a_stopped_process(world: World) -> None:
    scene = Scene(world)
    name = world.leader.name
    links = scene.both_ways((name,)) + [pair for client in world.clients for pair in ((client, name), (name, client))]
    world.network.cut("freeze", links)
    scene.stop(name, 60.0)
    world.network.heal("freeze")
    world.run(8.0)
    scene.check()
    assert scene.interrupted() == {name}


# ---- rows 6 to 9, 19


@pytest.mark.parametrize("who", ["leader", "follower", "observer"])
@pytest.mark.parametrize("seconds", [1.0, 4.0, 12.0])
def test_a_minority_serves_no_longer_than_its_lease_and_the_tables_are_equal_within_5_s(
    world: World, who: str, seconds: float
) -> None:
    scene = Scene(world)
    name = "w0" if who == "observer" else role(world, who)
    scene.cut(seconds, *scene.both_ways((name,)), kind="isolate", nodes=(name,))
    assert world.run(CONVERGED_S, world.hosts[name].serves)
    scene.check()
    assert scene.interrupted() <= {name}


@pytest.mark.parametrize("direction", ["from the leader", "to the leader"])
def test_a_one_way_cut_moves_the_leader_once_at_most(world: World, direction: str) -> None:
    scene = Scene(world)
    leader, follower = world.leader, world.followers[0]
    term = world.watch.term(leader)
    link = (leader.name, follower) if direction == "from the leader" else (follower, leader.name)
    scene.cut(60.0, link)
    assert world.watch.term(world.leader) - term <= 2
    scene.check()


def test_a_bridge_loses_nothing_in_silence(world: World) -> None:
    scene = Scene(world)
    one, two = world.followers[0], "w0"
    scene.cut(10.0, (one, two), (two, one))
    during = [gap for gap in world.history.gaps if gap.begin > scene.began and math.isfinite(gap.end)]
    assert not during  # nobody says that the gap is over before it is
    world.run(3.0)
    scene.check()
    pairs = {frozenset((gap.source, gap.target)) for gap in world.history.gaps if gap.begin > scene.began}
    assert pairs == {frozenset((one, two))}
    assert all(math.isfinite(gap.end) for gap in world.history.gaps)


@pytest.mark.parametrize("seconds", [1.0, 6.0])
def test_a_node_that_restarts_behind_a_bridge_loses_nothing_in_silence(world: World, seconds: float) -> None:
    scene = Scene(world)
    one, two = world.followers[0], "w0"
    links = ((one, two), (two, one))
    world.network.cut("scene", links)
    with scene.fault("kill", nodes=(one,)):
        world.kill(one)
        world.run(0.5)
        world.start(one)
        world.run(3.0)
    world.run(seconds + 5.0)  # it serves, and has never had a link to the other
    world.network.heal("scene")
    world.run(5.0)
    scene.check()


def test_a_death_that_a_node_learns_by_a_snapshot_is_no_gap() -> None:
    with World(1, log_entries_max=20) as world:
        world.start_all(certified=True)
        world.until_serving()
        dead, late, leader = "w0", world.followers[0], world.leader.name
        subscriber, publisher, crowd = (world.client(node=name) for name in (dead, late, leader))
        for client in (subscriber, publisher, crowd):
            client.connect(client.nodes[0])
        world.run(0.5)
        subscriber.subscribe("t")
        world.run(0.5)
        world.network.cut("all", both_ways([late], [name for name in world.names if name != late]))
        world.network.cut("one", both_ways([late], [dead]))
        publisher.publish("t")
        world.run(0.3)
        world.kill(dead)
        world.run(0.3)
        world.start(dead, certified=True)
        world.run(0.6)
        for number in range(100):
            crowd.subscribe(f"fill.{number}")
        world.run(0.8)
        node = world.hosts[late].node
        installed = node.ledger._member.engine.installed
        world.network.heal("all")
        world.run(5.0)
        assert node.ledger._member.engine.installed > installed
        assert node.counters["link_gaps"] == 0
        assert node.counters["fences"] == 0
        world.check()


def test_a_flapping_link_doubles_nothing_and_reorders_nothing(world: World) -> None:
    scene = Scene(world)
    one, two = world.voters[:2]
    for _ in range(20):
        scene.cut(world.chance.uniform(0.1, 2.0), (one, two), (two, one))
        world.run(world.chance.uniform(0.1, 2.0))
    world.run(8.0)
    scene.check()


def test_a_half_open_link_is_noticed_within_3_s(world: World) -> None:
    scene = Scene(world)
    one, two = world.voters[:2]
    scene.cut(NOTICED_S, (one, two), (two, one))
    assert {(one, two), (two, one)} == set(world.watch.down)
    world.run(8.0)
    scene.check()


# ---- rows 24 and 25


@pytest.mark.parametrize("world", range(1, 9), indirect=True)
def test_after_the_death_of_all_a_quorum_forms_within_5_s(world: World) -> None:
    scene = Scene(world)
    with scene.fault("kill", nodes=tuple(world.names)):
        for name in world.names:
            world.kill(name)
        for name in world.chance.sample(world.names, len(world.names)):
            world.run(world.chance.uniform(0.0, 0.3))
            world.start(name)
    restarted = world.timeline.time
    world.until_serving(seconds=CONVERGED_S)
    client = world.client("probe", node=world.names[0])
    client.connect(client.nodes[0])
    assert world.run(1.0, lambda: bool(client.session))
    asked = client.subscribe("probe")
    assert world.run(restarted + CONVERGED_S - world.timeline.time, lambda: asked.outcome == OK)
    world.run(3.0)
    scene.check()


@pytest.mark.parametrize("name", ["v0", "w0"])
def test_a_node_may_come_back_with_another_address(world: World, name: str) -> None:
    scene = Scene(world)
    with scene.fault("power", nodes=(name,)):
        world.kill(name, power=True)
        world.run(3.0)
        world.start(name, new_address=True)
    world.until_serving(seconds=10.0)
    world.run(3.0)
    scene.check()


def test_an_observer_joins_and_leaves_a_cluster_under_load(world: World) -> None:
    scene = Scene(world)
    world.names.append("w7")
    world.start("w7")
    world.until_serving(["w7"], seconds=10.0)
    scene.load.newcomer("w7")
    world.run(3.0)
    world.names.remove("w7")
    with scene.fault("leave", nodes=("w7",)):
        world.hosts["w7"].stop()
        assert world.run(15.0, lambda: world.hosts["w7"].gone)
    world.run(3.0)
    scene.check()


@pytest.mark.parametrize("cut_s", [0.3, 1.5])
def test_the_last_events_of_a_node_that_leaves_arrive_though_their_link_was_cut(world: World, cut_s: float) -> None:
    world.start_all()
    world.until_serving()
    leaves, far = "w0", world.followers[0]
    publisher, subscriber = world.client(node=leaves), world.client(node=far)
    for client in (publisher, subscriber):
        client.connect(client.nodes[0])
    world.run(0.5)
    subscriber.subscribe("t")
    world.run(0.5)
    world.network.cut("one", both_ways([leaves], [far]))
    published = publisher.publish("t", acknowledge=True)
    world.run(0.1)
    assert published.outcome == OK
    world.hosts[leaves].stop()
    world.run(cut_s)
    world.network.heal("one")
    assert world.run(15.0, lambda: world.hosts[leaves].gone)
    assert len(world.history.events) == 1
    world.check()


# ---- row 40


@pytest.mark.parametrize("how", ["killed", "left", "without power"])
def test_calls_to_a_killed_node_end_once_when_the_link_is_given_up(world: World, how: str) -> None:
    world.start_all()
    world.until_serving()
    callee = world.client("callee", node=world.followers[0], reconnects=False)
    callers = [world.client(node=name) for name in world.names if name != callee.nodes[0]]
    callee.answers = lambda client, invocation: None
    for client in (callee, *callers):
        client.connect(client.nodes[0])
    world.run(1.0)
    callee.register("p")
    world.run(0.5)
    calls = [client.call("p") for _ in range(100) for client in callers]
    world.run(0.5)
    assert len(world.history.invocations) == len(calls)
    if how == "left":
        world.hosts[callee.nodes[0]].stop()
    else:
        world.kill(callee.nodes[0], power=how == "without power")
    bound = NOTICED_S + RESUME_S if how == "without power" else RESUME_S
    assert world.run(bound, lambda: all(call.returned is not None for call in calls))
    world.run(5.0)  # in which nothing more comes
    assert {(call.error, call.answers) for call in calls} == {("wamp.error.canceled", 1)}


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])
@pytest.mark.parametrize("whose", ["leader", "follower", "observer"])
def test_on_leave_and_testaments_come_once_whoever_dies(whose: str, power: bool) -> None:
    with World(43, observers=2) as world:
        world.start_all()
        world.until_serving()
        watchers = Watchers(world).clients
        world.run(1.0)
        victim = {"leader": world.leader.name, "follower": world.followers[0], "observer": world.names[-1]}[whose]
        clients = [world.client(f"l{number}", node=victim, reconnects=False) for number in range(20)]
        for client in clients:
            client.connect(victim)
        assert world.run(2.0, lambda: all(client.session for client in clients))
        wills = [client.bequeath() for client in clients for _ in range(2)]
        assert world.run(2.0, lambda: all(will.outcome == OK for will in wills))
        gone = {client.session for client in clients}
        fault = Fault("power" if power else "kill", world.timeline.time, math.inf, (victim,))
        world.history.add(fault)
        alive = [client.name for client in watchers if client.node != victim]
        world.kill(victim, power)
        world.run(12.0)
        told = defaultdict(list)
        for notice in world.history.notices:
            if notice.about in gone:
                told[notice.client, notice.about].append((notice.what, notice.number))
        expected = [(ON_JOIN, 0), (LAST_WORDS, 1), (LAST_WORDS, 2), (ON_LEAVE, 0)]
        assert {key: told[key] for key in told if key[0] in alive} == {
            (name, session): expected for name in alive for session in gone
        }
        assert len(alive) == 4
