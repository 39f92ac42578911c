"""Which nodes have subscribers, and for what (protocol rules 28, 30)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wampha.names.uri import MATCHES
from wampha.state.changes import RouteAdded, RouteRemoved
from wampha.state.commands import AddRoute, Command, Outcome, Owner, RemoveRoute
from wampha.state.ground import Ground, Handler
from wampha.state.tables import Route


class Routes:
    """The rules of the table of routes."""

    def __init__(self, ground: Ground) -> None:
        self._ground: Final = ground
        self.handlers: Final[Mapping[type[Command], Handler]] = {AddRoute: self._add, RemoveRoute: self._remove}

    def bury(self, owner: Owner) -> None:
        """An owner may have as many routes as there are topics, and they go in one turn: so not one by one."""
        ground = self._ground
        encoders = tuple(ground.encoders.values())
        for realm, routes in list(ground.tables.routes.items()):
            gone = [route for route in routes if owner in route.owners]
            for route in gone:
                for encoder in encoders:
                    encoder.before(route)
                del route.owners[owner]
            ground.changes += [RouteRemoved(owner, realm, route.match, route.topic, route.id) for route in gone]
            routes.remove_all((route.match, route.topic) for route in gone if not route.owners)
            if not routes:
                del ground.tables.routes[realm]

    def _add(self, index: int, add: AddRoute) -> Outcome:
        ground = self._ground
        if (admitted := ground.admit(add.owner, add.number)) is not Outcome.OK:
            return admitted
        if add.match not in MATCHES:
            return Outcome.REFUSED
        route = ground.tables.route(add.realm, add.match, add.topic)
        if route is None:
            route = Route(index, add.match, add.topic)
            ground.tables.routes_in(add.realm).add(add.match, add.topic, route)
        # A row that stands keeps its index: everybody who applied that entry knows the row since.
        if add.owner not in route.owners:
            ground.before(route)
            route.owners[add.owner] = index
            ground.changes.append(RouteAdded(add.owner, add.realm, add.match, add.topic, route.id))
        return Outcome.OK

    def _remove(self, index: int, remove: RemoveRoute) -> Outcome:
        ground = self._ground
        if (admitted := ground.admit(remove.owner, remove.number)) is not Outcome.OK:
            return admitted
        if remove.match not in MATCHES:
            return Outcome.REFUSED
        route = ground.tables.route(remove.realm, remove.match, remove.topic)
        if route is not None and remove.owner in route.owners:
            self._drop(remove.realm, route, remove.owner)
        return Outcome.OK

    def _drop(self, realm: str, route: Route, owner: Owner) -> None:
        ground = self._ground
        ground.before(route)
        del route.owners[owner]
        if not route.owners:
            ground.tables.drop_route(realm, route)
        ground.changes.append(RouteRemoved(owner, realm, route.match, route.topic, route.id))
