"""A YAML file as plain data that knows where each value stands: bounded, without duplicate keys, references resolved.

Only the parser of PyYAML is used, and never an object constructor: nothing in a file can make anything run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import yaml

from wampha.errors import ConfigError

# A file may come from a template or a ConfigMap; what passes these bounds is no configuration.
FILE_BYTES_MAX: Final = 256 * 1024
VALUES_MAX: Final = 20_000  # counted after aliases are followed, so that a few lines cannot stand for millions
DEPTH_MAX: Final = 32
REFERENCE_BYTES_MAX: Final = 64 * 1024
REFERENCES: Final = ("env", "file")
HOW_TO_NAME_FILES: Final = "relative names start at the folder of this file"
_YAML: Final = "tag:yaml.org,2002:"
_TYPED: Final = ("bool", "int", "float", "null")
_TAGS: Final = (*_TYPED, "map", "seq", "str", "timestamp", "merge", "value")

PathInFile = tuple[str | int, ...]


class Given(str):
    """A text that a reference named; unlike a text of the file itself, it may stand for a number or a boolean."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the file, counted from 1 as editors do."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: Any) -> Position:
        """Return the position of a mark of PyYAML."""
        return cls(mark.line + 1, mark.column + 1)


@dataclass(slots=True)
class Document:
    """The data of one file, where its values stand, and what was already found to be wrong with it."""

    file: str
    data: Any = None
    values: dict[PathInFile, Position] = field(default_factory=dict)  # path -> where its value begins
    keys: dict[PathInFile, Position] = field(default_factory=dict)  # path -> where its key begins
    # The first one of each place: what cannot be read is not missing, or wrong between sections, as well.
    problems: dict[tuple[Position, PathInFile], str] = field(default_factory=dict)
    warnings: dict[tuple[Position, PathInFile], str] = field(default_factory=dict)  # what may be used all the same
    files: set[Path] = field(default_factory=set)  # that it names, and itself
    open_files: dict[PathInFile, str] = field(default_factory=dict)  # values from files that everybody may read
    unread: set[PathInFile] = field(default_factory=set)  # values that could not be read; left out of the data

    def report(self, path: PathInFile, sentence: str, *, at_key: bool = False) -> None:
        """Note a problem of the value (or key) at `path`, or where a missing one would have to stand."""
        self.report_at(self._position(path, at_key), path, sentence)

    def warn(self, path: PathInFile, sentence: str) -> None:
        """Note what is no mistake, but hardly meant."""
        self.warnings.setdefault((self._position(path, at_key=False), path), sentence)

    def report_at(self, position: Position, path: PathInFile, sentence: str) -> None:
        """Note a problem at a position."""
        self.problems.setdefault((position, path), sentence)

    def raise_problems(self) -> None:
        """Raise ConfigError with all problems in the order of the file, if there are any."""
        if self.problems:
            raise ConfigError(self._lines(self.problems), self.files)

    def warning_lines(self) -> tuple[str, ...]:
        """All warnings, likewise in the order of the file."""
        return tuple(self._lines({place: f"warning: {sentence}" for place, sentence in self.warnings.items()}))

    def _position(self, path: PathInFile, at_key: bool) -> Position:
        places = self.keys if at_key else self.values
        around = path
        while around and around not in places:
            around, places = around[:-1], self.values
        return places.get(around, Position(1, 1))

    def _lines(self, found: Mapping[tuple[Position, PathInFile], str]) -> list[str]:
        lines = sorted((position, spell(path), sentence) for (position, path), sentence in found.items())
        return [_line(self.file, *each) for each in lines]


def spell(path: PathInFile) -> str:
    """Return a path as people write it: `listeners[0].endpoint`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _line(file: str, position: Position, path: str, sentence: str) -> str:
    where = f"{file}:{position.line}:{position.column}:"
    return f"{where} {path}: {sentence}" if path else f"{where} {sentence}"


def read(path: Path, environment: Mapping[str, str] = os.environ) -> Document:
    """Read a YAML file; what is wrong with single values is in the document's `problems`.

    Raises ConfigError when there is no document at all: a file that cannot be read, or is not UTF-8 or YAML.
    """
    document = Document(str(path), files={path})
    text = _text(document, path)
    try:
        _check_depth(document, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        _report_syntax(document, text, error)
        node = None
    if node is not None:
        document.data = _Reader(document, path.parent, environment).value(node, ())
        return document
    if not document.problems:
        document.report((), "the file is empty; it needs at least realms and listeners")
    document.raise_problems()
    raise AssertionError("a file without a document has a problem")


def _text(document: Document, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError([f"{document.file}: cannot be read: {error.strerror}"], document.files) from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError([f"{document.file}: has more than {FILE_BYTES_MAX} bytes; this is no configuration"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(errors="replace")
        at = _position_after(before)
        raise ConfigError([_line(document.file, at, "", "this is not UTF-8; save the file as UTF-8")]) from None


def _position_after(text: str) -> Position:
    return Position(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _check_depth(document: Document, text: str) -> None:
    """Refuse deep nesting before anything walks it by recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            document.report_at(Position.of(event.start_mark), (), f"nested more than {DEPTH_MAX} levels deep")
            document.raise_problems()


