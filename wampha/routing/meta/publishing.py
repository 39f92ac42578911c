"""Events that every node publishes to its own subscribers when it applies an entry of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wampha.messages.payload import Payload
from wampha.names.ids import derived_publication
from wampha.routing.realm import Realm


def publish_here(realm: Realm | None, topic: str, number: int, args: Sequence[Any]) -> None:
    """Tell this node's subscribers in the realm, if there are any.

    `number` stands for at most one event on the topic, so that the publication has the same id on all nodes.
    """
    if realm is not None and realm.broker.hears(topic):
        realm.broker.publish_here(topic, derived_publication(topic, number), Payload.of(args))
