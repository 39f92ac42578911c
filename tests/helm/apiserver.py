"""A toy Kubernetes API server: as much of the interface as Helm and kubectl use, over plain HTTP on loopback.

Discovery, reading, writing, server-side apply, watching. It checks nothing: that is for the static tests of the chart.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.helm.store import Key, Object, Store


class Kind(NamedTuple):
    """One kind of object."""

    plural: str
    kind: str
    short: str = ""
    namespaced: bool = True


KINDS: Final[Mapping[tuple[str, str], tuple[Kind, ...]]] = {
    ("", "v1"): (
        Kind("namespaces", "Namespace", "ns", namespaced=False),
        Kind("pods", "Pod", "po"),
        Kind("services", "Service", "svc"),
        Kind("configmaps", "ConfigMap", "cm"),
        Kind("secrets", "Secret"),
        Kind("serviceaccounts", "ServiceAccount", "sa"),
        Kind("persistentvolumeclaims", "PersistentVolumeClaim", "pvc"),
        Kind("events", "Event", "ev"),
    ),
    ("apps", "v1"): (
        Kind("statefulsets", "StatefulSet", "sts"),
        Kind("deployments", "Deployment", "deploy"),
        Kind("replicasets", "ReplicaSet", "rs"),
        Kind("controllerrevisions", "ControllerRevision"),
    ),
    ("autoscaling", "v2"): (Kind("horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa"),),
    ("batch", "v1"): (Kind("jobs", "Job"),),
    ("policy", "v1"): (Kind("poddisruptionbudgets", "PodDisruptionBudget", "pdb"),),
    ("networking.k8s.io", "v1"): (Kind("networkpolicies", "NetworkPolicy", "netpol"), Kind("ingresses", "Ingress")),
    ("rbac.authorization.k8s.io", "v1"): (Kind("roles", "Role"), Kind("rolebindings", "RoleBinding")),
}
_FIXED: Final = {
    "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0", "platform": "linux/amd64"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
}
_OFFERS: Final = ("create", "delete", "get", "list", "patch", "update", "watch")
_PARAMETERS: Final = ("fieldValidation", "dryRun", "fieldManager", "force")
_WATCH_S: Final = 600.0
_LOOK_S: Final = 0.2


class Place(NamedTuple):
    """What a path names."""

    group: str
    version: str
    kind: Kind
    namespace: str
    name: str
    part: str  # status, scale, log, or nothing

    @property
    def api(self) -> str:
        """As objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> Key:
        """Of the object."""
        return Key(self.group, self.kind.plural, self.namespace, self.name)


