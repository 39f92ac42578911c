"""Clients that watch and ask the meta API, and what must be true of what they were told."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.simulation.nodes.client import ERROR, EVENT, RESULT, Client
from tests.simulation.nodes.world import World

LIVES = {
    "session": ("on_join", "on_leave"),
    "subscription": ("on_create", "on_subscribe", "on_unsubscribe", "on_delete"),
    "registration": ("on_create", "on_register", "on_unregister", "on_delete"),
}
TOPICS = tuple(f"wamp.{kind}.{name}" for kind, names in LIVES.items() for name in names)
GAP = "wampha.meta.on_gap"
ANSWER_S = 3.0
Told = tuple[str, list[Any]]  # topic without `wamp.`, and arguments


class Watcher(Client):
    """Hears every meta event, and asks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reconnects = False
        self.joined = Watcher.watch
        self.heard: list[Told] = []
        self._due: set[int] = set()  # requests of questions
        self._answers: dict[int, Any] = {}  # request -> what came

    def watch(self) -> None:
        self.heard.clear()
        for topic in (GAP, *TOPICS):
            self.subscribe(topic)

    def watching(self) -> bool:
        return len(self.subscriptions) == 1 + len(TOPICS)

    def ask(self, world: World, procedure: str, *args: Any) -> Any:
        """The one positional result of a call, which must be complete; or the URI of the error."""
        request: list[int] = []
        self.process.enter(self._ask, request, procedure, args)
        assert world.run(ANSWER_S, lambda: bool(request) and request[0] in self._answers), f"{procedure} at {self.node}"
        return self._answers.pop(request[0])

    def _ask(self, request: list[int], procedure: str, args: tuple[Any, ...]) -> None:
        self._request += 1
        request.append(self._request)
        self._due.add(self._request)
        self._send([48, self._request, {}, procedure, list(args)])

    def _received(self, protocol: Any, message: list[Any]) -> None:
        code = message[0]
        if protocol is self._protocol and self.session:
            if code == EVENT:
                topic = next(topic for (_, topic), each in self.subscriptions.items() if each == message[1])
                if topic == GAP:  # what it knew is worth nothing any more
                    self.heard.clear()
                else:
                    self.heard.append((topic.removeprefix("wamp."), message[4]))
                return
            if code == RESULT and message[1] in self._due:
                self._answers[message[1]] = message[3][0] if len(message) == 4 and message[3] else message[3:]
                return
            if code == ERROR and message[1] == 48 and message[2] in self._due:
                self._answers[message[2]] = message[4]
                return
        super()._received(protocol, message)


def answers(world: World, watcher: Watcher) -> dict[str, Any]:
    """All that a node answers, at rest."""
    seen: dict[str, Any] = {"sessions": sorted(watcher.ask(world, "wamp.session.list"))}
    for kind, members in (("subscription", "subscribers"), ("registration", "callees")):
        lists = watcher.ask(world, f"wamp.{kind}.list")
        seen[kind] = {
            each: {
                **watcher.ask(world, f"wamp.{kind}.get", each),
                "members": sorted(watcher.ask(world, f"wamp.{kind}.list_{members}", each)),
                "count": watcher.ask(world, f"wamp.{kind}.count_{members}", each),
            }
            for ids in lists.values()
            for each in ids
        }
    return seen


def expected(world: World) -> dict[str, Any]:
    """The same, as the clients know it: ids and members."""
    clients = [client for client in world.clients.values() if client.session]
    seen: dict[str, Any] = {"sessions": sorted(client.session for client in clients)}
    subscriptions: dict[int, list[int]] = defaultdict(list)
    registrations: dict[int, list[int]] = defaultdict(list)
    for client in clients:
        for each in client.subscriptions.values():
            subscriptions[each].append(client.session)
        for each in client.registrations.values():
            registrations[each].append(client.session)
    for kind, members in (("subscription", subscriptions), ("registration", registrations)):
        seen[kind] = {each: sorted(sessions) for each, sessions in members.items()}
    return seen


def check_lives(told: list[Told]) -> None:
    """Each event once, and in an order that makes sense: created, members come and go, deleted."""
    lives: dict[tuple[str, int], list[Told]] = defaultdict(list)
    for topic, args in told:
        kind, _, name = topic.partition(".")
        if kind == "session":
            lives[kind, args[0]["session"] if name == "on_join" else args[0]].append((name, args))
        else:
            lives[kind, args[1]["id"] if name == "on_create" else args[1]].append((name, args))
    for (kind, each), life in lives.items():
        names = [name for name, _ in life]
        first, *_, last = LIVES[kind]
        for bound in (first, last):
            assert names.count(bound) <= 1, (kind, each, names)
        assert first not in names[1:], (kind, each, names)
        assert last not in names[:-1], (kind, each, names)
        if kind != "session":
            _check_members(kind, each, life)


def _check_members(kind: str, each: int, life: list[Told]) -> None:
    """Gained and lost by turns; who had it before anybody listened may lose it first."""
    created, gained, lost, _ = LIVES[kind]
    latest: dict[int, str] = {}
    for name, args in life:
        session = args[0]
        if name not in (gained, lost) or not session:
            continue
        before = latest.get(session, lost if name == gained or life[0][0] == created else gained)
        assert before != name, (kind, each, args, life)
        latest[session] = name
