"""What a rendered pod is told: its environment and files as Kubernetes would give them to it."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]


def find(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of that kind and name."""
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """All objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def environment(container: Object, pod: str, secrets: dict[tuple[str, str], str]) -> dict[str, str]:
    """The variables of a container in the pod of that name; `$(NAME)` stands for a variable further up."""
    given: dict[str, str] = {}
    for entry in container["env"]:
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            assert source["fieldRef"]["fieldPath"] == "metadata.name"
            value = pod
        elif "secretKeyRef" in source:
            value = secrets[source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]]
        else:
            value = re.sub(r"\$\((\w+)\)", lambda found: given[found[1]], entry["value"])
        given[entry["name"]] = value
    return given


def lay_out(objects: list[Object], template: Object, folder: Path, foreign: dict[str, dict[str, bytes]]) -> None:
    """Write the files of a pod's volumes below `folder`; `foreign` are secrets that others have made."""
    (container,) = [each for each in template["spec"]["containers"] if each["name"] == "wampha"]
    volumes = {each["name"]: each for each in template["spec"]["volumes"]}
    for mount in container["volumeMounts"]:
        place = folder / mount["mountPath"].removeprefix("/")
        place.mkdir(parents=True, exist_ok=True)
        for name, content in _files(objects, volumes[mount["name"]], foreign).items():
            (place / name).write_bytes(content)
            (place / name).chmod(0o640)


def _files(objects: list[Object], volume: Object, foreign: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    if "configMap" in volume:
        data = find(objects, "ConfigMap", volume["configMap"]["name"])["data"]
        return {name: text.encode() for name, text in data.items()}
    if "secret" in volume:
        name = volume["secret"]["secretName"]
        if name in foreign:
            return foreign[name]
        return {key: base64.b64decode(value) for key, value in find(objects, "Secret", name)["data"].items()}
    return {}


def configuration(objects: list[Object]) -> Object:
    """wampha's configuration in the chart's ConfigMap."""
    (text,) = [each["data"]["config.yaml"] for each in of_kind(objects, "ConfigMap") if "config.yaml" in each["data"]]
    loaded: Object = yaml.safe_load(text)
    return loaded
