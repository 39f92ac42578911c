"""The objects of a toy Kubernetes, with versions and watchers: what its API server serves and its controllers use."""

from __future__ import annotations

import copy
import itertools
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """Where an object stands."""

    group: str
    plural: str
    namespace: str
    name: str


PODS: Final = ("", "pods")
SERVICES: Final = ("", "services")
STATEFUL_SETS: Final = ("apps", "statefulsets")


class Watch:
    """Events about objects that match, in order."""

    def __init__(self, matches: Callable[[Key, Object], bool]) -> None:
        self.matches: Final = matches
        self.events: Final[queue.SimpleQueue[Object]] = queue.SimpleQueue()


class Store:
    """All objects. What it gives is the caller's own copy; what it is given it keeps as it is then."""

    def __init__(self) -> None:
        self._objects: Final[dict[Key, Object]] = {}
        self._applied: Final[dict[Key, Object]] = {}  # what was last applied, to know what an applier gave up
        self._watches: Final[list[Watch]] = []
        self._versions: Final = itertools.count(1)
        self._lock: Final = threading.RLock()
        self.version = 0  # of the last change

    # ---- reading

    def get(self, key: Key) -> Object | None:
        """An object, or None."""
        with self._lock:
            return copy.deepcopy(self._objects.get(key))

    def list(self, group: str, plural: str, matches: Callable[[Key, Object], bool] = lambda *_: True) -> list[Object]:
        """The objects of a kind that match, by name."""
        with self._lock:
            found = [
                (key.namespace, key.name, copy.deepcopy(found))
                for key, found in self._objects.items()
                if (key.group, key.plural) == (group, plural) and matches(key, found)
            ]
        return [each for *_, each in sorted(found, key=lambda entry: entry[:2])]

    @contextmanager
    def watching(
        self, matches: Callable[[Key, Object], bool], *, initial: Callable[[Object], Object] | None
    ) -> Iterator[Watch]:
        """A watch; with `initial` it begins with all that there is, and then `initial` of nothing as a mark."""
        watch = Watch(matches)
        with self._lock:
            if initial is not None:
                for key, found in self._objects.items():
                    if matches(key, found):
                        watch.events.put({"type": "ADDED", "object": copy.deepcopy(found)})
                watch.events.put({"type": "BOOKMARK", "object": initial({"resourceVersion": str(self.version)})})
            self._watches.append(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.remove(watch)

    # ---- changing

    def create(self, key: Key, given: Object) -> Object | None:
        """Add an object; None if it is there already."""
        with self._lock:
            return None if key in self._objects else self._put(key, given)

    def replace(self, key: Key, given: Object) -> Object:
        """Put an object in the place of what there is; its status stays unless it brings one."""
        with self._lock:
            old = self._objects.get(key, {})
            return self._put(key, {**given, "status": given.get("status") or old.get("status", {})})

    def apply(self, key: Key, given: Object) -> tuple[Object, bool]:
        """Server-side apply by the one applier that there is; gives the object, and whether it is new.

        What was applied before and is not any more is removed; what others have set stays.
        """
        with self._lock:
            old, last = self._objects.get(key), self._applied.get(key, {})
            self._applied[key] = copy.deepcopy(given)
            return self._put(key, given if old is None else _merged(old, last, given)), old is None

    def update(self, key: Key, change: Callable[[Object], None]) -> Object | None:
        """Let `change` alter an object in place; None if it is not there."""
        with self._lock:
            found = copy.deepcopy(self._objects.get(key))
            if found is None:
                return None
            change(found)
            return found if found == self._objects[key] else self._put(key, found)

    def delete(self, key: Key, *, graceful: bool = False) -> Object | None:
        """Remove an object; if `graceful`, only mark it, for whoever runs it to end and remove it."""
        with self._lock:
            if key not in self._objects:
                return None
            if graceful:
                stamp = self._objects[key]["metadata"].get("deletionTimestamp") or now()
                return self.update(key, lambda found: found["metadata"].update(deletionTimestamp=stamp))
            found = self._objects.pop(key)
            self._applied.pop(key, None)
            self.version = next(self._versions)
            found["metadata"]["resourceVersion"] = str(self.version)
            self._tell(key, found, "DELETED")
            return copy.deepcopy(found)

    def _put(self, key: Key, given: Object) -> Object:
        new, old = copy.deepcopy(given), self._objects.get(key)
        kept = old["metadata"] if old else {}
        meta = new.setdefault("metadata", {})
        self.version = next(self._versions)
        changed = old is not None and old.get("spec") != new.get("spec")
        meta.update(
            name=key.name,
            uid=kept.get("uid") or str(uuid.uuid4()),
            creationTimestamp=kept.get("creationTimestamp") or now(),
            generation=kept.get("generation", 1) + changed,
            resourceVersion=str(self.version),
        )
        if key.namespace:
            meta["namespace"] = key.namespace
        self._objects[key] = new
        self._tell(key, new, "MODIFIED" if old else "ADDED")
        return copy.deepcopy(new)

    def _tell(self, key: Key, about: Object, event: str) -> None:
        for watch in self._watches:
            if watch.matches(key, about):
                watch.events.put({"type": event, "object": copy.deepcopy(about)})


def _merged(old: Object, last: Object, new: Object) -> Object:
    """`old` without what was in `last` and is not in `new`, and with `new`; lists are one value."""
    result = {name: value for name, value in old.items() if name in new or name not in last}
    for name, value in new.items():
        before = result.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            given_last = last.get(name)
            result[name] = _merged(before, given_last if isinstance(given_last, dict) else {}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def now() -> str:
    """The time as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def selects(selector: Object | None, about: Object) -> bool:
    """Whether labels, or `matchLabels`, choose an object; an empty selector chooses nothing."""
    wanted = (selector or {}).get("matchLabels", selector) or {}
    labels = about["metadata"].get("labels") or {}
    return bool(wanted) and all(labels.get(name) == value for name, value in wanted.items())


def is_ready(pod: Object) -> bool:
    """Whether a pod's condition Ready is true."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
