"""A whole node configuration: the routers among its workers, and that what comes out is valid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import yaml
from pydantic import ValidationError

from wampha.config import rules, sentences
from wampha.config.crossbar.methods import Known
from wampha.config.crossbar.part import Notes, Part
from wampha.config.crossbar.realms import realm
from wampha.config.crossbar.transports import Relocate, Transports
from wampha.config.document import Document, PathInFile, spell
from wampha.config.schema import Settings
from wampha.errors import ConfigError

_WORKERS: Final = {
    "container": "components are not run here: start each as a process of its own",
    "guest": "programs are not run here: start it as a process of its own",
    "proxy": "every node of a cluster takes connections; there is no proxy in front",
    "hostmonitor": "is not run here; metrics are at `monitoring.endpoint`",
    "marketplace": "has no counterpart",
}
_REFUSALS_MAX: Final = 200  # values that are taken out because we would refuse them; more is no configuration


@dataclasses.dataclass(frozen=True)
class Conversion:
    """Our settings as plain data, and one line for each thing that has no counterpart."""

    settings: dict[str, Any]
    left: tuple[str, ...]

    def text(self, source: str) -> str:
        """The file, in YAML."""
        note = f"# Made from {source} by: wampha convert crossbar-config"
        missing = ["# Left out, or done otherwise here:", *(f"#   {line}" for line in self.left)] if self.left else []
        body = yaml.dump(self.settings, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        return "\n".join([note, *map(_in_a_comment, missing), "", body])


class _Dumper(yaml.SafeDumper):
    """Without aliases: nobody would find `*id001` in a configuration readable."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _in_a_comment(line: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in line)


def convert(data: Any, relocate: Relocate) -> Conversion:
    """Convert the data of a node configuration. Raises ConfigError if nothing in it is of use here."""
    if not isinstance(data, Mapping) or "workers" not in data:
        raise ConfigError(["workers: is missing; this is no Crossbar node configuration"])
    notes = Notes()
    node = Part(notes, (), data)
    node.ignore("$schema", "version")
    controller = node.part("controller")
    if controller is not None:
        controller.ignore("id")
        controller.close()
    routers = list(_routers(node, notes))
    node.close()
    settings: dict[str, Any] = {"realms": _realms(routers)}
    known = Known({each["name"] for each in settings["realms"]})
    known.roles = {role["name"] for each in settings["realms"] for role in each["roles"]}
    transports = Transports(known, relocate)
    found = [transports.listener(each) for router in routers for each in router.parts("transports")]
    settings["listeners"] = [each for each in found if each is not None]
    if transports.limits:
        settings["limits"] = transports.limits
    for router in routers:
        router.close()
    _take_out_what_is_refused(settings, notes)
    return Conversion(settings, tuple(notes.lines()))


def _routers(node: Part, notes: Notes) -> list[Part]:
    """The workers that route; the others are noted."""
    routers = []
    for worker in node.parts("workers"):
        kind = worker.take("type", str)
        if kind != "router":
            worker.note(_WORKERS.get(kind or "", f'a worker of type "{kind}" has no counterpart'))
            continue
        worker.ignore("id")
        for index, _ in enumerate(worker.take("components", (list, tuple), ())):
            notes.leave((*worker.path, "components", index), _WORKERS["container"])
        routers.append(worker)
    return routers


def _realms(routers: list[Part]) -> list[dict[str, Any]]:
    """All realms of all routers, which are one here."""
    made: list[dict[str, Any]] = []
    for router in routers:
        for part in router.parts("realms"):
            converted = realm(part)
            if converted is None:
                continue
            if any(other["name"] == converted["name"] for other in made):
                part.note(f"realm {converted['name']} is there already, of another router; this one is left out")
            else:
                made.append(converted)
    return made


def _take_out_what_is_refused(settings: dict[str, Any], notes: Notes) -> None:
    """Our own checks have the last word: what they refuse is taken out, and noted with their sentence."""
    for _ in range(_REFUSALS_MAX):
        problem = _problem(settings)
        if problem is None:
            return
        path, sentence = problem
        if path[:1] in (("realms",), ("listeners",)) and len(path) == 1:
            break
        notes.leave(("output", *path), f"{sentence}; it is left out")
        _remove(settings, path)
    raise ConfigError([*notes.lines(), f"{spell(path)}: {sentence}; too little of this configuration is of use here"])


def _problem(settings: dict[str, Any]) -> tuple[PathInFile, str] | None:
    """The first thing that our checks have against the settings, at a value that is there."""
    document = Document("made", _frozen(settings))
    try:
        Settings.model_validate(document.data, strict=True)
    except ValidationError as error:
        sentences.report(document, error.errors())
    rules.report(document)
    for (_, path), sentence in document.problems.items():
        return _there(settings, path), sentence
    return None


def _there(settings: Any, path: PathInFile) -> PathInFile:
    """The longest beginning of a path that leads to something."""
    for length, step in enumerate(path):
        try:
            settings = settings[step]
        except (KeyError, IndexError, TypeError):
            return path[:length]
    return path


def _remove(settings: Any, path: PathInFile) -> None:
    for step in path[:-1]:
        settings = settings[step]
    del settings[path[-1]]


def _frozen(data: Any) -> Any:
    """As the reader of files gives it: lists are tuples, and a reference stands for a text."""
    if isinstance(data, dict):
        return "a reference" if list(data) == ["env"] else {key: _frozen(value) for key, value in data.items()}
    return tuple(map(_frozen, data)) if isinstance(data, list) else data
