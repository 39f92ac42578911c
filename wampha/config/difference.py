"""What differs between two settings, and what of it may change while a node runs.

Lists of sections are compared by what tells their entries apart, and not by their order: a listener by its endpoint, a
realm or role by its name. So a path names what has changed as its owner would: `realms[realm1].roles[guest]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel

from wampha.config.authentication import Auth
from wampha.config.schema import Settings
from wampha.limits import LIVE as LIVE_LIMITS

Path = tuple[str, ...]  # of keys; an entry of a list has brackets around what tells it apart

_EACH: Final = "*"
# What may change while a node runs, with all that is below it; anything else waits for a restart.
LIVE: Final[tuple[Path, ...]] = (
    ("node", "drain"),
    ("realms",),
    ("realm_templates",),
    *(("listeners", _EACH, "auth", method) for method in sorted(set(Auth.model_fields) - {"cookie"})),
    ("listeners", _EACH, "tls", _EACH),
    ("listeners", _EACH, "origins"),
    ("log",),
    *(("limits", name) for name in sorted(LIVE_LIMITS)),
)
_NAMES: Final = ("name", "endpoint", "uri")  # keys that tell the entries of a list apart, the first that there is

_Value = TypeVar("_Value")


class Difference(NamedTuple):
    """One value that differs. It is not shown: it may be a secret."""

    path: Path
    how: str = ""  # "added" or "removed"; else it has another value

    @property
    def live(self) -> bool:
        """Whether it may change while a node runs."""
        return _is_live(self.path)

    def __str__(self) -> str:
        spelt = "".join(step if step.startswith("[") else f".{step}" for step in self.path).removeprefix(".")
        return f"{spelt} ({self.how})" if self.how else spelt


def differences(before: Settings, after: Settings) -> list[Difference]:
    """All that differs, in the order of the keys."""
    return list(_compare(before, after, ()))


def merged(before: Settings, after: Settings) -> Settings:
    """The settings `after`, but for what cannot change while a node runs: that is as `before`."""
    return _merged(before, after, ())


def _compare(before: Any, after: Any, path: Path) -> Iterator[Difference]:
    if before == after:
        return
    if not _is_divided(before, after):
        how = "added" if before is None else "removed" if after is None else ""
        yield Difference(path, how)
        return
    mine, theirs = parts(before), parts(after)
    found = [
        difference for step in {**mine, **theirs} for difference in _compare_part(mine, theirs, step, (*path, step))
    ]
    yield from found or [Difference(path)]  # the same entries in another order


def _compare_part(mine: dict[str, Any], theirs: dict[str, Any], step: str, path: Path) -> Iterator[Difference]:
    if step not in mine:
        yield Difference(path, "added")
    elif step not in theirs:
        yield Difference(path, "removed")
    else:
        yield from _compare(mine[step], theirs[step], path)


def _merged(before: _Value, after: _Value, path: Path) -> _Value:
    if before == after or _is_live(path):
        return after
    if not _is_divided(before, after):
        return before
    theirs = parts(after)
    made = {
        step: _merged(part, theirs[step], (*path, step)) if step in theirs else part
        for step, part in parts(before).items()
    }
    if isinstance(before, BaseModel):
        names = {field.alias or name: name for name, field in type(before).model_fields.items()}
        return before.model_copy(update={names[step]: part for step, part in made.items()})
    return tuple(made.values())  # type: ignore[return-value]  # a dictionary is below what is live


def _is_divided(before: Any, after: Any) -> bool:
    """Whether both are made of parts that can be compared one by one."""
    if isinstance(before, BaseModel):
        return type(before) is type(after)
    if isinstance(before, dict):
        return isinstance(after, dict)
    return all(isinstance(each, tuple) and all(isinstance(one, BaseModel) for one in each) for each in (before, after))


def parts(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return {field.alias or name: getattr(value, name) for name, field in type(value).model_fields.items()}
    if isinstance(value, dict):
        return {f"[{key}]": each for key, each in value.items()}
    return _entries(value)


def _entries(value: Sequence[BaseModel]) -> dict[str, Any]:
    """The entries of a list, each by what tells it apart; of two that nothing does, the second has a number."""
    entries: dict[str, Any] = {}
    for each in value:
        step = plain = _name(each)
        count = 1
        while f"[{step}]" in entries:
            count += 1
            step = f"{plain} #{count}"
        entries[f"[{step}]"] = each
    return entries


def _name(entry: BaseModel) -> str:
    name = next(str(getattr(entry, key)) for key in _NAMES if hasattr(entry, key))
    match = getattr(entry, "match", "exact")
    return name if match == "exact" else f"{match} {name}"


def _is_live(path: Path) -> bool:
    return any(
        len(live) <= len(path) and all(step in (_EACH, there) for step, there in zip(live, path, strict=False))
        for live in LIVE
    )
