"""The toy Kubernetes where others rely on it: what an applier gave up goes, what others have set stays."""

from __future__ import annotations

from tests.helm.apiserver import place_of
from tests.helm.store import Key, Store, selects
from tests.helm.volumes import expanded

KEY = Key("apps", "statefulsets", "test", "router")


def test_what_is_applied_no_more_is_removed_and_what_others_set_stays() -> None:
    store = Store()
    store.apply(KEY, {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"template": {"x": 1}, "paused": True}})
    store.update(KEY, lambda found: found["spec"].update(replicas=4))
    applied, new = store.apply(KEY, {"metadata": {"labels": {"a": "3"}}, "spec": {"template": {"y": 2}}})
    assert not new
    assert applied["spec"] == {"template": {"y": 2}, "replicas": 4}
    assert applied["metadata"]["labels"] == {"a": "3"}


def test_a_change_of_the_spec_is_a_new_generation_and_a_status_is_none() -> None:
    store = Store()
    store.create(KEY, {"spec": {"replicas": 1}})
    store.update(KEY, lambda found: found.update(status={"replicas": 1}))
    assert store.get(KEY)["metadata"]["generation"] == 1  # type: ignore[index]
    store.update(KEY, lambda found: found["spec"].update(replicas=2))
    assert store.get(KEY)["metadata"]["generation"] == 2  # type: ignore[index]


def test_a_watch_begins_with_what_there_is_and_a_mark() -> None:
    store = Store()
    store.create(KEY, {"spec": {}})
    with store.watching(lambda *_: True, initial=lambda meta: {"metadata": meta}) as watch:
        store.delete(KEY)
        kinds = [watch.events.get(timeout=1)["type"] for _ in range(3)]
    assert kinds == ["ADDED", "BOOKMARK", "DELETED"]


def test_an_empty_selector_chooses_nothing() -> None:
    pod = {"metadata": {"labels": {"app": "router", "role": "voter"}}}
    assert selects({"app": "router"}, pod) and selects({"matchLabels": {"role": "voter"}}, pod)
    assert not selects({}, pod) and not selects(None, pod) and not selects({"app": "other"}, pod)


def test_paths_name_objects() -> None:
    place = place_of("/apis/apps/v1/namespaces/test/statefulsets/router/status")
    assert place is not None and place.key == KEY and place.part == "status" and place.api == "apps/v1"
    assert place_of("/api/v1/namespaces/test") is not None
    assert place_of("/apis/example.org/v1/things") is None


def test_variables_stand_for_others_that_are_known() -> None:
    assert expanded("$(POD).peers:$(PORT)", {"POD": "router-0"}) == "router-0.peers:$(PORT)"
