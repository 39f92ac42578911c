"""A Kubernetes that only answers questions: what stands in it is what the test says. For charts that look things up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from tests.helm.pods import Object

# By group and version: plural, kind, namespaced.
RESOURCES: Final[dict[str, list[tuple[str, str]]]] = {
    "v1": [
        ("pods", "Pod"),
        ("services", "Service"),
        ("configmaps", "ConfigMap"),
        ("secrets", "Secret"),
        ("serviceaccounts", "ServiceAccount"),
    ],
    "apps/v1": [("statefulsets", "StatefulSet")],
    "autoscaling/v2": [("horizontalpodautoscalers", "HorizontalPodAutoscaler")],
    "policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget")],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy"), ("ingresses", "Ingress")],
}


@contextmanager
def cluster(objects: list[Object], namespace: str) -> Iterator[str]:
    """Run one that has these objects in the namespace; yields its URL."""
    plurals = {kind: plural for kinds in RESOURCES.values() for plural, kind in kinds}
    found = {
        f"{_root(each['apiVersion'])}/namespaces/{namespace}/{plurals[each['kind']]}/{each['metadata']['name']}": each
        for each in objects
    }

    class Handler(_Handler):
        answers: Final = {**_discovery(), **found}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answers: dict[str, Any]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in self.answers:
            self._answer(200, self.answers[path])
        else:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            self._answer(404, {**status, "message": f"{path} not found"})

    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(405, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "MethodNotAllowed"})

    do_POST = do_PUT = do_PATCH = do_DELETE = _refuse  # noqa: N815 - http.server's names

    def _answer(self, code: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _discovery() -> dict[str, Any]:
    groups = [
        {"name": version.split("/")[0], "versions": [said], "preferredVersion": said}
        for version in RESOURCES
        if "/" in version
        for said in [{"groupVersion": version, "version": version.split("/")[1]}]
    ]
    lists = {
        _root(version): {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": [
                {
                    "name": plural,
                    "singularName": kind.lower(),
                    "namespaced": True,
                    "kind": kind,
                    "verbs": ["get", "list"],
                }
                for plural, kind in kinds
            ],
        }
        for version, kinds in RESOURCES.items()
    }
    # Helm leaves it to the server to know an object's fields if every PATCH says that the server does.
    validating = {
        f"/openapi/v3{_root(version)}": {
            "openapi": "3.0.0",
            "info": {"title": "answers", "version": "1"},
            "paths": {f"{_root(version)}/{plural}/{{name}}": _patch(version, kind) for plural, kind in kinds},
        }
        for version, kinds in RESOURCES.items()
    }
    return {
        "/openapi/v3": {
            "paths": {
                _root(version)[1:]: {"serverRelativeURL": f"/openapi/v3{_root(version)}"} for version in RESOURCES
            }
        },
        **validating,
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0", "platform": "linux/amd64"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        **lists,
    }


def _patch(version: str, kind: str) -> dict[str, Any]:
    group, _, name = version.rpartition("/")
    parameters = [{"name": each, "in": "query", "schema": {"type": "string"}} for each in ("fieldValidation", "dryRun")]
    of = {"group": group, "version": name, "kind": kind}
    return {"patch": {"x-kubernetes-group-version-kind": of, "responses": {}, "parameters": parameters}}
