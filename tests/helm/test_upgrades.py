"""What an upgrade finds in the cluster, it keeps; what it may not change, it refuses."""

from __future__ import annotations

import base64
from typing import Any, Final

import pytest
from cryptography import x509

from tests.helm.charts import NAMESPACE, RELEASE, Refused, render
from tests.helm.lookups import cluster
from tests.helm.pods import Object, find, of_kind

ACCOUNT: Final[Object] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}


def upgrade(values: dict[str, Any], found: list[Object]) -> list[Object]:
    """Render for a cluster in which `found` stands, as objects of the release."""
    owned = {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": NAMESPACE}
    for each in found:
        each["metadata"]["annotations"] = {**each["metadata"].get("annotations", {}), **owned}
    with cluster([ACCOUNT, *found], NAMESPACE) as url:
        return render(values, url=url)


def test_another_number_of_voters_is_refused() -> None:
    found = of_kind(render({}), "StatefulSet")
    with pytest.raises(Refused, match=r"voters.replicas is 5, but this release runs with 3, .*helm uninstall"):
        upgrade({"voters": {"replicas": 5}}, found)


def test_voters_that_were_scaled_by_hand_come_back() -> None:
    (found,) = of_kind(render({}), "StatefulSet")
    found["spec"]["replicas"] = 0
    (voters,) = of_kind(upgrade({}, [found]), "StatefulSet")
    assert voters["spec"]["replicas"] == 3


def test_certificates_of_nodes_are_kept_and_only_new_nodes_get_one() -> None:
    before = of_kind(render({}), "Secret")
    after = upgrade({"observers": {"replicas": 2}}, before)
    old, new = (find(each, "Secret", "router-wampha-peer-tls")["data"] for each in (before, after))
    assert old.items() <= new.items()
    assert new.keys() - old.keys() == {f"router-wampha-observer-{n}.{end}" for n in (0, 1) for end in ("crt", "key")}
    authority = x509.load_pem_x509_certificate(base64.b64decode(old["ca.crt"]))
    for name in new.keys() - {"ca.crt"}:
        if name.endswith(".crt"):
            x509.load_pem_x509_certificate(base64.b64decode(new[name])).verify_directly_issued_by(authority)
    assert (
        find(before, "Secret", "router-wampha-peer-ca")["data"]
        == find(after, "Secret", "router-wampha-peer-ca")["data"]
    )


def test_certificates_that_were_deleted_are_made_anew_by_the_same_authority() -> None:
    before = of_kind(render({}), "Secret")
    after = upgrade({}, [find(before, "Secret", "router-wampha-peer-ca")])
    old, new = (find(each, "Secret", "router-wampha-peer-tls")["data"] for each in (before, after))
    assert old["ca.crt"] == new["ca.crt"] and old["router-wampha-0.crt"] != new["router-wampha-0.crt"]


def test_certificates_of_another_authority_are_replaced() -> None:
    stale = find(render({}), "Secret", "router-wampha-peer-tls")
    new = find(upgrade({}, [stale]), "Secret", "router-wampha-peer-tls")["data"]
    assert not new.items() & stale["data"].items()


def test_the_secret_of_the_cluster_is_kept() -> None:
    values = {"peerTls": {"enabled": False}}
    before = of_kind(render(values), "Secret")
    assert of_kind(upgrade(values, before), "Secret")[0]["data"] == before[0]["data"]
    assert len(base64.b64decode(before[0]["data"]["secret"])) == 48


def test_the_number_of_observers_is_left_to_who_scales_them() -> None:
    values = {"observers": {"autoscaling": {"enabled": True}}}
    first = find(render(values), "StatefulSet", "router-wampha-observer")
    assert "replicas" not in first["spec"]
    first["spec"]["replicas"] = 4
    assert find(upgrade(values, [first]), "StatefulSet", "router-wampha-observer")["spec"]["replicas"] == 4


MISSING: Final[list[tuple[dict[str, Any], str, str]]] = [
    ({"tls": {"enabled": True, "existingSecret": "router-tls"}}, "tls.existingSecret", "router-tls"),
    ({"peerTls": {"existingSecret": "node-tls"}}, "peerTls.existingSecret", "node-tls"),
    ({"clusterSecret": {"existingSecret": "cluster"}}, "clusterSecret.existingSecret", "cluster"),
    ({"secrets": {"env": {"TICKET": {"secret": "tickets", "key": "a"}}}}, "secrets.env.TICKET", "tickets"),
    ({"secrets": {"files": {"app": "app-secrets"}}}, "secrets.files.app", "app-secrets"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "where", "name"), MISSING, ids=[where for _, where, _ in MISSING])
def test_a_secret_that_is_missing_is_said_before_pods_wait_for_it(
    values: dict[str, Any], where: str, name: str
) -> None:
    with pytest.raises(Refused, match=f"{where} names the secret .{name}.*kubectl create secret"):
        upgrade(values, [])
    later = {**values, "secrets": {**values.get("secrets", {}), "mustExist": False}}
    assert upgrade(later, [])


def test_a_secret_that_is_there_is_used() -> None:
    there = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "node-tls"}, "data": {}}
    assert upgrade({"peerTls": {"existingSecret": "node-tls"}}, [there])
