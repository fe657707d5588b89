"""k8s_helm: releases as Helm itself recorded them, redacted, and what has drifted from them."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from controlplane.control_plane import ControlPlane
from controlplane.users import rule
from helm_records import packed, release, store
from mcp_tools.answer_budget import answer_tokens
from mcp_tools.helm_releases import MAX_RELEASE_BYTES
from mcp_tools.server_policy import ServerPolicy, rules_of
from mcp_tools.tool_declaration import ToolAnswer
from secret_canaries import leaks
from server_fixtures import ToolClient, text_of

NAMESPACE = "helm-releases"
SECRETS = {
    "in a Secret": "cnry-helm-secret-1",
    "in stringData": "cnry-helm-text-2",
    "in values": "cnry-helm-value-3",
    "env value": "cnry-helm-env-4",
    "in a default": "cnry-helm-default-5",
    "live in a Secret": "cnry-helm-live-6",
    "live env value": "cnry-helm-live-7",
    "in odd YAML": "cnry-helm-odd-8",
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def deployment(name: str, **container: Any) -> dict[str, Any]:
    labels = {"app": name}
    app: dict[str, Any] = {
        "name": "app",
        "image": "example/app:1",
        "env": [{"name": "GREETING", "value": SECRETS["env value"]}, {"name": "LEVEL", "value": "debug"}],
        "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {}},
        "ports": [{"containerPort": 80, "name": "http"}],
    } | container
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels | {"app.kubernetes.io/managed-by": "Helm"}},
        "spec": {
            "replicas": 2,
            "paused": False,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "creationTimestamp": None},
                "spec": {"containers": [app], "nodeSelector": {}, "volumes": None},
            },
        },
    }


HALF_A_CORE = {"type": "AverageValue", "averageValue": "0.5"}
WRITTEN: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"text": SECRETS["in stringData"]},
     "data": {"password": encoded(SECRETS["in a Secret"])}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"mode": "fast", "size": "1Gi"}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
     "spec": {"type": "ClusterIP", "clusterIP": "", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}},
    deployment("web"),
    {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
     "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3,
              "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": HALF_A_CORE}}]}},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "web"},
     "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
]  # fmt: skip
MANIFEST = "".join(f"---\n# Source: shop/templates/x.yaml\n{yaml.safe_dump(one, sort_keys=False)}" for one in WRITTEN)
CONFIG = {
    "replicas": 2,
    "image": {"repository": "example/app", "tag": "1"},
    "database": {"password": SECRETS["in values"], "host": "db.example"},
    "env": {"GREETING": SECRETS["env value"]},
}
DEFAULTS = {"replicas": 1, "adminPassword": SECRETS["in a default"], "image": {"pullPolicy": "Always"}, "gone": {"a": 1}}
NOTES = f"Log in with {SECRETS['in values']} or {SECRETS['in a Secret']}.\nThen open http://web.example/"


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    control_plane.create_namespace(NAMESPACE)
    common: dict[str, Any] = {"manifest": MANIFEST, "config": CONFIG, "values": DEFAULTS, "notes": NOTES}
    old = release(NAMESPACE, "shop", status="superseded", **common)
    failed = f'Upgrade "shop" failed: cannot log in with {SECRETS["in values"]}'
    for record in (
        old,
        release(NAMESPACE, "shop", revision=2, description="Upgrade complete", **common),
        release(NAMESPACE, "shop", revision=10, status="failed", description=failed, **common),
        release(NAMESPACE, "small", config={"gone": None}),
    ):
        store(control_plane.api, record)
    store(control_plane.api, release(NAMESPACE, "mapped", notes="from a ConfigMap"), kind="configmaps")
    control_plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=MANIFEST)
    yield control_plane
    control_plane.delete_namespace(NAMESPACE)


@pytest.fixture
def helm(tools: ToolClient, installed: ControlPlane) -> Callable[..., dict[str, Any]]:
    def call(what: str, name: str = "shop", **arguments: Any) -> dict[str, Any]:
        result = tools.result("k8s_helm", what=what, release=name, namespace=NAMESPACE, **arguments)
        assert not result.is_error, text_of(result)
        answer: dict[str, Any] = result.structured_content or {}
        return answer | {"text": text_of(result)}

    return call


# --- what was recorded ---


def test_releases_are_listed_by_their_newest_revision_troubled_ones_first(tools: ToolClient, installed: ControlPlane) -> None:
    answer = tools("k8s_helm", namespace=NAMESPACE)
    assert [(row["name"], row["revision"], row["status"]) for row in answer["rows"]] == [
        ("shop", 10, "failed"),
        ("mapped", 1, "deployed"),
        ("small", 1, "deployed"),
    ]
    assert answer["counts"] == {"failed": 1, "deployed": 2}
    small = answer["rows"][2]
    assert (small["chart"], small["app_version"], small["updated"]) == ("small-1.2.3", "4.5", "2026-05-01T10:00:00Z")
    everywhere = tools("k8s_helm", max_tokens=20000)
    assert {("helm-releases", "shop")} <= {(row["namespace"], row["name"]) for row in everywhere["rows"]}


def test_history_tells_each_revision_the_newest_first(helm: Callable[..., dict[str, Any]]) -> None:
    rows = helm("history")["rows"]
    assert [(row["revision"], row["status"]) for row in rows] == [(10, "failed"), (2, "deployed"), (1, "superseded")]
    assert rows[1]["description"] == "Upgrade complete"
    assert rows[0]["description"].startswith('Upgrade "shop" failed: cannot log in with ‹redacted:')


def test_status_tells_what_the_release_consists_of(helm: Callable[..., dict[str, Any]]) -> None:
    answer = helm("status", revision=2)
    assert answer["release"]["status"] == "deployed"
    assert answer["counts"] == dict.fromkeys(
        ("Secret", "ConfigMap", "Service", "Deployment", "HorizontalPodAutoscaler", "Role"), 1
    )
    assert "first deployed 2026-05-01T10:00:00" in answer["text"]


def test_values_are_those_that_were_given_or_all_of_them(helm: Callable[..., dict[str, Any]]) -> None:
    given = yaml.safe_load(helm("values")["text"].partition("\n")[2])
    assert given["image"] == {"repository": "example/app", "tag": "1"}
    assert given["database"]["host"] == "db.example"
    assert given["database"]["password"].startswith("‹redacted:")
    assert given["env"]["GREETING"].startswith("‹redacted:")
    merged = yaml.safe_load(helm("all_values")["text"].partition("\n")[2])
    assert merged["image"] == {"repository": "example/app", "tag": "1", "pullPolicy": "Always"}
    assert merged["replicas"] == 2
    assert helm("values", only="image.tag")["text"].endswith("\n'1'")
    assert helm("values", only="database")["text"].count("‹redacted:") == 1


def test_a_null_takes_a_default_away_and_no_values_are_said_to_be_none(helm: Callable[..., dict[str, Any]]) -> None:
    assert helm("all_values", "small")["note"] == "there are no all values"
    assert helm("values", "mapped")["note"] == "there are no values"


def test_the_manifest_is_shown_redacted_whole_or_one_object_of_it(helm: Callable[..., dict[str, Any]]) -> None:
    answer = helm("manifest")
    assert answer["shown"] == answer["total"] == len(WRITTEN)
    objects = list(yaml.safe_load_all(answer["text"].partition("\n")[2]))
    assert objects[1] == WRITTEN[1]
    assert objects[0]["data"]["password"].startswith("‹redacted:")
    one = helm("manifest", only="role/web")
    assert yaml.safe_load(one["text"].partition("---")[2]) == WRITTEN[5]
    assert "no object is called 'role/none'" in helm("manifest", only="role/none")["note"]


def test_notes_are_shown_without_the_secrets_of_the_release(helm: Callable[..., dict[str, Any]]) -> None:
    text = helm("notes")["text"]
    assert "Then open http://web.example/" in text
    assert text.count("‹redacted:") == 2
    assert helm("notes", "mapped")["text"].endswith("from a ConfigMap")


# --- drift ---


def test_a_release_as_it_was_written_has_not_drifted(helm: Callable[..., dict[str, Any]]) -> None:
    """Defaults, quantities in another form, empty fields, stringData: applied for real, and nothing differs."""
    answer = helm("drift")
    assert answer["release"]["revision"] == 2, "the one that is deployed, not the one that failed"
    assert answer["rows"] == []
    assert answer["counts"] == {"same": len(WRITTEN)}
    assert f"{len(WRITTEN)} objects: {len(WRITTEN)} as written" in answer["text"]


def test_only_the_drift_is_told(control_plane: ControlPlane, tools: ToolClient, fresh_namespace: str) -> None:
    store(control_plane.api, release(fresh_namespace, "shop", manifest=MANIFEST))
    control_plane.kubectl("apply", "-n", fresh_namespace, "-f", "-", stdin=MANIFEST)
    path = f"/api/v1/namespaces/{fresh_namespace}"
    live = SECRETS["live in a Secret"]
    control_plane.api.patch(f"{path}/secrets/keys", {"data": {"password": encoded(live), "more": "eA=="}})
    control_plane.api.patch(f"{path}/configmaps/settings", {"data": {"mode": "slow"}})
    control_plane.api.delete(f"{path}/services/web")
    env = [{"name": "GREETING", "value": SECRETS["live env value"]}, {"name": "NEW", "value": "x"}]
    template = {"spec": {"containers": [{"name": "app", "image": "example/app:2", "env": env}]}}
    control_plane.api.patch(
        f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments/web",
        {"spec": {"replicas": 5, "template": template}},
        "strategic",
    )
    result = tools.result("k8s_helm", what="drift", release="shop", namespace=fresh_namespace)
    answer = result.structured_content
    assert answer is not None
    rows = {(row["object"].partition("/")[0], row.get("path")): row for row in answer["rows"]}
    where = fresh_namespace
    app = "spec.template.spec.containers[app]"
    assert set(rows) == {
        (f"Secret {where}", "data.password"),
        (f"ConfigMap {where}", "data.mode"),
        (f"Service {where}", None),
        (f"Deployment {where}", "spec.replicas"),
        (f"Deployment {where}", f"{app}.image"),
        (f"Deployment {where}", f"{app}.env[GREETING].value"),
    }
    replicas = rows[(f"Deployment {where}", "spec.replicas")]
    assert (replicas["manifest"], replicas["live"]) == (2, 5)
    password = rows[(f"Secret {where}", "data.password")]
    assert password["manifest"] != password["live"]
    assert password["live"].startswith("‹redacted:")
    assert rows[(f"Service {where}", None)]["state"] == "missing"
    assert answer["counts"] == {"differs": 3, "missing": 1, "same": 2}
    assert answer["added"] == [f"Secret {where}/keys data.more", f"Deployment {where}/web {app}.env[NEW]"]
    said = json.dumps(answer, ensure_ascii=False) + text_of(result)
    assert [name for name, value in SECRETS.items() if leaks(said, value)] == []
    (only,) = tools("k8s_helm", what="drift", release="shop", namespace=where, only="ConfigMap/settings")["rows"]
    assert only["live"] == "slow"


def test_an_object_that_cannot_be_compared_costs_itself_only(
    control_plane: ControlPlane, tools: ToolClient, fresh_namespace: str
) -> None:
    documents = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {x: y}\n",
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: [\npassword: {SECRETS['in odd YAML']}\n",
        "apiVersion: nothing.example.com/v1\nkind: Thing\nmetadata:\n  name: a\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ../../secrets/x\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  namespace: a/b\n",
        "apiVersion: v1/../..\nkind: ConfigMap\nmetadata:\n  name: c\n",
        "apiVersion: apps/v1%2F..\nkind: Deployment\nmetadata:\n  name: c\n",
        "# only a comment\n",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: d}\n",
    ]
    store(control_plane.api, release(fresh_namespace, "odd", manifest="---\n" + "---\n".join(documents)))
    result = tools.result("k8s_helm", what="drift", release="odd", namespace=fresh_namespace)
    answer = result.structured_content
    assert answer is not None
    states = [row["state"] for row in answer["rows"]]
    assert states == ["missing", "unknown", "missing", "unknown", "unknown", "missing", "unknown", "missing"]
    assert answer["rows"][2]["reason"] == "the cluster does not serve its kind"
    assert not leaks(str(result), SECRETS["in odd YAML"])
    shown = str(tools.result("k8s_helm", what="manifest", release="odd", namespace=fresh_namespace))
    assert "document 3 (cannot be read)" not in shown
    assert not leaks(shown, SECRETS["in odd YAML"])


def test_what_may_not_be_read_is_unknown_and_not_missing(installed: ControlPlane, tool_client: Callable[..., ToolClient]) -> None:
    user = installed.users.create(NAMESPACE, "helm-reader", rules=[rule("secrets", "configmaps", "services", groups=("",))])
    answer = tool_client(user.kubeconfig)("k8s_helm", what="drift", release="shop", namespace=NAMESPACE)
    assert answer["counts"] == {"same": 3, "unknown": 3}
    assert {row["state"] for row in answer["rows"]} == {"unknown"}
    assert all("Forbidden" in row["reason"] for row in answer["rows"])


def test_who_denies_config_maps_keeps_the_releases_that_are_in_secrets(
    installed: ControlPlane, tool_client: Callable[..., ToolClient]
) -> None:
    policy = ServerPolicy(deny=rules_of(["kind=configmaps"], "--deny", ["k8s_helm"]))
    client = tool_client(installed.kubeconfig, policy=policy)
    found = {row["name"] for row in client("k8s_helm", what="list", namespace=NAMESPACE)["rows"]}
    assert "shop" in found
    assert "mapped" not in found, "its record is what is denied"
    for what in ("status", "history", "values", "drift"):
        assert client("k8s_helm", what=what, release="shop", namespace=NAMESPACE), what
    denied = tool_client(installed.kubeconfig, policy=ServerPolicy(deny=rules_of(["kind=secrets"], "--deny", ["k8s_helm"])))
    assert denied.error("k8s_helm", what="list", namespace=NAMESPACE)["reason"] == "PolicyDenied"


# --- nothing leaves, nothing bursts ---


@pytest.mark.parametrize("what", ["list", "status", "history", "values", "all_values", "manifest", "notes", "drift"])
def test_no_secret_of_a_release_leaves_on_any_way(
    tools: ToolClient, installed: ControlPlane, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = ""
    for arguments in ({}, {"revision": 1}, {"only": "database.password"}, {"only": "Secret/keys"}, {"max_tokens": 100_000}):
        name = {} if what == "list" else {"release": "shop"}
        result = tools.result("k8s_helm", {"what": what, "namespace": NAMESPACE} | name | arguments)
        said += json.dumps(result.structured_content, ensure_ascii=False) + text_of(result)
    assert "shop" in said
    assert [name for name, value in SECRETS.items() if leaks(said + caplog.text, value)] == []


@pytest.mark.parametrize("max_tokens", [1000, 4000])
@pytest.mark.parametrize("what", ["list", "status", "history", "values", "all_values", "manifest", "notes", "drift"])
def test_every_answer_keeps_its_budget_and_says_what_it_left_out(
    tools: ToolClient, large: str, what: str, max_tokens: int
) -> None:
    name = {} if what == "list" else {"release": "large"}
    result = tools.result("k8s_helm", {"what": what, "namespace": large, "max_tokens": max_tokens} | name)
    answer = result.structured_content
    assert answer is not None
    assert not result.is_error, text_of(result)
    assert answer_tokens(ToolAnswer(text_of(result), answer)) <= max_tokens
    if what != "status" and answer["shown"] < answer["total"]:
        assert f"{answer['shown']} of {answer['total']} " in answer["note"]
        assert answer["note"].split(";")[0] in text_of(result)


@pytest.fixture(scope="module")
def large(control_plane: ControlPlane) -> Iterator[str]:
    """A release of 120 objects that are all gone, with 30 revisions and values of 600 lines."""
    name = control_plane.create_namespace("helm-large")
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"settings-{number:03}"}, "data": {"a": "b" * 200}}
        for number in range(120)
    ]
    manifest = "---\n".join(yaml.safe_dump(one) for one in maps)
    values = {f"key{number:03}": {"name": "x" * 20} for number in range(300)}
    for revision in range(1, 31):
        record = release(name, "large", revision=revision, manifest=manifest, config=values, values=values, notes="word\n" * 2000)
        store(control_plane.api, record)
    for number in range(30):
        store(control_plane.api, release(name, f"other-{number}"))
    yield name
    control_plane.delete_namespace(name)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ("not base64!", "garbage"),
        (packed(b"not json"), "no-json"),
        (packed(b'{"manifest": 5}'), "odd-types"),
        (packed(b"[" * 100_000), "deep"),
        (base64.b64encode(gzip.compress(b'{"name": "x"}', mtime=0)[:-12]).decode(), "cut-off"),
    ],
)
def test_a_damaged_record_is_an_error_that_says_so(installed: ControlPlane, tools: ToolClient, payload: str, name: str) -> None:
    store(installed.api, release(NAMESPACE, name), payload=payload)
    try:
        message = tools.error("k8s_helm", what="values", release=name, namespace=NAMESPACE)["message"]
        assert "its record is damaged" in message
        rows = {row["name"]: row for row in tools("k8s_helm", namespace=NAMESPACE)["rows"]}
        assert rows[name]["chart"] is None, "its labels are still an answer"
    finally:
        installed.api.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets/sh.helm.release.v1.{name}.v1")


def test_a_record_that_unpacks_to_very_much_is_not_unpacked(installed: ControlPlane, tools: ToolClient) -> None:
    bomb = packed(b'{"manifest": "' + b"x" * (MAX_RELEASE_BYTES + 1) + b'"}')
    assert len(bomb) < 100_000
    store(installed.api, release(NAMESPACE, "bomb"), payload=bomb)
    try:
        message = tools.error("k8s_helm", what="manifest", release="bomb", namespace=NAMESPACE)["message"]
        assert "unpacks to more than 32 MiB" in message
    finally:
        installed.api.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets/sh.helm.release.v1.bomb.v1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"what": "values"}, "needs `release`"),
        ({"what": "values", "release": "nothing"}, "there is no Helm release 'nothing' in namespace helm-releases"),
        ({"what": "values", "release": "shop", "revision": 7}, "has no revision 7; it has: 10, 2, 1"),
        ({"what": "values", "release": "shop", "only": "image.nothing"}, "at 'nothing' there are: repository, tag"),
        ({"what": "values", "release": "shop,owner!=helm"}, "is not a Kubernetes name"),
        ({"what": "values", "release": "../x"}, "is not a Kubernetes name"),
        ({"what": "upgrade", "release": "shop"}, "must be one of"),
    ],
)
def test_an_error_says_what_there_is(installed: ControlPlane, tools: ToolClient, arguments: dict[str, Any], words: str) -> None:
    assert words in tools.error("k8s_helm", {"namespace": NAMESPACE} | arguments)["message"]


def test_a_list_reads_no_more_payloads_than_it_shows(installed: ControlPlane, tools: ToolClient, large: str) -> None:
    mark = installed.audit.mark()
    tools("k8s_helm", namespace=large, max_tokens=1000)
    asked = [one for one in installed.audit.requests(mark, user_agent="k8s-mcp/") if one.resource == "secrets"]
    assert [one.verb for one in asked].count("list") == 1
    assert [one.verb for one in asked].count("get") <= 16
