"""The controller of StatefulSets of a toy Kubernetes, with the order that the real one keeps.

Missing pods are created at once (`podManagementPolicy: Parallel`); an update replaces one pod at a time, from the
highest ordinal down, and goes on when that pod was Ready for `minReadySeconds`; it never asks how lower ones are.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import time
from typing import Final

from tests.helm.store import PODS, STATEFUL_SETS, Key, Object, Store, is_ready

LOOK_S: Final = 0.1
_REVISION: Final = "controller-revision-hash"


class StatefulSets:
    """Use as a context manager; it acts while it is open."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store
        self._ready_since: Final[dict[str, float]] = {}  # uid of a pod
        self._current: Final[dict[str, str]] = {}  # uid of a set -> the revision that all its pods had
        self._ending: Final = threading.Event()
        self._failure: BaseException | None = None
        self._thread: Final = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> StatefulSets:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._ending.wait(LOOK_S):
                sets = self._store.list(*STATEFUL_SETS)
                for each in sets:
                    self._reconcile(each)
                self._collect({each["metadata"]["uid"] for each in sets})
        except BaseException as failure:
            self._failure = failure

    def _collect(self, living: set[str]) -> None:
        """End pods whose set is no more."""
        for pod in self._store.list(*PODS):
            owners = {owner["uid"] for owner in pod["metadata"].get("ownerReferences", [])}
            if owners and not owners & living:
                self._delete(pod)

    def _reconcile(self, workload: Object) -> None:
        spec, revision = workload["spec"], revision_of(workload)
        replicas = spec.get("replicas", 1)
        pods = {ordinal_of(pod): pod for pod in self._pods_of(workload)}
        for ordinal in range(replicas):
            if ordinal not in pods:
                self._create(workload, ordinal, revision)
        for ordinal, pod in pods.items():
            if ordinal >= replicas:
                self._delete(pod)
        if len(pods) == replicas and all(ordinal < replicas for ordinal in pods):
            self._roll(workload, pods, revision)
        self._report(workload, list(pods.values()), revision)

    def _roll(self, workload: Object, pods: dict[int, Object], revision: str) -> None:
        strategy = workload["spec"].get("updateStrategy", {})
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return
        last = strategy.get("rollingUpdate", {}).get("partition", 0)
        for ordinal in sorted(pods, reverse=True):
            if ordinal < last:
                return
            pod = pods[ordinal]
            if pod["metadata"]["labels"][_REVISION] != revision and not _ends(pod):
                self._delete(pod)
                return
            if not self._available(workload, pod):
                return

    def _available(self, workload: Object, pod: Object) -> bool:
        uid = pod["metadata"]["uid"]
        if not is_ready(pod) or _ends(pod):
            self._ready_since.pop(uid, None)
            return False
        since = self._ready_since.setdefault(uid, time.monotonic())
        settled_s: float = workload["spec"].get("minReadySeconds", 0)
        return time.monotonic() - since >= settled_s

    def _pods_of(self, workload: Object) -> list[Object]:
        uid = workload["metadata"]["uid"]
        owned = self._store.list(*PODS)
        return [pod for pod in owned if uid in {own["uid"] for own in pod["metadata"].get("ownerReferences", [])}]

    def _create(self, workload: Object, ordinal: int, revision: str) -> None:
        meta, spec = workload["metadata"], workload["spec"]
        assert not spec.get("volumeClaimTemplates"), "this toy has no persistent volumes"
        template, name = copy.deepcopy(spec["template"]), f"{meta['name']}-{ordinal}"
        labels = {
            **template["metadata"].get("labels", {}),
            _REVISION: revision,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
        }
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": meta["name"], "uid": meta["uid"]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "labels": labels, "ownerReferences": [{**owner, "controller": True}]},
            "spec": {**template["spec"], "hostname": name, "subdomain": spec.get("serviceName", "")},
            "status": {"phase": "Pending"},
        }
        self._store.create(Key(*PODS, meta["namespace"], name), pod)

    def _delete(self, pod: Object) -> None:
        if not _ends(pod):
            self._store.delete(Key(*PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]), graceful=True)

    def _report(self, workload: Object, pods: list[Object], revision: str) -> None:
        meta, replicas = workload["metadata"], workload["spec"].get("replicas", 1)
        updated = sum(pod["metadata"]["labels"][_REVISION] == revision for pod in pods)
        if updated == len(pods) == replicas:
            self._current[meta["uid"]] = revision
        current = self._current.get(meta["uid"], revision)
        status = {
            "observedGeneration": meta["generation"],
            "replicas": len(pods),
            "readyReplicas": sum(is_ready(pod) and not _ends(pod) for pod in pods),
            "availableReplicas": sum(self._available(workload, pod) for pod in pods),
            "updatedReplicas": updated,
            "currentReplicas": sum(pod["metadata"]["labels"][_REVISION] == current for pod in pods),
            "currentRevision": current,
            "updateRevision": revision,
        }
        key = Key(*STATEFUL_SETS, meta["namespace"], meta["name"])
        self._store.update(key, lambda found: found.update(status=status))


def revision_of(workload: Object) -> str:
    """A name for what pods are made from."""
    template = json.dumps(workload["spec"]["template"], sort_keys=True)
    return f"{workload['metadata']['name']}-{hashlib.sha256(template.encode()).hexdigest()[:10]}"


def ordinal_of(pod: Object) -> int:
    """The number at the end of its name."""
    return int(pod["metadata"]["name"].rpartition("-")[2])


def _ends(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
