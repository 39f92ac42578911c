"""The Helm chart, without a cluster: rendered by real Helm, validated by Kubernetes' schemas, read as a node would."""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from helm import generate
from tests.helm.charts import CHART, NAMESPACE, RELEASE, Refused, lint, notes, render
from tests.helm.pods import Object, configuration, environment, find, lay_out, of_kind
from wampha import __version__
from wampha.certs import Authority, write
from wampha.config.difference import differences
from wampha.config.load import load
from wampha.config.schema import Settings

CASES: Final = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CHART / "ci").glob("*.yaml"))}
KUBERNETES: Final = ("1.30", "1.33", "1.37")
CUSTOM: Final = yaml.safe_load((Path(__file__).parent / "schemas" / "custom.yaml").read_text())
NODES: Final = {"app.kubernetes.io/name": "wampha", "app.kubernetes.io/instance": RELEASE, "wampha/node": "true"}


@pytest.fixture(scope="module", params=CASES)
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    case: dict[str, Any] = CASES[request.param]
    return case


@pytest.fixture(scope="module")
def objects(values: dict[str, Any]) -> list[Object]:
    return render(values)


def sets(objects: list[Object]) -> list[Object]:
    return of_kind(objects, "StatefulSet")


def voters(objects: list[Object]) -> Object:
    (found,) = [each for each in sets(objects) if each["metadata"]["labels"]["app.kubernetes.io/component"] == "voter"]
    return found


def nodes(objects: list[Object]) -> list[tuple[str, Object]]:
    """Each node's name, and its pod."""
    return [
        (f"{each['metadata']['name']}-{ordinal}", each["spec"]["template"])
        for each in sets(objects)
        for ordinal in range(each["spec"].get("replicas", 1))
    ]


def router(template: Object) -> Object:
    (container,) = [each for each in template["spec"]["containers"] if each["name"] == "wampha"]
    return dict(container)


# ---- valid


def test_lint_finds_nothing(values: dict[str, Any]) -> None:
    assert lint(values) == []


@functools.cache  # the cases have many objects in common
def accept(text: str) -> None:
    """Validate an object, given as JSON, for each version of Kubernetes."""
    for version in KUBERNETES:
        kubernetes_validate.validate(json.loads(text), version, strict=True)


def test_kubernetes_accepts_every_object(objects: list[Object]) -> None:
    for each in objects:
        kind = f"{each['apiVersion']}/{each['kind']}"
        if kind in CUSTOM:
            jsonschema.validate(each["metadata"], CUSTOM["$defs"]["metadata"])
            jsonschema.validate(each["spec"], {**CUSTOM[kind], "$defs": CUSTOM["$defs"]})
            continue
        accept(json.dumps(each))


def test_every_object_has_the_labels_of_the_release_and_a_name_of_its_own(objects: list[Object]) -> None:
    named = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(named) == len(set(named))
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/version"] == __version__
        assert all(len(value) <= 63 for value in labels.values())


def test_the_chart_has_the_version_of_the_program() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


# ---- who finds whom


def test_selectors_find_the_pods_that_they_mean(objects: list[Object]) -> None:
    templates = [each["spec"]["template"] for each in sets(objects)]
    for each in sets(objects):
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()
        others = [other for other in sets(objects) if other is not each]
        for other in others:
            assert (
                not each["spec"]["selector"]["matchLabels"].items()
                <= other["spec"]["template"]["metadata"]["labels"].items()
            )
    for service in of_kind(objects, "Service"):
        assert service["spec"]["selector"] == NODES
        assert all(NODES.items() <= template["metadata"]["labels"].items() for template in templates)
    for test in of_kind(objects, "Pod"):
        assert not NODES.items() <= test["metadata"]["labels"].items()


