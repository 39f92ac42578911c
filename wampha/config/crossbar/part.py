"""A mapping of the old configuration from which keys are taken one by one: what nobody took has no counterpart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from wampha.config.document import PathInFile, spell

_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")  # how Crossbar refers to the environment: ${NAME}
_MISSING: Final = object()


class Notes:
    """What was found to have no counterpart: path -> sentence."""

    def __init__(self) -> None:
        self._found: Final[dict[PathInFile, str]] = {}

    def leave(self, path: PathInFile, sentence: str) -> None:
        """Note what is left out, or works otherwise here; the first sentence about a path stands."""
        self._found.setdefault(path, sentence)

    def lines(self) -> list[str]:
        """One line per note, path and sentence, in the order of the paths."""
        ordered = sorted(self._found.items(), key=lambda note: [(isinstance(step, str), step) for step in note[0]])
        return [f"{spell(path)}: {sentence}" for path, sentence in ordered]


class Part:
    """One mapping. `close` notes the keys that were not taken."""

    def __init__(self, notes: Notes, path: PathInFile, data: Mapping[str, Any]) -> None:
        self.path: Final = path
        self.notes: Final = notes  # shared by all parts
        self._data: Final = data
        self._taken: Final[set[str]] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The value of a key if it is there and of that kind; else it is noted, and the default given."""
        self._taken.add(key)
        value = self._data.get(key, _MISSING)
        if value is _MISSING or value is None:
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):  # a bool is an int
            self.notes.leave((*self.path, key), f"is not understood: {type(value).__name__}")
            return default
        return value

    def secret(self, key: str) -> Any:
        """A text, or a reference to the environment where Crossbar has one."""
        value = self.take(key, str)
        matched = _VARIABLE.fullmatch(value) if value is not None else None
        return {"env": matched[1] or matched[2]} if matched else value

    def part(self, key: str) -> Part | None:
        """A mapping inside this one."""
        data = self.take(key, Mapping)
        return None if data is None else Part(self.notes, (*self.path, key), data)

    def parts(self, key: str) -> Iterator[Part]:
        """The mappings of a list; other entries are noted."""
        for index, data in enumerate(self.take(key, (list, tuple), ())):
            path = (*self.path, key, index)
            if isinstance(data, Mapping):
                yield Part(self.notes, path, data)
            else:
                self.notes.leave(path, f"is not understood: {type(data).__name__}")

    def ignore(self, *keys: str) -> None:
        """Take keys that say nothing about what clients see."""
        self._taken.update(keys)

    def satisfied(self, key: str, *values: Any) -> None:
        """Take a key; it is noted unless its value is one that describes how things are here anyway."""
        if key in self._data and self._data[key] not in values:
            self.leave(key, "has no counterpart")
        self._taken.add(key)

    def leave(self, key: str, sentence: str) -> None:
        """Note a key that is known, if it is there, and why it is left out or works otherwise."""
        self._taken.add(key)
        if key in self._data:
            self.notes.leave((*self.path, key), sentence)

    def note(self, sentence: str) -> None:
        """Note something about the whole mapping."""
        self.notes.leave(self.path, sentence)

    def close(self) -> None:
        """Note what was not taken."""
        for key in self._data:
            if key not in self._taken:
                self.notes.leave((*self.path, str(key)), "has no counterpart")