def _report_syntax(document: Document, text: str, error: yaml.YAMLError) -> None:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        words = ", ".join(filter(None, (error.context, error.problem)))
        document.report_at(Position.of(mark) if mark else Position(1, 1), (), f"this is not YAML: {words}")
    elif isinstance(error, yaml.reader.ReaderError):
        position = _position_after(text[: error.position])
        document.report_at(position, (), "this is not YAML: it has a character that YAML does not allow")
    else:
        document.report((), f"this is not YAML: {error}")


class _Reader:
    """Turns PyYAML's nodes into data, noting positions and problems in the document."""

    def __init__(self, document: Document, folder: Path, environment: Mapping[str, str]) -> None:
        self._document: Final = document
        self._folder: Final = folder
        self._environment: Final = environment
        self._count = 0

    def value(self, node: yaml.Node, path: PathInFile) -> Any:
        """Return the data of a node; lists become tuples, since settings are frozen."""
        self._count += 1
        self._document.values[path] = Position.of(node.start_mark)
        # An alias may point to the collection that it stands in: depth ends that, and the count ends broad ones.
        if len(path) > DEPTH_MAX or self._count > VALUES_MAX:
            self._document.report(
                path[:1], f"has more than {VALUES_MAX} values or {DEPTH_MAX} levels once its aliases are followed"
            )
            self._document.raise_problems()
        if node.tag.removeprefix(_YAML) not in _TAGS:
            self._document.report(path, f"has the tag {node.tag}; tags are not used here, a reference is {{env: NAME}}")
            self._document.unread.add(path)
            return None
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item, (*path, index)) for index, item in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            if (reference := _reference(node)) is not None:
                return self._resolve(*reference, path)
            return dict(self._items(node, path))
        assert isinstance(node, yaml.ScalarNode)
        return scalar(node)

    def _items(self, node: yaml.MappingNode, path: PathInFile) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Position] = {}
        for key, value in node.value:
            position = Position.of(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                self._document.report_at(position, path, "a key should be plain text")
                continue
            # YAML reads keys such as `on` or `1` as other types; here a key is always what is written.
            name = key.value
            inner = (*path, name)
            if name in seen:
                first = seen[name].line
                self._document.report_at(position, inner, f"given twice; the first is in line {first}")
                continue
            seen[name] = self._document.keys[inner] = position
            content = self.value(value, inner)
            if inner not in self._document.unread:
                yield name, content

    def _resolve(self, kind: str, name: str, path: PathInFile) -> Given | None:
        try:
            return Given(self._environment[name] if kind == "env" else self._file(name, path))
        except KeyError:
            self._document.report(path, f"the environment variable {name} is not set")
        except OSError as error:
            self._document.report(path, f"the file {name} cannot be read: {error.strerror}; {HOW_TO_NAME_FILES}")
        except ValueError as error:
            self._document.report(path, f"the file {name} {error}")
        self._document.unread.add(path)
        return None

    def _file(self, name: str, path: PathInFile) -> str:
        """Return what a file says, without the line end that editors add; names start at the configuration's folder."""
        self._document.files.add(self._folder / name)
        with (self._folder / name).open("rb") as file:
            content = file.read(REFERENCE_BYTES_MAX + 1)
            if is_open(file):
                self._document.open_files[path] = name
        if len(content) > REFERENCE_BYTES_MAX:
            raise ValueError(f"has more than {REFERENCE_BYTES_MAX} bytes")
        try:
            return content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8") from None


def is_open(file: IO[bytes]) -> bool:
    """Whether everybody on this machine may read the file."""
    return bool(os.fstat(file.fileno()).st_mode & stat.S_IROTH)


def _reference(node: yaml.MappingNode) -> tuple[str, str] | None:
    """Return (`env` or `file`, name) if the mapping is a reference to a value."""
    if len(node.value) != 1:
        return None
    key, name = node.value[0]
    is_reference = isinstance(key, yaml.ScalarNode) and key.value in REFERENCES and isinstance(name, yaml.ScalarNode)
    return (key.value, name.value) if is_reference else None


def scalar(node: yaml.ScalarNode) -> Any:
    """Return the text, number, boolean or nothing that a scalar stands for; dates and foreign tags stay text."""
    if node.tag.removeprefix(_YAML) not in _TYPED:
        return node.value
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError, yaml.YAMLError):  # such as `!!int x`
        return node.value


def plain(text: str) -> Any:
    """Return what a text would stand for if it were written in the file without quotes."""
    rules: Any = yaml.SafeLoader("")
    return scalar(yaml.ScalarNode(rules.resolve(yaml.ScalarNode, text, (True, False)), text))