def test_every_port_of_a_service_is_one_of_the_pods(objects: list[Object]) -> None:
    for template in (each["spec"]["template"] for each in sets(objects)):
        ports = {port["name"]: port["containerPort"] for port in router(template)["ports"]}
        assert len(set(ports.values())) == len(ports)
        for service in of_kind(objects, "Service"):
            for port in service["spec"]["ports"]:
                assert ports[port["targetPort"]] == port["port"]
        probes = [router(template)[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]
        assert {probe["httpGet"]["port"] for probe in probes} <= ports.keys()
        assert [probe["httpGet"]["path"] for probe in probes] == ["/startupz", "/readyz", "/livez"]


def test_nodes_find_each_other_before_they_are_ready(objects: list[Object]) -> None:
    name = voters(objects)["metadata"]["name"]
    peers = find(objects, "Service", f"{name}-peers")
    assert peers["spec"]["clusterIP"] == "None" and peers["spec"]["publishNotReadyAddresses"]
    assert all(each["spec"]["serviceName"] == f"{name}-peers" for each in sets(objects))
    assert all(each["spec"]["podManagementPolicy"] == "Parallel" for each in sets(objects))
    assert "publishNotReadyAddresses" not in find(objects, "Service", name)["spec"]


def test_what_leads_clients_in_ends_at_a_port_of_the_service(objects: list[Object]) -> None:
    name = voters(objects)["metadata"]["name"]
    ports = {port["name"]: port["port"] for port in find(objects, "Service", name)["spec"]["ports"]}
    for ingress in of_kind(objects, "Ingress"):
        backends = [path["backend"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        assert all(each["service"]["name"] == name and each["service"]["port"]["name"] in ports for each in backends)
    for route in of_kind(objects, "HTTPRoute"):
        assert [(each["name"], each["port"]) for each in route["spec"]["rules"][0]["backendRefs"]] == [
            (name, ports["wamp"])
        ]


# ---- promises


def test_a_disruption_leaves_a_quorum(objects: list[Object], values: dict[str, Any]) -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "PodDisruptionBudget")}
    for each in sets(objects):
        name, labels = each["metadata"]["name"], each["spec"]["template"]["metadata"]["labels"]
        voters = each["spec"].get("replicas", 0) if labels["app.kubernetes.io/component"] == "voter" else 0
        if name in budgets:
            assert budgets[name]["selector"]["matchLabels"].items() <= labels.items()
            assert budgets[name]["maxUnavailable"] == 1
            assert not voters or voters - budgets[name]["maxUnavailable"] > voters // 2
        else:
            enabled = values.get("podDisruptionBudget", {}).get("enabled", True)
            assert not enabled or voters == 1 or labels["app.kubernetes.io/component"] == "observer"


def test_pods_have_the_time_that_they_need_to_stop(objects: list[Object]) -> None:
    deadline = configuration(objects)["node"]["drain"]["deadline_s"]
    for _, template in nodes(objects):
        before = router(template)["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert template["spec"]["terminationGracePeriodSeconds"] == before + math.ceil(deadline) + 5


def test_pods_are_restricted(objects: list[Object]) -> None:
    """Pod Security Standards, `restricted`: what each pod and container must and must not say."""
    specs = [template["spec"] for _, template in nodes(objects)] + [each["spec"] for each in of_kind(objects, "Pod")]
    for spec in specs:
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] and pod["runAsUser"] > 0 and pod["seccompProfile"]["type"] == "RuntimeDefault"
        assert spec["automountServiceAccountToken"] is False
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        assert all(
            {"configMap", "secret", "emptyDir", "projected"} & volume.keys() for volume in spec.get("volumes", ())
        )
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "hostPort" not in str(container.get("ports")) and ":latest" not in container["image"]
    for account in of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_pods_of_a_kind_keep_apart_unless_told_otherwise(objects: list[Object], values: dict[str, Any]) -> None:
    for each in sets(objects):
        spec, alike = each["spec"]["template"]["spec"], each["spec"]["selector"]
        for constraint in spec.get("topologySpreadConstraints", ()):
            assert constraint["labelSelector"] == alike
        if values.get("antiAffinity") == "none" or "affinity" in values:
            continue
        rules = spec["affinity"]["podAntiAffinity"]
        hard = rules.get("requiredDuringSchedulingIgnoredDuringExecution", [])
        soft = [term["podAffinityTerm"] for term in rules.get("preferredDuringSchedulingIgnoredDuringExecution", [])]
        (term,) = hard if values.get("antiAffinity") == "hard" else soft
        assert (term["topologyKey"], term["labelSelector"]) == ("kubernetes.io/hostname", alike)


def test_only_nodes_reach_the_port_of_nodes(objects: list[Object], values: dict[str, Any]) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    assert bool(policies) == values.get("networkPolicy", {}).get("enabled", True)
    for policy in policies:
        assert policy["spec"]["podSelector"]["matchLabels"] == NODES
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        rules = [rule for rule in policy["spec"]["ingress"] if {"port": "peers", "protocol": "TCP"} in rule["ports"]]
        assert [rule["from"] for rule in rules] == [[{"podSelector": {"matchLabels": NODES}}]]
        assert all(rule.get("ports") for rule in policy["spec"]["ingress"])  # without, all ports would be open
        open_to = [rule for rule in policy["spec"]["ingress"] if {"port": "wamp", "protocol": "TCP"} in rule["ports"]]
        assert ["from" in rule for rule in open_to] == ["clients" in values.get("networkPolicy", {})]


def test_a_restart_hides_nothing_from_the_next_process(objects: list[Object]) -> None:
    """The folder of the death certificate lives as long as the pod, and is the only place that a node writes to."""
    assert configuration(objects)["node"]["run_dir"] == "/run/wampha"
    for _, template in nodes(objects):
        writable = [mount for mount in router(template)["volumeMounts"] if not mount.get("readOnly")]
        assert writable[0] == {"name": "run", "mountPath": "/run/wampha"}
        assert find_volume(template, "run")["emptyDir"]["medium"] == "Memory"


def find_volume(template: Object, name: str) -> Object:
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == name]
    return dict(volume)


