"""Realms, roles and permissions. Crossbar's words are ours, but for its stores and options."""

from __future__ import annotations

from typing import Any, Final

from wampha.config.crossbar.part import Part

# What clients that were written for Crossbar may rely on (docs/from-crossbar.md).
_LIKE_CROSSBAR: Final = {"call_timeout_unit": "s", "undeclared_features": "accepted"}
ACTIONS: Final = ("call", "register", "publish", "subscribe")


def realm(part: Part) -> dict[str, Any] | None:
    """One of our realms, or None if it has no name."""
    name = part.take("name", str)
    part.ignore("id")
    if name is None:
        part.note("has no name, and is left out")
        return None
    made: dict[str, Any] = {"name": name, "roles": [], **_LIKE_CROSSBAR}
    for each in part.parts("roles"):
        made_role = role(each)
        if made_role is None:
            continue
        if any(other["name"] == made_role["name"] for other in made["roles"]):
            each.note(f'realm {name} has a role "{made_role["name"]}" already; this one is left out')
        else:
            made["roles"].append(made_role)
    made.update(_options(part.part("options")))
    made.update(_store(part.part("store")))
    part.close()
    return made


def _options(part: Part | None) -> dict[str, Any]:
    if part is None:
        return {}
    part.satisfied("enable_meta_api", True)
    part.satisfied("bridge_meta_api", False)
    part.ignore("event_dispatching_chunk_size")  # events to many are dispatched in portions here in any case
    checked = part.take("uri_check", str)
    part.close()
    return {"uri_check": checked} if checked in ("strict", "loose") else {}


def _store(part: Part | None) -> dict[str, Any]:
    """Histories of topics, and calls that wait."""
    if part is None:
        return {}
    part.satisfied("type", "memory")
    part.ignore("limit")
    made: dict[str, Any] = {}
    histories = [history for each in part.parts("event-history") if (history := _history(each)) is not None]
    if histories:
        made |= {"history": histories, "history_answer": "list"}
    queues = [limit for each in part.parts("call-queue") if (limit := _queue(each)) is not None]
    if queues:
        made["call_queue_max"] = max(queues)
        part.leave("call-queue", "holds for all procedures of the realm here, with the largest limit")
    part.close()
    return made


def _history(part: Part) -> dict[str, Any] | None:
    uri, match = part.take("uri", str), part.take("match", str)
    limit = part.take("limit", int, 1000)
    part.close()
    if uri is None:
        return None
    made = {"uri": uri, "limit": limit}
    return {"match": match, **made} if match is not None else made


def _queue(part: Part) -> int | None:
    part.ignore("uri", "match")
    limit: int | None = part.take("limit", int)
    part.close()
    return limit


def role(part: Part) -> dict[str, Any] | None:
    """One of our roles, or None if it has no name."""
    name, authorizer = part.take("name", str), part.take("authorizer", str)
    part.ignore("id")
    permissions = _permissions(part)
    part.close()
    if name is None:
        part.note("has no name, and is left out")
        return None
    if authorizer is not None:
        if permissions:
            part.leave("permissions", "are not asked here, since the role has an authorizer")
        return {"name": name, "authorizer": authorizer}
    return {"name": name, "permissions": permissions}


def _permissions(part: Part) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for each in part.parts("permissions"):
        permission = _permission(each)
        if permission is None:
            continue
        same = (permission.get("match"), permission["uri"])
        if any((other.get("match"), other["uri"]) == same for other in made):
            each.note(f'the role has a permission for "{permission["uri"]}" already; this one is left out')
        else:
            made.append(permission)
    return made


def _permission(part: Part) -> dict[str, Any] | None:
    """In the form with `allow`, or in the older one in which the actions stand beside the URI."""
    uri, match = part.take("uri", str), part.take("match", str)
    flat = {action: True for action in ACTIONS if part.take(action, bool)}
    allow = _flags(part.part("allow"), ACTIONS) | flat
    disclose = _flags(part.part("disclose"), ("caller", "publisher"))
    part.ignore("cache")  # permissions of a file are always at hand
    part.close()
    if uri is None:
        part.note("has no uri, and is left out")
        return None
    made: dict[str, Any] = {"uri": uri, "allow": allow}
    if match is not None:
        made = {"uri": uri, "match": match, "allow": allow}
    return {**made, "disclose": disclose} if disclose else made


def _flags(part: Part | None, keys: tuple[str, ...]) -> dict[str, bool]:
    if part is None:
        return {}
    flags = {key: True for key in keys if part.take(key, bool)}
    part.close()
    return flags
