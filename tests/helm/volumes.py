"""What a pod's containers find in their environment and in their folders: configuration, secrets, scratch space."""

from __future__ import annotations

import base64
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.helm.store import Key, Object, Store

_numbers: Final = itertools.count()


class Missing(Exception):
    """The pod names an object that is not there: it waits."""


def data_of(store: Store, kind: str, namespace: str, name: str, *, optional: bool = False) -> dict[str, bytes]:
    """The entries of a ConfigMap or a Secret."""
    found = store.get(Key("", kind, namespace, name))
    if found is None:
        if optional:
            return {}
        raise Missing(f"{kind} {name!r} is not there")
    plain = {**found.get("data", {}), **found.get("stringData", {})}
    encoded = dict(found.get("binaryData", {}))
    if kind == "secrets":
        plain, encoded = found.get("stringData", {}), found.get("data", {})
    texts = {key: text.encode() for key, text in plain.items()}
    return {**{key: base64.b64decode(text) for key, text in encoded.items()}, **texts}


class Volumes:
    """The volumes of one pod, as folders of this machine."""

    def __init__(self, store: Store, pod: Object, folder: Path) -> None:
        self._store: Final = store
        self._pod: Final = pod
        self._folder: Final = folder
        self._namespace: Final[str] = pod["metadata"]["namespace"]
        self._written: Final[dict[str, dict[str, bytes]]] = {}
        self._volumes: Final[dict[str, Object]] = {each["name"]: each for each in pod["spec"].get("volumes", [])}

    def make(self) -> None:
        """Make all of them; raises Missing if something that they name is not there yet."""
        folder_mode = 0o755
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(folder_mode)
        for name, volume in self._volumes.items():
            place = self._folder / name
            place.mkdir(exist_ok=True)
            if "emptyDir" in volume:
                place.chmod(0o2777)
                os.chown(place, 0, self._group())
        self.refresh()

    def refresh(self) -> None:
        """Write what has changed, all entries of a volume at one moment, as a kubelet does."""
        for name, volume in self._volumes.items():
            if "emptyDir" in volume:
                continue
            entries = self._entries(volume)
            if self._written.get(name) != entries:
                self._write(self._folder / name, entries, self._mode(volume))
                self._written[name] = entries

    def options(self, container: Object) -> list[str]:
        """As options of `podman run`."""
        found = []
        for mount in container.get("volumeMounts", []):
            source = self._folder / mount["name"]
            if mount.get("subPath"):
                source = (source / mount["subPath"]).resolve()
            scratch = "emptyDir" in self._volumes[mount["name"]] and not mount.get("readOnly")
            found += ["--volume", f"{source}:{mount['mountPath']}:{'rw' if scratch else 'ro'}"]
        return found

    def remove(self) -> None:
        """Delete the folders."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _group(self) -> int:
        group: int = self._pod["spec"].get("securityContext", {}).get("fsGroup", 0)
        return group

    def _mode(self, volume: Object) -> int:
        (source,) = (volume[kind] for kind in ("configMap", "secret", "projected") if kind in volume)
        mode: int = source.get("defaultMode", 0o644)
        return mode

    def _entries(self, volume: Object) -> dict[str, bytes]:
        if "projected" in volume:
            sources = volume["projected"]["sources"]
            return {key: value for source in sources for key, value in self._entries(source).items()}
        if "configMap" in volume:
            source, kind, name = volume["configMap"], "configmaps", volume["configMap"]["name"]
        else:
            assert "secret" in volume, f"this toy does not know the volume {volume}"
            source, kind = volume["secret"], "secrets"
            name = source.get("secretName") or source["name"]
        data = data_of(self._store, kind, self._namespace, name, optional=source.get("optional", False))
        if "items" in source:
            return {item["path"]: data[item["key"]] for item in source["items"] if item["key"] in data}
        return data

    def _write(self, place: Path, entries: dict[str, bytes], mode: int) -> None:
        """`..data` leads to a folder with all entries; the names in the volume lead through it."""
        fresh = place / f"..{next(_numbers)}"
        fresh.mkdir()
        for name, value in entries.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value)
            group = self._group()
            path.chmod(mode | (0o440 if group else 0))
            os.chown(path, 0, group)
        former = (place / "..data").resolve() if (place / "..data").exists() else None
        (place / "..new").symlink_to(fresh.name)
        (place / "..new").rename(place / "..data")
        for name in {name.split("/")[0] for name in entries}:
            if not os.path.lexists(place / name):
                (place / name).symlink_to(f"..data/{name}")
        if former:
            shutil.rmtree(former)


def environment(store: Store, pod: Object, container: Object, address: str) -> dict[str, str]:
    """The variables of a container; raises Missing."""
    namespace, found = pod["metadata"]["namespace"], dict[str, str]()
    for source in container.get("envFrom", []):
        kind, reference = ("secrets", "secretRef") if "secretRef" in source else ("configmaps", "configMapRef")
        given = source[reference]
        data = data_of(store, kind, namespace, given["name"], optional=given.get("optional", False))
        found |= {source.get("prefix", "") + key: value.decode() for key, value in data.items()}
    for variable in container.get("env", []):
        value = variable.get("value", "")
        if "valueFrom" in variable:
            value = _referred(store, pod, variable["valueFrom"], address)
        if value is not None:
            found[variable["name"]] = expanded(value, found)
    return found


def expanded(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` stands for a variable that is known; any other stays as it is."""
    return re.sub(r"\$\(([\w.-]+)\)", lambda match: variables.get(match[1], match[0]), text)


def _referred(store: Store, pod: Object, source: Object, address: str) -> str | None:
    namespace = pod["metadata"]["namespace"]
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"], address)
    for reference, kind in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        if reference in source:
            given = source[reference]
            data = data_of(store, kind, namespace, given["name"], optional=given.get("optional", False))
            if given["key"] not in data and not given.get("optional"):
                raise Missing(f"{kind} {given['name']!r} has no {given['key']!r}")
            return data[given["key"]].decode() if given["key"] in data else None
    raise AssertionError(f"this toy does not know {source}")


def _field(pod: Object, path: str, address: str) -> str:
    if path in ("status.podIP", "status.hostIP"):
        return address
    if path == "spec.nodeName":
        return "toy"
    labelled = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if labelled:
        return str(pod["metadata"].get(labelled[1], {}).get(labelled[2], ""))
    value: Any = pod
    for part in path.split("."):
        value = value[part]
    return str(value)


def names_of(pod: Object, services: list[Object]) -> Iterator[str]:
    """The names by which other pods reach it: its own below its headless service, and those of its services.

    A name of a service leads to any of its pods, ready or not: that is less than a real Service does.
    """
    meta, spec = pod["metadata"], pod["spec"]
    bases = [service["metadata"]["name"] for service in services]
    if spec.get("subdomain"):
        bases.append(f"{spec['hostname']}.{spec['subdomain']}")
    for base in bases:
        for ending in ("", f".{meta['namespace']}", f".{meta['namespace']}.svc", _domain(meta["namespace"])):
            yield base + ending


def _domain(namespace: str) -> str:
    return f".{namespace}.svc.cluster.local"