# ---- what a node is told


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The secrets that the cases name and the chart does not make."""
    folder = tmp_path_factory.mktemp("authority")
    authority = Authority.new(30)
    names = [f"{name}-{n}" for name in ("router-wampha", "router-wampha-observer") for n in range(5)]
    files = {"ca.crt": authority.certificate.public_bytes(Encoding.PEM)}
    for name in ["all", *names]:
        write(folder, name, *authority.sign(name, names if name == "all" else (), 30))
        pair = ("tls.crt", "tls.key") if name == "all" else (f"{name}.crt", f"{name}.key")
        files.update(
            zip(pair, ((folder / f"{name}.pem").read_bytes(), (folder / f"{name}.key").read_bytes()), strict=True)
        )
    return {
        "router-tls": files, "node-tls": files, "router-wampha-tls": files, "router-wampha-peer-tls": files,
        "app-secrets": {"joe": b"a secret of an app\n"},
    }  # fmt: skip


SECRETS: Final = {("cluster", "token"): "t" * 32, ("tickets", "device7"): "ticket", ("tickets", "tester"): "ticket"}


def test_every_node_can_use_its_configuration(
    objects: list[Object], values: dict[str, Any], foreign: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    made = [] if values.get("peerTls", {}).get("enabled", True) else of_kind(objects, "Secret")
    secrets = {**SECRETS, **{(each["metadata"]["name"], key): "s" * 48 for each in made for key in each["data"]}}
    given = foreign if {"tls", "peerTls"} & values.keys() else {}
    for name, template in nodes(objects):
        settings = settled(objects, (name, template), tmp_path / name, foreign=given, secrets=secrets)
        assert settings.node.name == name
        assert settings.cluster is not None
        decide = {voter.name: voter.address for voter in settings.cluster.voters}
        is_voter = template["metadata"]["labels"]["app.kubernetes.io/component"] == "voter"
        assert (name in decide) == is_voter
        assert not is_voter or decide[name] == settings.cluster.advertise
        assert len(decide) == voters(objects)["spec"]["replicas"]


def settled(
    objects: list[Object],
    node: tuple[str, Object],
    folder: Path,
    *,
    foreign: dict[str, dict[str, bytes]],
    secrets: dict[tuple[str, str], str],
) -> Settings:
    """What wampha reads in that pod, whose files are laid out in a folder."""
    name, template = node
    lay_out(objects, template, folder, foreign)
    container = router(template)
    assert container["args"] == ["-c", "/etc/wampha/config.yaml"]
    variables = environment(container, name, secrets)
    file = folder / "etc/wampha/config.yaml"
    file.write_text(re.sub(r"(?<=[ :])/etc/wampha", f"{folder}/etc/wampha", file.read_text()))
    told = {key: value.replace("/etc/wampha-tls", f"{folder}/etc/wampha-tls") for key, value in variables.items()}
    return load(file, told)


def test_the_values_of_the_readme_make_a_cluster(foreign: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", (CHART / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    objects = render(yaml.safe_load(shown))
    own = {name: files for name, files in foreign.items() if name == "router-tls"}
    settings = settled(objects, nodes(objects)[0], tmp_path / "pod", foreign=own, secrets=SECRETS)
    (listener,) = settings.listeners
    assert listener.tls and listener.auth.anonymous is None and listener.auth.ticket


def test_roles_whose_names_only_a_node_knows_are_left_to_it() -> None:
    assert render({"config": {"realms": [{"name": "a", "roles": [{"name": {"env": "ROLE"}}]}]}})


def test_numbers_arrive_as_they_are() -> None:
    limits = configuration(render({"config": {"limits": {"message_bytes_max": 10485760}}}))["limits"]
    assert limits == {"message_bytes_max": 10485760}


def test_a_listener_of_the_values_is_one_of_the_configuration() -> None:
    first, second = configuration(render(CASES["tls"]))["listeners"]
    assert (first["endpoint"], "tls" in first, first["protocols"]) == ("tcp:8081", False, ["rawsocket"])
    assert (second["endpoint"], second["tls"]["client_certificate"]) == ("tcp:8443", "optional")
    assert set(second["auth"]) == {"ticket", "wampcra"}


def test_certificates_of_a_secret_of_one_pair_are_that_pair() -> None:
    (template, *_) = [each["spec"]["template"] for each in sets(render({"peerTls": {"existingSecret": "node-tls"}}))]
    variables = {entry["name"]: entry.get("value") for entry in router(template)["env"]}
    assert variables["WAMPHA_PEER_CERTIFICATE"] == "/etc/wampha-tls/peers/tls.crt"


# ---- what restarts nodes

TICKET: Final = {"principals": {"joe": {"ticket": "a", "role": "anonymous"}}}
CHANGES: Final[list[dict[str, Any]]] = [
    {"config": {"realms": [{"name": "realm2", "roles": [{"name": "anonymous"}]}]}},
    {"config": {"log": {"level": "debug"}}},
    {"config": {"node": {"drain": {"spread_s": 9}}}},
    {"config": {"limits": {"session_calls_max": 100}}},
    {"config": {"limits": {"message_bytes_max": 100000}}},
    {"config": {"cluster": {"election_timeout_s": 1}}},
    {"listeners": {"wamp": {"auth": {"anonymous": None, "ticket": TICKET}}}},
    {"listeners": {"wamp": {"auth": {"ticket": TICKET, "cookie": {}}}}},
    {"listeners": {"wamp": {"port": 8090}}},
    {"listeners": {"wamp": {"protocols": ["websocket"]}}},
    {"listeners": {"more": {"port": 8090, "auth": {"anonymous": {"role": "anonymous"}}}}},
    {"ipv6": True},
    {"peerTls": {"enabled": False}},
]  # fmt: skip


def checksum(objects: list[Object]) -> str:
    (sum_,) = {template["metadata"]["annotations"]["checksum/config"] for _, template in nodes(objects)}
    return str(sum_)


def settings_of(objects: list[Object], folder: Path) -> Settings:
    """The settings of the first voter."""
    folder.mkdir()
    return settled(
        objects, nodes(objects)[0], folder, foreign={}, secrets={("router-wampha-cluster", "secret"): "s" * 48}
    )


@pytest.mark.parametrize("values", CHANGES, ids=[str(values)[:70] for values in CHANGES])
def test_nodes_restart_when_and_only_when_they_cannot_take_over_a_change(
    values: dict[str, Any], tmp_path: Path
) -> None:
    before, after = render({}), render(values)
    found = differences(settings_of(before, tmp_path / "before"), settings_of(after, tmp_path / "after"))
    changed = [each for each in found if each.path[:2] != ("cluster", "tls")]  # only the folders of this test differ
    assert changed or values == {"peerTls": {"enabled": False}}
    needed = any(not each.live for each in changed) or values == {"peerTls": {"enabled": False}}
    assert (checksum(before) != checksum(after)) == needed, [str(each) for each in changed]


def test_another_minimum_of_tls_restarts_nobody_and_tls_itself_does() -> None:
    encrypted = {"tls": {"enabled": True, "existingSecret": "router-tls"}}
    stricter = {"tls": {**encrypted["tls"], "minimumVersion": "1.3"}}
    assert checksum(render(encrypted)) == checksum(render(stricter)) != checksum(render({}))


def test_rendering_twice_restarts_nobody() -> None:
    assert checksum(render({})) == checksum(render({}))


# ---- values that are refused

REFUSED: Final[list[tuple[dict[str, Any], str]]] = [
    ({"voters": {"replicas": 2}}, "voters/replicas"),
    ({"voters": {"replicas": 7}}, "voters/replicas"),
    ({"voters": {"replicas": "3"}}, "voters/replicas"),
    ({"replicas": 3}, "replicas"),
    ({"observers": {"replicas": -1}}, "observers/replicas"),
    ({"observers": {"autoscaling": {"enabled": True, "minReplicas": 4, "maxReplicas": 2}}}, "minReplicas must not"),
    ({"config": {"realm": []}}, "realm"),
    ({"config": {"node": {"name": "node-0"}}}, "name"),
    ({"config": {"node": {"drain": {"deadline_s": 0}}}}, "deadline_s"),
    ({"config": {"node": {"drain": {"deadline_s": {"env": "DEADLINE"}}}}}, "must be a number here"),
    ({"config": {"node": {"drain": {"spread_s": 60}}}}, "should be at least spread_s + answer_s + 5 (67)"),
    ({"config": {"realms": [{"name": "a", "roles": [{"name": "guest"}]}]}}, 'the role "anonymous", but the roles'),
    ({"listeners": {"wamp": {"auth": {"ticket": {"principals": {"joe": {"ticket": "a", "role": "b"}}}}}}}, '"b"'),
    ({"listeners": {"wamp": {"auth": {"anonymous": None}}}}, "nobody could join at listeners.wamp"),
    ({"config": {"cluster": {"voters": []}}}, "voters"),
    ({"config": {"cluster": {"election_timeout_s": 9}}}, "election_timeout_s"),
    ({"config": {"limits": {"nesting_depth_max": 100000}}}, "nesting_depth_max"),
    ({"config": {"limits": {"nestingDepthMax": 10}}}, "nestingDepthMax"),
    ({"config": {"realms": []}}, "realms"),
    ({"config": {"realms": [{"name": "realm1", "roles": [{"name": "a", "permission": []}]}]}}, "permission"),
    ({"config": {"log": {"level": "loud"}}}, "level"),
    ({"listeners": {"wamp": {"port": 80}}}, "port"),
    ({"listeners": {"wamp": {"port": 8071}}}, "the nodes' own port"),
    ({"listeners": {"wamp": {"port": 9180}}}, "the port of health and metrics"),
    ({"listeners": {"more": {"port": 8080, "auth": {"anonymous": {"role": "anonymous"}}}}}, "that of listeners.more"),
    ({"listeners": {"wamp": {"endpoint": "tcp:8080"}}}, "endpoint"),
    ({"listeners": {"wamp": {"enabled": False}}}, "no client could connect"),
    ({"listeners": {"a-name-that-is-too-long": {"port": 8090, "auth": {}}}}, "a-name-that-is-too-long"),
    ({"listeners": {"peers": {"port": 8090, "auth": {}}}}, "peers"),
    ({"listeners": {"wamp": {"auth": {"ticket": {"principal": {}}}}}}, "principal"),
    ({"tls": {"enabled": True}}, "there is no certificate"),
    ({"tls": {"enabled": True, "existingSecret": "a", "certManager": {"enabled": True}}}, "choose one"),
    ({"peerTls": {"certManager": {"enabled": True}}}, "issuerRef.name is missing"),
    ({"ingress": {"enabled": True, "listener": "wss"}}, "listeners has only: wamp"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"tags": "1"}}, "tags"),
    ({"service": {"type": "ExternalName"}}, "type"),
    ({"secrets": {"env": {"1BAD": {"secret": "a", "key": "b"}}}}, "1BAD"),
    ({"secrets": {"env": {"TICKET": {"secret": "a"}}}}, "key"),
    ({"fullnameOverride": "Router"}, "fullnameOverride"),
    ({"minReadySeconds": -5}, "minReadySeconds"),
    ({"antiAffinity": "maybe"}, "antiAffinity"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "words"), REFUSED, ids=[str(values)[:70] for values, _ in REFUSED])
def test_a_value_that_cannot_be_meant_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=re.escape(words)):
        render(values)


# ---- generated files


def test_every_value_has_a_text() -> None:
    assert [value.path for value in generate.values() if not value.text and not value.is_section] == []


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    schema = generate.schema()["properties"]
    given = yaml.safe_load((CHART / "values.yaml").read_text())
    assert schema.keys() - {"global"} == given.keys()
    for name, section in schema.items():
        own = "$ref" not in section and section.get("additionalProperties") is False and name != "config"
        if own:
            assert section["properties"].keys() == given[name].keys(), name


# ---- notes


def test_the_notes_warn_of_what_is_for_trying_out() -> None:
    told = notes({"voters": {"replicas": 1}, "peerTls": {"enabled": False}})
    for word in ("Anybody who can connect", "not encrypted", "One voter survives nothing", "Nodes do not encrypt"):
        assert word in told
    assert f"kubectl --namespace {NAMESPACE} rollout status statefulset/{RELEASE}-wampha" in told
    assert f"helm test {RELEASE} --namespace {NAMESPACE}" in told


def test_the_notes_do_not_warn_without_reason() -> None:
    values = CASES["tls"] | {"listeners": {"wamp": CASES["tls"]["listeners"]["wamp"]}}
    told = notes(values)
    assert "Before others depend on it" not in told
    assert "wss://router-wampha.infra.svc.cluster.local:8443/ws" in told and "wss://wamp.example.org/ws" in told
