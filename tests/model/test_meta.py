"""The meta API against a naive model, over random histories of a cluster that shares one log.

Sessions join and leave, subscribe, register, are killed and deprived of what they have, and nodes die and come, while
messages between nodes and entries of the log wait for as long as chance wants. At rest every node must give the
model's answers; every event must have come once, in the same order, to watchers on different nodes.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any, Final

import pytest

from tests.support.core import ALL, Cluster, Peer
from wampha.messages.model import Error, Event, Registered, Result, Subscribed
from wampha.messages.payload import Payload
from wampha.names.uri import MATCHES
from wampha.routing.permissions import ACTIONS, Permission
from wampha.state.commands import Down

STEPS: Final = 120
SEEDS: Final = range(30)
URIS: Final = ("u.a", "u.b", "u.")
POLICY: Final = {"u.a": "single", "u.b": "roundrobin", "u.": "last"}
EVENTS: Final = (
    *(f"wamp.session.{name}" for name in ("on_join", "on_leave")),
    *(f"wamp.subscription.{name}" for name in ("on_create", "on_subscribe", "on_unsubscribe", "on_delete")),
    *(f"wamp.registration.{name}" for name in ("on_create", "on_register", "on_unregister", "on_delete")),
)
SAFE: Final = ("a", "b")  # nodes that never die; whoever watches lives there
PERMISSIONS: Final = (ALL, Permission("wamp.", "prefix", frozenset(ACTIONS)))


class Player:
    """One session of the history, and what the model knows of it."""

    def __init__(self, peer: Peer, node: str) -> None:
        self.peer: Final = peer
        self.node: Final = node
        self.asked: dict[int, tuple[str, tuple[str, str]]] = {}  # request -> kind and pattern
        self.subscriptions: dict[int, tuple[str, str]] = {}  # id -> (match, topic)
        self.registrations: dict[int, tuple[str, str]] = {}

    @property
    def id(self) -> int:
        return self.peer.session

    def read(self, history: History) -> None:
        """Take the answers that have come."""
        for message in self.peer.take():
            if isinstance(message, Subscribed):
                _, pattern = self.asked.pop(message.request)
                if message.subscription not in self.subscriptions:
                    history.begun["on_subscribe"][self.id, message.subscription] += 1
                self.subscriptions[message.subscription] = pattern
            elif isinstance(message, Registered):
                _, pattern = self.asked.pop(message.request)
                history.begun["on_register"][self.id, message.registration] += 1
                self.registrations[message.registration] = pattern


class History:
    """A cluster, those who live in it, and what must have been told."""

    def __init__(self, seed: int) -> None:
        self.chance: Final = random.Random(seed)
        self.cluster: Final = Cluster(*SAFE, "c", permissions=PERMISSIONS, attends=True)
        self.players: Final[list[Player]] = []
        self.named = 0
        self.begun: Final[dict[str, Counter[Any]]] = defaultdict(Counter)  # event -> what it must tell, how often
        self.ended: Final[dict[str, Counter[Any]]] = defaultdict(Counter)
        self.lost: Final[Counter[Any]] = Counter()  # memberships that ended with their node, of which nobody tells
        self.joined: Final[dict[int, None]] = {}
        self.left: Final[dict[int, None]] = {}
        self.watchers: Final = [self.watcher(name) for name in SAFE]
        self.admin: Final = self.cluster["a"].join()
        self.joined[self.admin.session] = None
        self.rest()

    def watcher(self, node: str) -> Peer:
        """Somebody who hears everything; its own coming is told, or not, as the first of several."""
        peer = self.cluster[node].join()
        self.topics: dict[int, str] = {}
        for topic in EVENTS:
            peer.subscribe(topic)
            self.rest()
            answers = [message for message in peer.take() if isinstance(message, Subscribed)]
            self.topics[answers[0].subscription] = topic
        return peer

    # ---- time

    def rest(self) -> None:
        """Until nothing is left to be done."""
        for _ in range(6):
            for node in self.cluster.nodes.values():
                node.tick(0.05)
            self.cluster.settle()
        for player in self.players:
            player.read(self)

    def pass_some(self) -> None:
        """Some nodes apply what the log has, some messages arrive."""
        for node in list(self.cluster.nodes.values()):
            if self.chance.random() < 0.5:
                node.tick(0.03)
            if self.chance.random() < 0.5:
                node.ledger.commit(self.chance.randint(0, len(node.ledger.queue)))
            if self.chance.random() < 0.5:
                node.ledger.apply()
        for source, target in list(self.cluster.wires):
            if target in self.cluster.nodes and self.chance.random() < 0.5:
                self.cluster.carry(source, target)

    # ---- what happens

    def join(self) -> None:
        node = self.chance.choice(list(self.cluster.nodes))
        player = Player(self.cluster[node].join(), node)
        self.players.append(player)
        self.joined[player.id] = None

    def someone(self) -> Player | None:
        return self.chance.choice(self.players) if self.players else None

    def over(self, player: Player) -> None:
        """The session has ended."""
        player.read(self)
        self.players.remove(player)
        self.left[player.id] = None
        for subscription in player.subscriptions:
            self.ended["on_unsubscribe"][player.id, subscription] += 1
        for registration in player.registrations:
            self.ended["on_unregister"][player.id, registration] += 1

    def leave(self) -> None:
        if player := self.someone():
            self.over(player)
            player.peer.conversation.lost()

    def subscribe(self) -> None:
        if player := self.someone():
            match = self.chance.choice(MATCHES)
            topic = self.chance.choice(URIS[: 2 if match == "exact" else 3])
            player.asked[player.peer.subscribe(topic, match=match)] = ("subscription", (match, topic))

    def register(self) -> None:
        if player := self.someone():
            match = self.chance.choice(MATCHES)
            procedure = self.chance.choice(URIS[: 2 if match == "exact" else 3])
            request = player.peer.register(procedure, match=match, invoke=POLICY[procedure])
            player.asked[request] = ("registration", (match, procedure))

    def unsubscribe(self) -> None:
        player = self.someone()
        if player and player.subscriptions:
            player.read(self)
            subscription = self.chance.choice(list(player.subscriptions))
            del player.subscriptions[subscription]
            player.peer.unsubscribe(subscription)
            self.ended["on_unsubscribe"][player.id, subscription] += 1

    def unregister(self) -> None:
        player = self.someone()
        if player and player.registrations:
            player.read(self)
            registration = self.chance.choice(list(player.registrations))
            del player.registrations[registration]
            player.peer.unregister(registration)
            self.ended["on_unregister"][player.id, registration] += 1

    def kill(self) -> None:
        """An administrator ends a session; everybody rests before and after."""
        self.rest()
        if player := self.someone():
            assert self.ask("a", "wamp.session.kill", player.id).payload.args() == []
            self.over(player)

    def deprive(self) -> None:
        """An administrator takes something from a session."""
        self.rest()
        player = self.someone()
        if player and player.subscriptions:
            subscription = self.chance.choice(list(player.subscriptions))
            del player.subscriptions[subscription]
            assert isinstance(self.ask("a", "wamp.subscription.remove_subscriber", subscription, player.id), Result)
            self.ended["on_unsubscribe"][player.id, subscription] += 1
        if player and player.registrations:
            registration = self.chance.choice(list(player.registrations))
            del player.registrations[registration]
            assert isinstance(self.ask("a", "wamp.registration.remove_callee", registration, player.id), Result)
            self.ended["on_unregister"][player.id, registration] += 1

    def die(self) -> None:
        """A node dies at rest, with all who live there."""
        self.rest()
        mortal = [name for name in self.cluster.nodes if name not in SAFE]
        if not mortal:
            return
        name = self.chance.choice(mortal)
        node = self.cluster.nodes.pop(name)
        for wire in [wire for wire in self.cluster.wires if name in wire]:
            del self.cluster.wires[wire]
        for player in [player for player in self.players if player.node == name]:
            self.over(player)
            for subscription in player.subscriptions:
                self.ended["on_unsubscribe"][player.id, subscription] -= 1
                self.lost[name, subscription] = 1
        self.cluster.log.append(Down(node.owner, 1))
        self.rest()

    def come(self) -> None:
        """A node more."""
        self.rest()
        if len(self.cluster.nodes) < 4:
            self.named += 1
            self.cluster.add(f"n{self.named}")
            self.rest()

    def step(self) -> None:
        """Something happens."""
        deeds = {
            self.join: 6,
            self.leave: 3,
            self.subscribe: 8,
            self.unsubscribe: 4,
            self.register: 6,
            self.unregister: 3,
            self.pass_some: 12,
            self.rest: 2,
            self.kill: 1,
            self.deprive: 1,
            self.die: 1,
            self.come: 1,
        }
        (deed,) = self.chance.choices(list(deeds), list(deeds.values()))
        deed()

    # ---- what is told

    def ask(self, node: str, procedure: str, *args: Any) -> Result | Error:
        """The answer of a node that is at rest."""
        peer = self.admin if node == "a" else self.watchers[1] if node == "b" else None
        guest = peer or self.cluster[node].join()
        guest.call(procedure, Payload.of(args))
        for each in self.cluster.nodes.values():
            each.ledger.apply()
        self.rest_quietly()
        (answer,) = [message for message in guest.client.sent if not isinstance(message, Event)]
        guest.client.sent.remove(answer)
        assert isinstance(answer, Result | Error)
        if peer is None:
            self.joined[guest.session] = self.left[guest.session] = None
            guest.conversation.lost()
            self.rest_quietly()
        return answer

    def rest_quietly(self) -> None:
        for _ in range(6):
            for node in self.cluster.nodes.values():
                node.tick(0.05)
            self.cluster.settle()

    def value(self, node: str, procedure: str, *args: Any) -> Any:
        answer = self.ask(node, procedure, *args)
        assert isinstance(answer, Result), answer
        assert answer.payload.kwargs() == {}, "complete"
        (value,) = answer.payload.args()
        return value

    def told(self) -> list[list[tuple[str, list[Any]]]]:
        """What each watcher heard: short topic and arguments."""
        return [
            [(self.topics[event.subscription][5:], event.payload.args()) for event in watcher.take()]
            for watcher in self.watchers
        ]


def play(seed: int) -> History:
    history = History(seed)
    for _ in range(STEPS):
        history.step()
    history.rest()
    return history


@pytest.mark.parametrize("seed", SEEDS)
def test_every_node_gives_the_model_s_answers_at_rest(seed: int) -> None:
    history = play(seed)
    for node in list(history.cluster.nodes):
        check_sessions(history, node)
        check_members(history, node, "subscription", "list_subscribers", "count_subscribers")
        check_members(history, node, "registration", "list_callees", "count_callees")


def check_sessions(history: History, node: str) -> None:
    present = {player.id for player in history.players}
    present |= {peer.session for peer in (*history.watchers, history.admin)}
    listed = set(history.value(node, "wamp.session.list"))
    guests = listed - present
    assert present <= listed
    assert len(guests) <= (node not in SAFE)


def check_members(history: History, node: str, kind: str, list_of: str, count_of: str) -> None:
    members: dict[int, set[int]] = defaultdict(set)
    patterns: dict[int, tuple[str, str]] = {}
    for player in history.players:
        for each, pattern in getattr(player, f"{kind}s").items():
            members[each].add(player.id)
            patterns[each] = pattern
    lists = history.value(node, f"wamp.{kind}.list")
    listed = {each: match for match, ids in lists.items() for each in ids if each not in history.topics}
    assert listed == {each: match for each, (match, _) in patterns.items()}
    for each, (match, uri) in patterns.items():
        assert history.value(node, f"wamp.{kind}.lookup", uri, {"match": match}) == each
        details = history.value(node, f"wamp.{kind}.get", each)
        assert (details["id"], details["uri"], details["match"]) == (each, uri, match)
        sessions = history.value(node, f"wamp.{kind}.{list_of}", each)
        assert sorted(sessions) == sorted(members[each])
        assert history.value(node, f"wamp.{kind}.{count_of}", each) == len(members[each])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_event_comes_once_and_in_the_same_order_on_every_node(seed: int) -> None:
    history = play(seed)
    first, second = history.told()
    common = first[-len(second) :]  # the first one watched already when the second one came
    assert common == second
    by_topic: dict[str, list[list[Any]]] = defaultdict(list)
    for topic, args in second:
        by_topic[topic].append(args)
    check_comings(history, by_topic)
    check_turnover(history, by_topic)
    check_lives(second, "subscription", history)
    check_lives(second, "registration", history)


def check_comings(history: History, by_topic: dict[str, list[list[Any]]]) -> None:
    joined = [args[0]["session"] for args in by_topic["session.on_join"]]
    assert Counter(each for each in joined if each in history.joined) == Counter(history.joined.keys())
    assert Counter(args[0] for args in by_topic["session.on_leave"]) == Counter(history.left.keys())


def check_turnover(history: History, by_topic: dict[str, list[list[Any]]]) -> None:
    told = {
        name: Counter((args[0], args[1]) for args in by_topic[f"subscription.{name}"])
        for name in (
            "on_subscribe",
            "on_unsubscribe",
        )
    }
    assert told["on_subscribe"] == history.begun["on_subscribe"]
    unknown = Counter({pair: count for pair, count in told["on_unsubscribe"].items() if pair[0] == 0})
    assert told["on_unsubscribe"] - unknown == +history.ended["on_unsubscribe"]
    assert Counter(subscription for _, subscription in unknown.elements()) == Counter(
        subscription for _, subscription in history.lost
    )
    for name, expected in (("on_register", history.begun), ("on_unregister", history.ended)):
        counted = Counter((args[0], args[1]) for args in by_topic[f"registration.{name}"])
        acknowledged = Counter({pair: counted[pair] for pair in counted if pair in history.begun["on_register"]})
        assert acknowledged == +expected[name]


def check_lives(told: list[tuple[str, list[Any]]], kind: str, history: History) -> None:
    """Each life is: created, members come and go, deleted."""
    lives: dict[int, list[str]] = defaultdict(list)
    for topic, args in told:
        if topic.startswith(kind):
            each = args[1]["id"] if topic.endswith("on_create") else args[1]
            lives[each].append(topic.partition(".on_")[2])
    standing = {each for player in history.players for each in getattr(player, f"{kind}s")}
    for each, life in lives.items():
        assert life[0] == "create", (each, life)
        assert life.count("create") == 1
        assert life.count("delete") == (each not in standing)
        assert each in standing or life[-1] == "delete", (each, life)
