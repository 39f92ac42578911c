"""Write docs/configuration.md, the reference of configuration files, from wampha's own schema: `make reference`.

Each section of a file is a chapter with one row per key; a section that stands at several places is told once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from wampha.config.schema import Settings

PAGE: Final = Path(__file__).parent / "configuration.md"
_BEGINNING: Final = """\
# Configuration

One YAML file per node. Every key that is not written has its default; unknown keys are refused. `wampha check -c FILE`
tells every problem at once, and `wampha schema` prints this reference as JSON Schema for editors.

Any value can stand elsewhere: `{env: NAME}` takes it from an environment variable, `{file: path}` from a file (relative
to the configuration), which is how secrets should come.

Written by `make reference` from the schema.
"""
_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {} of them"),
)

Schema = dict[str, Any]


def page() -> str:
    """The text of the reference."""
    schema = Settings.model_json_schema()
    definitions: dict[str, Schema] = schema["$defs"]
    places = _places(schema, definitions)
    anchors = {name: found[0] for name, found in places.items()}
    chapters = [_chapter("The file", "", schema, anchors)]
    for name, found in places.items():
        chapters.append(_chapter(f"`{found[0]}`", _also(found), definitions[name], anchors))
    return "\n".join([_BEGINNING, *chapters])


def _places(schema: Schema, definitions: dict[str, Schema]) -> dict[str, list[str]]:
    """Where each section may stand, as dotted paths; in the order of the file."""
    found: dict[str, list[str]] = {}

    def walk(within: Schema, path: str) -> None:
        for key, value in within.get("properties", {}).items():
            for name, listed in _sections(value):
                place = f"{path}{key}{listed}"
                known = found.setdefault(name, [])
                known.append(place)
                if len(known) == 1:
                    walk(definitions[name], f"{place}.")

    walk(schema, "")
    return found


def _sections(value: Schema, listed: str = "") -> Iterator[tuple[str, str]]:
    """The sections that a value may be, each with `[]` if it is one of a list, `.NAME` if it has a name of its own."""
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2], listed
    for part in value.get("anyOf", ()):
        yield from _sections(part, listed)
    if "items" in value:
        yield from _sections(value["items"], f"{listed}[]")
    if isinstance(value.get("additionalProperties"), dict):
        yield from _sections(value["additionalProperties"], f"{listed}.NAME")


def _also(places: list[str]) -> str:
    others = ", ".join(f"`{place}`" for place in places[1:])
    return f"\nAlso {others}.\n" if others else ""


def _chapter(title: str, also: str, schema: Schema, anchors: dict[str, str]) -> str:
    about = schema.get("description", "").partition("\n\n")[0].replace("\n", " ") if title != "The file" else ""
    rows = [_row(key, value, key in schema.get("required", ()), anchors) for key, value in schema["properties"].items()]
    lines = [f"## {title}", "", *([about, ""] if about else []), *([also.strip(), ""] if also else [])]
    return "\n".join([*lines, "| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _row(key: str, value: Schema, required: bool, anchors: dict[str, str]) -> str:
    kinds = [kind for kind in _kinds(value, anchors) if kind != "null"]
    default = "required" if required else _default(value.get("default"))
    return f"| `{key}` | {' or '.join(kinds)} | {default} | {_cell(value.get('description', ''))} |"


def _kinds(value: Schema, anchors: dict[str, str]) -> Iterator[str]:
    if "$ref" in value:
        place = anchors.get(value["$ref"].rpartition("/")[2], "")
        yield f"[section](#{_anchor(place)})"
    elif "anyOf" in value:
        for part in value["anyOf"]:
            yield from _kinds(part, anchors)
    elif "enum" in value:
        yield ", ".join(f"`{_plain(each)}`" for each in value["enum"])
    elif "const" in value:
        yield f"`{_plain(value['const'])}`"
    elif value.get("type") == "array":
        inner = " or ".join(_kinds(value.get("items", {}), anchors)) or "values"
        yield f"list of {inner}{_bounds(value)}"
    elif value.get("type") == "object":
        more = value.get("additionalProperties")
        inner = " or ".join(_kinds(more, anchors)) if isinstance(more, dict) else "values"
        yield f"map of names to {inner}"
    else:
        yield f"{value.get('type', 'any value')}{_bounds(value)}"


def _bounds(value: Schema) -> str:
    told = [text.format(value[name]) for name, text in _BOUNDS if name in value]
    return f", {', '.join(told)}" if told else ""


def _default(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, dict):
        return "its defaults"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _anchor(title: str) -> str:
    """As the documentation's generator makes it from a heading."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in "-_")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE}")