def root_of(group: str, version: str) -> str:
    """The path below which the objects of a group stand."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def place_of(path: str) -> Place | None:
    """What a path names, if it is of a known kind."""
    for (group, version), kinds in KINDS.items():
        below = path.removeprefix(root_of(group, version) + "/")
        if below == path:
            continue
        parts, namespace = below.split("/"), ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        name, part = (*parts[1:], "", "")[:2]
        for kind in kinds:
            if kind.plural == parts[0]:
                return Place(group, version, kind, namespace, name, part)
    return None


def _selected(text: str) -> Callable[[Mapping[str, str]], bool]:
    """A label selector of the forms `a=b` and `a!=b`, joined by commas."""
    equal = [part.replace("==", "=").split("=") for part in text.split(",") if "=" in part and "!=" not in part]
    unequal = [part.split("!=") for part in text.split(",") if "!=" in part]
    return lambda labels: (
        all(labels.get(name) == value for name, value in equal) and all(labels.get(n) != value for n, value in unequal)
    )


class ApiServer:
    """Use as a context manager; `url` is where clients go."""

    def __init__(self, store: Store, logs: Callable[[str, str], str]) -> None:
        """`logs(namespace, pod)` gives what a pod has written."""
        handler = type("Handler", (_Handler,), {"store": store, "logs_of": staticmethod(logs)})
        self._server: Final = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url: Final = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread: Final = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> ApiServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store
    logs_of: Callable[[str, str], str]

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """Discovery, one object, many, or a watch."""
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        known = _discovery(url.path)
        place = place_of(url.path)
        if known is not None:
            self._answer(200, known)
        elif place is None:
            self._refuse(404, "NotFound", url.path)
        elif place.part == "log":
            self._answer_text(type(self).logs_of(place.namespace, place.name))
        elif place.name:
            self._answer_object(place, self._found(place))
        elif asked.get("watch") in ("1", "true"):
            self._watch(place, asked)
        else:
            self._list(place, asked)

    def do_POST(self) -> None:
        """Create."""
        place, given, asked = self._read()
        if place is None:
            return
        place = place._replace(name=given["metadata"]["name"])
        given = {"apiVersion": place.api, "kind": place.kind.kind, **given}
        made = given if "dryRun" in asked else self.store.create(place.key, given)
        if made is None:
            self._refuse(409, "AlreadyExists", f'{place.kind.plural} "{place.name}" already exists')
        else:
            self._answer(201, made)

    def do_PUT(self) -> None:
        """Replace."""
        place, given, asked = self._read()
        if place is not None:
            self._answer(200, given if "dryRun" in asked else self.store.replace(place.key, given))

    def do_PATCH(self) -> None:
        """Apply, or merge."""
        place, given, asked = self._read()
        if place is None:
            return
        kind = (self.headers.get("Content-Type") or "").split(";")[0]
        if kind == "application/apply-patch+yaml":
            given = {"apiVersion": place.api, "kind": place.kind.kind, **given}
            made, new = (given, False) if "dryRun" in asked else self.store.apply(place.key, given)
            self._answer(201 if new else 200, made)
        elif kind == "application/merge-patch+json":
            self._answer_object(place, self.store.update(place.key, lambda found: _patch(found, given)))
        else:
            self._refuse(415, "UnsupportedMediaType", f"this toy does not know {kind}")

    def do_DELETE(self) -> None:
        """Remove; a pod is only asked to end, and is removed by who runs it."""
        place, _, _ = self._read()
        if place is None:
            return
        gone = self.store.delete(place.key, graceful=place.kind.kind == "Pod")
        self._answer_object(place, gone)

    # ---- parts

    def _read(self) -> tuple[Place | None, Object, dict[str, str]]:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        place = place_of(url.path)
        if place is None:
            self._refuse(404, "NotFound", url.path)
        given = yaml.safe_load(body) if body[:1] in (b"{", b"a", b"k", b"m") else {}
        return place, given, {name: values[0] for name, values in parse_qs(url.query).items()}

    def _found(self, place: Place) -> Object | None:
        found = self.store.get(place.key)
        if found is None and place.kind.kind == "Namespace":  # every namespace is there
            return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": place.name}}
        return found

    def _matcher(self, place: Place, asked: Mapping[str, str]) -> Callable[[Key, Object], bool]:
        labels = _selected(asked.get("labelSelector", ""))
        name = asked.get("fieldSelector", "").partition("metadata.name=")[2].split(",")[0]

        def matches(key: Key, about: Object) -> bool:
            return (
                (key.group, key.plural) == (place.group, place.kind.plural)
                and place.namespace in ("", key.namespace)
                and name in ("", key.name)
                and labels(about["metadata"].get("labels") or {})
            )

        return matches

    def _list(self, place: Place, asked: Mapping[str, str]) -> None:
        items = self.store.list(place.group, place.kind.plural, self._matcher(place, asked))
        meta = {"resourceVersion": str(self.store.version)}
        self._answer(200, {"kind": f"{place.kind.kind}List", "apiVersion": place.api, "metadata": meta, "items": items})

    def _watch(self, place: Place, asked: Mapping[str, str]) -> None:
        def mark(meta: Object) -> Object:
            noted = {**meta, "annotations": {"k8s.io/initial-events-end": "true"}}
            return {"kind": place.kind.kind, "apiVersion": place.api, "metadata": noted}

        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + min(float(asked.get("timeoutSeconds", _WATCH_S)), _WATCH_S)
        initial = mark if asked.get("sendInitialEvents") == "true" else None
        with self.store.watching(self._matcher(place, asked), initial=initial) as watch:
            try:
                while time.monotonic() < end:
                    try:
                        event = watch.events.get(timeout=_LOOK_S)
                    except queue.Empty:
                        continue
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True  # the client has seen enough

    def _answer(self, code: int, about: Object) -> None:
        self._send(code, "application/json", json.dumps(about).encode())

    def _answer_text(self, text: str) -> None:
        self._send(200, "text/plain", text.encode())

    def _answer_object(self, place: Place, found: Object | None) -> None:
        if found is None:
            self._refuse(404, "NotFound", f'{place.kind.plural} "{place.name}" not found')
        else:
            self._answer(200, found)

    def _refuse(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self._answer(code, {**status, "reason": reason, "message": message, "code": code})

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _patch(found: Object, given: Object) -> None:
    """A JSON merge patch."""
    for name, value in given.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict) and isinstance(found.get(name), dict):
            _patch(found[name], value)
        else:
            found[name] = value


def _discovery(path: str) -> Any:
    """What the server tells of itself, or None if `path` is about something else."""
    if path in _FIXED:
        return _FIXED[path]
    if path == "/apis":
        groups = [(group, {"groupVersion": f"{group}/{v}", "version": v}) for group, v in KINDS if group]
        listed = [{"name": name, "versions": [version], "preferredVersion": version} for name, version in groups]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    if path == "/openapi/v3":
        roots = [root_of(*each) for each in KINDS]
        return {"paths": {root.lstrip("/"): {"serverRelativeURL": f"/openapi/v3{root}"} for root in roots}}
    for (group, version), kinds in KINDS.items():
        if path == root_of(group, version):
            return _resources(group, version, kinds)
        if path == f"/openapi/v3{root_of(group, version)}":
            return _openapi(group, version, kinds)
    return None


def _resources(group: str, version: str, kinds: tuple[Kind, ...]) -> Object:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [
            {
                "name": kind.plural,
                "singularName": kind.kind.lower(),
                "kind": kind.kind,
                "namespaced": kind.namespaced,
                "shortNames": [kind.short] if kind.short else [],
                "verbs": list(_OFFERS),
            }
            for kind in kinds
        ],
    }


def _openapi(group: str, version: str, kinds: tuple[Kind, ...]) -> Object:
    """Enough for clients to see that the server checks fields itself; else they ask for all descriptions."""
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _PARAMETERS]
    return {
        "openapi": "3.0.0",
        "info": {"title": "toy", "version": "1"},
        "paths": {
            f"{root_of(group, version)}/{kind.plural}/{{name}}": {
                "patch": {
                    "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind.kind},
                    "parameters": parameters,
                    "responses": {},
                }
            }
            for kind in kinds
        },
    }
