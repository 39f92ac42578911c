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
            ground.changes += [_removed(realm, route, owner, 0) for route in gone]
            ground.tables.drop_routes(realm, (route for route in gone if not route.owners))

    def _add(self, index: int, add: AddRoute) -> Outcome:
        ground = self._ground
        if (admitted := ground.admit(add.owner, add.number)) is not Outcome.OK:
            return admitted
        if add.match not in MATCHES:
            return Outcome.REFUSED
        created = None
        route = ground.tables.route(add.realm, add.match, add.topic)
        if route is None:
            created = add.created
            route = Route(index, add.match, add.topic, created)
            ground.tables.add_route(add.realm, route)
        # A row that stands keeps its index: everybody who applied that entry knows the row since.
        if add.owner not in route.owners:
            ground.before(route)
            route.owners[add.owner] = index
            ground.changes.append(
                RouteAdded(add.owner, add.realm, add.match, add.topic, route.id, add.session, created)
            )
        return Outcome.OK

    def _remove(self, index: int, remove: RemoveRoute) -> Outcome:
        ground = self._ground
        if (admitted := ground.admit(remove.owner, remove.number)) is not Outcome.OK:
            return admitted
        if remove.match not in MATCHES:
            return Outcome.REFUSED
        route = ground.tables.route(remove.realm, remove.match, remove.topic)
        if route is not None and remove.owner in route.owners:
            ground.before(route)
            ground.changes.append(_removed(remove.realm, route, remove.owner, remove.session))
            if not route.owners:
                ground.tables.drop_routes(remove.realm, [route])
        return Outcome.OK


def _removed(realm: str, route: Route, owner: Owner, session: int) -> RouteRemoved:
    """Take the owner's row away."""
    added = route.owners.pop(owner)
    return RouteRemoved(owner, realm, route.match, route.topic, route.id, session, not route.owners, added)
