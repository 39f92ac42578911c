"""Write what follows from other files: the chart's schema of values, its dashboard, and the table in its README.

    python -m helm.generate          (`make chart`)

The schema is `chart.schema.yaml`, with the descriptions of `values.yaml` and the parts of wampha's own configuration
schema that the chart passes through. Tests hold all equal to what is written here.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from helm.dashboard import dashboard
from wampha.config.difference import LIVE
from wampha.config.schema import json_schema

FOLDER: Final = Path(__file__).parent
CHART: Final = FOLDER / "wampha"
BEGIN, END = "<!-- values: written by make chart -->\n", "<!-- end of values -->\n"

# What only the chart knows, by section of wampha's configuration.
OF_THE_CHART: Final = {
    "Settings": ("listeners", "monitoring"),
    "NodeSettings": ("name", "run_dir", "watch_files_s"),
    "ClusterSettings": ("name", "listen", "advertise", "secret", "tls", "voters"),
    "ListenerSettings": ("endpoint", "tls"),
}
_LISTENER: Final = {
    "enabled": {"type": "boolean", "description": "whether it is there; it is unless this is false"},
    "port": {"type": "integer", "minimum": 1024, "maximum": 65535, "description": "the port, of pods and service"},
    "tls": {"type": "boolean", "description": "whether it is encrypted, with the certificate of `tls`"},
    "nodePort": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "the port on machines"},
}


@dataclass(frozen=True)
class Value:
    """A key of values.yaml."""

    path: tuple[str, ...]
    text: str  # the comment above it
    default: Any
    is_section: bool  # a mapping whose keys have comments of their own


def values() -> list[Value]:
    """All keys of values.yaml that have a comment, in order, and the sections around them."""
    source = (CHART / "values.yaml").read_text()
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    return list(_keys(root, yaml.safe_load(source), source.splitlines(), ()))


def _keys(node: Any, data: Any, lines: list[str], above: tuple[str, ...]) -> Iterator[Value]:
    for key, content in node.value:
        path, default = (*above, key.value), data[key.value]
        text = _comment(lines, key.start_mark.line, key.start_mark.column)
        inner = list(_keys(content, default, lines, path)) if _is_block(content) else []
        documented = [value for value in inner if value.text]
        yield Value(path, text, default, bool(documented))
        yield from inner if documented else ()


def _is_block(node: Any) -> bool:
    return isinstance(node, yaml.MappingNode) and not node.flow_style


def _comment(lines: list[str], line: int, column: int) -> str:
    """What stands in comments right above a line, at the same column."""
    begin = line
    while begin and re.match(rf" {{{column}}}# ", lines[begin - 1]):
        begin -= 1
    return " ".join(each.strip()[2:] for each in lines[begin:line])


def schema_text() -> str:
    """The chart's values.schema.json."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


def schema() -> dict[str, Any]:
    """JSON Schema of the chart's values; no unknown key is allowed anywhere that wampha or the chart reads."""
    chart = yaml.safe_load((FOLDER / "chart.schema.yaml").read_text())
    wampha = _passed_through()
    properties = _strict({"properties": copy.deepcopy(chart["properties"])})["properties"]
    properties["config"] = wampha.pop("Settings")
    listener = wampha.pop("ListenerSettings")
    listener["properties"] = {**listener["properties"], **_LISTENER}
    listener["required"] = ["port", "auth"]
    properties["listeners"] = {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$", "not": {"enum": ["peers", "monitoring"]}},
        "additionalProperties": listener,
    }
    for value in values():
        _describe(properties, value)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the wampha chart",
        "type": "object",
        "properties": {**properties, "global": {"type": "object"}},
        "additionalProperties": False,
        "$defs": _reachable({"properties": properties}, wampha),
    }


def _strict(schema: Any) -> Any:
    """Every object whose properties are listed has no others."""
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if "properties" in schema:
        made["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        made.setdefault("type", "object")
        made.setdefault("additionalProperties", False)
    return made


def _describe(properties: dict[str, Any], value: Value) -> None:
    *above, name = value.path
    for step in above:
        properties = properties[step].get("properties", {})
    if value.text and name in properties:
        properties[name] = {**properties[name], "description": value.text}


def _passed_through() -> dict[str, dict[str, Any]]:
    """The definitions of wampha's configuration schema, less what the chart knows."""
    whole = json_schema()
    definitions: dict[str, dict[str, Any]] = whole.pop("$defs")
    whole.pop("$schema")
    definitions["Settings"] = whole
    for name, keys in OF_THE_CHART.items():
        section = definitions[name]
        section["properties"] = {key: value for key, value in section["properties"].items() if key not in keys}
        section["required"] = [key for key in section.get("required", ()) if key not in keys]
    definitions["Settings"]["properties"]["cluster"] = {"$ref": "#/$defs/ClusterSettings"}
    return definitions


def _reachable(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions that a schema needs."""
    needed: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(waiting.pop())):
            if name not in needed:
                needed[name] = definitions[name]
                waiting.append(definitions[name])
    return needed


def table() -> str:
    """Every value, its default and its meaning, as Markdown."""
    rows = [
        f"| `{'.'.join(each.path)}` | {_shown(each.default)} | {each.text} |\n"
        for each in values()
        if not each.is_section
    ]
    return "| value | default | meaning |\n| --- | --- | --- |\n" + "".join(rows)


def _shown(default: Any) -> str:
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 60 else "see values.yaml"


def readme_text() -> str:
    """The chart's README with its table made anew."""
    before, rest = (CHART / "README.md").read_text().split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


def dashboard_text() -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps(dashboard(), indent=1) + "\n"


def live_text() -> str:
    """Which parts of the configuration a running node takes over; the pods' checksum is of all else."""
    paths = "".join(f"- /{'/'.join(path)}\n" for path in sorted(LIVE))
    return f"# What of its configuration a running node takes over, all below it too; written by `make chart`.\n{paths}"


def main() -> None:
    """Write all four."""
    (CHART / "files" / "live.yaml").write_text(live_text())
    (CHART / "files" / "dashboard.json").write_text(dashboard_text())
    (CHART / "values.schema.json").write_text(schema_text())
    (CHART / "README.md").write_text(readme_text())


if __name__ == "__main__":
    main()
