"""k8s_apply_manifest and k8s_patch_resource on the real API server: what is written, refused, explained and left alone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from configuration.errors import Conflict
from controlplane.api_client import ApiError, post_to_unix_socket
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from mcp_tools.k8s_tools import apply
from mcp_tools.manifest_documents import documents_of
from mcp_tools.manifest_targets import targets_of
from mcp_tools.request_guard import ToolCall, during
from server_fixtures import ToolClient

APPLY, PATCH = "k8s_apply_manifest", "k8s_patch_resource"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join([f'*{b}'] * 10)}]\n" for b, c in ("ab", "bc", "cd", "de", "ef")
)
MARK = "‹redacted:0123456789ab›"


def found(control_plane: ControlPlane, path: str) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = control_plane.api.get(path)
    except ApiError:
        return None
    return answer


def config_map(control_plane: ControlPlane, namespace: str, name: str) -> dict[str, Any] | None:
    return found(control_plane, f"/api/v1/namespaces/{namespace}/configmaps/{name}")


def writes(control_plane: ControlPlane, mark: int) -> list[str]:
    return [
        f"{one.verb} {one.resource}/{one.name}"
        for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/")
        if one.mutating
    ]


def deployment(name: str = "web", replicas: int = 1, env: list[dict[str, str]] | None = None) -> dict[str, Any]:
    container = {"name": "app", "image": "example/web:1", "env": env or []}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@contextmanager
def webhook(control_plane: ControlPlane, namespace: str, resource: str, side_effects: str) -> Iterator[str]:
    """An admission webhook for one kind of one namespace that nobody answers; failurePolicy Ignore lets real requests pass.

    `sideEffects: Some` and `Unknown` are left from clusters before 1.22: nobody can create them since, but they stay stored.
    So it is written into etcd as it would have been.
    """
    name = f"{namespace}.{resource}.example.com"
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    hook = {
        "name": name,
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:9/never"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": [resource]}],
    }
    stored = control_plane.api.post(hooks, {"metadata": {"name": name}, "webhooks": [hook]})
    stored["webhooks"][0]["sideEffects"] = side_effects
    key, value = (
        base64.b64encode(text.encode()).decode()
        for text in (f"/registry/validatingwebhookconfigurations/{name}", json.dumps(stored))
    )
    post_to_unix_socket(control_plane.folder / "localhost:2379", "/v3/kv/put", {"key": key, "value": value})
    assert control_plane.api.get(f"{hooks}/{name}")["webhooks"][0]["sideEffects"] == side_effects
    try:
        yield name
    finally:
        control_plane.api.delete(f"{hooks}/{name}")


def test_a_manifest_of_several_documents_is_tried_whole_and_then_applied_namespaces_first(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    made = f"{fresh_namespace}-made"[:63].strip("-")
    manifest = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {made}}}
data: {{mode: fast}}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {{name: {made}}}
- apiVersion: v1
  kind: ConfigMap
  metadata: {{name: here}}
  data: {{a: b}}
"""
    try:
        mark = control_plane.audit.mark()
        tried = tools(APPLY, manifest=manifest, namespace=fresh_namespace, dry_run=True)
        assert writes(control_plane, mark) == []
        assert config_map(control_plane, fresh_namespace, "here") is None
        actions = {(one["kind"], one["name"]): one["action"] for one in tried["objects"]}
        assert actions == {
            ("namespaces", made): "created",
            ("configmaps", "settings"): "untried",
            ("configmaps", "here"): "created",
        }
        assert "its Namespace" in " ".join(tried["warnings"])
        done = tools(APPLY, manifest=manifest, namespace=fresh_namespace)
        assert writes(control_plane, mark) == [f"patch namespaces/{made}", "patch configmaps/settings", "patch configmaps/here"]
        assert [one["action"] for one in done["objects"]] == ["created", "created", "created"]
        assert config_map(control_plane, made, "settings")["data"] == {"mode": "fast"}
        again = tools(APPLY, manifest=manifest, namespace=fresh_namespace)
        assert {one["action"] for one in again["objects"]} == {"unchanged"}
        assert again["changes"] == []
    finally:
        control_plane.delete_namespace(made)


def test_when_one_document_would_fail_nothing_is_applied(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    good = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good"}, "data": {"a": "b"}}
    bad = deployment("bad") | {"spec": {"replicas": -1}}
    mark = control_plane.audit.mark()
    error = tools.error(APPLY, manifest=f"{json.dumps(good)}\n---\n{json.dumps(bad)}", namespace=fresh_namespace)
    assert "1 of 2 documents would fail, so nothing was applied" in error["message"]
    assert "Deployment" in error["message"]
    assert "spec.replicas" in error["message"]
    assert writes(control_plane, mark) == []


def test_a_failure_in_the_middle_says_what_was_applied_and_what_not(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    """The second document cannot be tried beforehand, and fails when it is made: its namespace comes with the manifest."""
    made = f"{fresh_namespace}-half"[:63].strip("-")
    config: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not_A_Name", "namespace": made}}
    items = [
        config,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "last", "namespace": made},
            "spec": {"ports": [{"port": 80}]},
        },
    ]
    try:
        error = tools.error(APPLY, manifest=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        assert f"applied before that: Namespace {made} (created)" in error["message"]
        assert f"not applied: ConfigMap {made}/Not_A_Name, Service {made}/last" in error["message"]
        assert found(control_plane, f"/api/v1/namespaces/{made}") is not None
        assert found(control_plane, f"/api/v1/namespaces/{made}/services/last") is None
    finally:
        control_plane.delete_namespace(made)


def test_a_field_of_another_manager_is_a_conflict_that_names_both_and_what_to_do(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    control_plane.api.post(f"{path}?fieldManager=autoscaler-of-ours", deployment(replicas=2))
    manifest = json.dumps(deployment(replicas=5))
    error = tools.error(APPLY, manifest=manifest, namespace=fresh_namespace)
    assert (error["type"], error["status"]) == ("Conflict", 409)
    assert 'conflict with "autoscaler-of-ours"' in error["message"]
    assert ".spec.replicas" in error["message"]
    assert "force=true" in error["message"]
    assert "resourceVersion" not in error["message"]
    assert control_plane.api.get(f"{path}/web")["spec"]["replicas"] == 2
    done = tools(APPLY, manifest=manifest, namespace=fresh_namespace, force=True)
    assert {"path": "spec.replicas", "old": 2, "new": 5} in done["changes"]
    managers = {entry["manager"] for entry in control_plane.api.get(f"{path}/web")["metadata"]["managedFields"]}
    assert "k8s-mcp" in managers


@pytest.mark.parametrize("precondition", [{"uid": "00000000-0000-0000-0000-000000000000"}, {"resource_version": "1"}])
def test_a_precondition_that_does_not_hold_prevents_applying_and_patching(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, precondition: dict[str, str]
) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    tools(APPLY, manifest=json.dumps(body), namespace=fresh_namespace)
    changed = json.dumps(body | {"data": {"a": "2"}})
    of_one = {"kind": "cm", "name": "c", "namespace": fresh_namespace}
    errors = [
        tools.error(APPLY, manifest=changed, namespace=fresh_namespace, **precondition),
        tools.error(PATCH, **of_one, patch={"data": {"a": "2"}}, **precondition),
        tools.error(PATCH, **of_one, patch=[{"op": "replace", "path": "/data/a", "value": "2"}], type="json", **precondition),
    ]
    assert {(error["type"], error["status"]) for error in errors} == {("Conflict", 409)}
    assert all("read" in error["message"] for error in errors)
    assert config_map(control_plane, fresh_namespace, "c")["data"] == {"a": "1"}


def test_preconditions_that_hold_let_a_change_pass(tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    made = tools(APPLY, manifest=json.dumps(body), namespace=fresh_namespace)["object"]
    held = {"uid": made["uid"], "resource_version": made["resource_version"]}
    applied = tools(APPLY, manifest=json.dumps(body | {"data": {"a": "2"}}), namespace=fresh_namespace, **held)
    held["resource_version"] = applied["object"]["resource_version"]
    operations = [{"op": "replace", "path": "/data/a", "value": "3"}]
    tools(PATCH, kind="cm", name="c", namespace=fresh_namespace, patch=operations, type="json", **held)
    assert config_map(control_plane, fresh_namespace, "c")["data"] == {"a": "3"}


def test_what_moves_between_the_dry_run_and_the_change_is_not_overwritten(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/configmaps"

    async def moved(name: str, meanwhile: Callable[[], object]) -> dict[str, Any]:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"level": "debug"}}
        context = tools.gate().tools
        try:
            wanted = await targets_of(context.discovery, context.clusters.api(""), [body], fresh_namespace)
            with during(ToolCall(APPLY, may_change=True)):
                tried = await apply._try(context, wanted[0], force=True, dry_run=False)
                await asyncio.to_thread(meanwhile)
                with contextlib.suppress(Conflict):
                    await apply._make(context, tried, force=True)
        finally:
            await context.close()
        found: dict[str, Any] = await asyncio.to_thread(control_plane.api.get, f"{path}/{name}")
        return found["data"]

    def post(name: str, level: str) -> dict[str, Any]:
        made: dict[str, Any] = control_plane.api.post(path, {"metadata": {"name": name}, "data": {"level": level}})
        return made

    assert asyncio.run(moved("new", lambda: post("new", "theirs"))) == {"level": "theirs"}
    post("known", "info")
    change = {"data": {"level": "theirs"}}
    assert asyncio.run(moved("known", lambda: control_plane.api.patch(f"{path}/known", change))) == {"level": "theirs"}
    post("other", "info")
    labels = {"metadata": {"labels": {"a": "b"}}}
    assert asyncio.run(moved("other", lambda: control_plane.api.patch(f"{path}/other", labels))) == {"level": "debug"}


@pytest.mark.parametrize("side_effects", ["Some", "Unknown"])
def test_an_admission_webhook_that_takes_no_dry_runs_is_named_and_apply_and_patch_still_work(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, side_effects: str
) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    arguments: dict[str, Any] = {"kind": "cm", "name": "c", "namespace": fresh_namespace, "patch": {"data": {"a": "2"}}}
    with webhook(control_plane, fresh_namespace, "configmaps", side_effects) as name:
        wait_until(
            lambda: tools.result(APPLY, manifest=json.dumps(body), namespace=fresh_namespace, dry_run=True).is_error,
            "the webhook to be in force",
        )
        tried = tools.error(APPLY, manifest=json.dumps(body), namespace=fresh_namespace, dry_run=True)
        assert tried["type"] == "DryRunRefused"
        assert name in tried["message"]
        assert "cannot be shown beforehand" in tried["message"]
        assert config_map(control_plane, fresh_namespace, "c") is None
        done = tools(APPLY, manifest=json.dumps(body), namespace=fresh_namespace)
        assert "was not tried beforehand" in " ".join(done["warnings"])
        assert tools.error(PATCH, arguments, dry_run=True)["type"] == "DryRunRefused"
        assert config_map(control_plane, fresh_namespace, "c")["data"] == {"a": "1"}
        tools(PATCH, arguments)
    assert config_map(control_plane, fresh_namespace, "c")["data"] == {"a": "2"}


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        (
            f"kind: Secret\napiVersion: v1\nmetadata: {{name: db}}\nstringData:\n  password: {MARK}\n",
            "Secret db stringData.password",
        ),
        (
            'kind: Secret\napiVersion: v1\nmetadata: {name: db}\nstringData: {password: "\\u2039r\\x65dacted:0123456789ab"}',
            "Secret db stringData.password",
        ),
        (
            "kind: Secret\napiVersion: v1\nmetadata: {name: db}\ndata:\n  password: " + base64.b64encode(MARK.encode()).decode(),
            "Secret db data.password",
        ),
        (
            json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": MARK}}),
            "ConfigMap c data.a",
        ),
    ],
)
def test_a_mark_inside_a_manifest_is_refused_and_its_field_is_named(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, manifest: str, field: str
) -> None:
    mark = control_plane.audit.mark()
    error = tools.error(APPLY, manifest=manifest, namespace=fresh_namespace)
    assert error["type"] == "InvalidArguments"
    assert field in error["message"]
    assert control_plane.audit.requests(mark, user_agent="k8s-mcp/") == []


def test_one_field_of_an_object_that_holds_secrets_changes_and_the_secrets_stay_as_they_are(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    env = [{"name": "DB_PASSWORD", "value": "cnry-plain-Sup3rSecret"}, {"name": "MODE", "value": "slow"}]
    control_plane.api.post(path, deployment(replicas=0, env=env))
    containers = [{"name": "app", "env": [{"name": "MODE", "value": "fast"}]}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    answer = tools.result(PATCH, kind="deploy", name="web", namespace=fresh_namespace, patch=patch)
    assert "cnry-plain" not in str(answer)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "example/web:2"}]}}}}
    applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}} | image
    assert "cnry-plain" not in str(tools.result(APPLY, manifest=json.dumps(applied), namespace=fresh_namespace, force=True))
    container = control_plane.api.get(f"{path}/web")["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == [env[0], {"name": "MODE", "value": "fast"}]
    assert container["image"] == "example/web:2"


def test_one_key_of_a_secret_changes_and_the_others_stay_as_they_are(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/secrets"
    body = {"metadata": {"name": "db"}, "stringData": {"password": "cnry-kept-value", "user": "cnry-old-user"}}
    kept = control_plane.api.post(path, body)["data"]["password"]
    data = {"user": base64.b64encode(b"cnry-new-user").decode()}
    tried = tools(PATCH, kind="secret", name="db", namespace=fresh_namespace, patch={"data": data}, dry_run=True)
    assert [change["path"] for change in tried["changes"]] == ["data.user"]
    assert tried["changes"][0]["old"] != tried["changes"][0]["new"]
    assert all(str(tried["changes"][0][side]).startswith("‹redacted:") for side in ("old", "new"))
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": data}
    done = tools.result(APPLY, manifest=json.dumps(manifest), namespace=fresh_namespace, force=True)
    assert not done.is_error
    assert "cnry-" not in str(done) + str(tried)
    assert base64.b64encode(b"cnry-kept").decode()[:10] not in str(done)
    assert control_plane.api.get(f"{path}/db")["data"] == {"password": kept} | data


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"status": {"replicas": 3}}, "status"),
        ({"metadata": {"uid": "x"}}, "metadata.uid"),
        ({"metadata": {"name": "other"}}, "metadata.name"),
        ({"metadata": {"labels": {"a": "b"}, "generation": 7}}, "metadata.generation"),
        ([{"op": "replace", "path": "/status/replicas", "value": 3}], "status"),
        ([{"op": "add", "path": "/metadata/managedFields", "value": []}], "metadata.managedFields"),
        ([{"op": "replace", "path": "/metadata", "value": {"uid": "x"}}], "metadata.uid"),
    ],
)
def test_fields_that_the_api_server_would_silently_ignore_are_refused(
    tools: ToolClient, control_plane: ControlPlane, patch: object, field: str
) -> None:
    mark = control_plane.audit.mark()
    type_ = "json" if isinstance(patch, list) else "merge"
    error = tools.error(PATCH, kind="deploy", name="web", namespace="default", patch=patch, type=type_)
    assert f"these fields cannot be patched: {field} (" in error["message"]
    assert writes(control_plane, mark) == []


def test_an_unknown_field_is_an_error_and_not_dropped(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    control_plane.api.post(f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments", deployment(replicas=0))
    error = tools.error(PATCH, kind="deploy", name="web", namespace=fresh_namespace, patch={"spec": {"replicaz": 3}})
    assert "replicaz" in error["message"]
    same = tools(PATCH, kind="deploy", name="web", namespace=fresh_namespace, patch={"spec": {"replicas": 0}})
    assert "nothing in it differs" in same["note"]


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("a: [b\n", "line 2"),
        ("a: 1\na: 2\n", "given twice"),
        ("a: &a\n  b: *a\n", "alias"),
        (BOMB, "values"),
        ("[" * 500, "nested deeper"),
        ("a: !!python/object/apply:os.getcwd []\n", "constructor"),
        ("- 1\n", "not an object"),
        ("---\n", "no object"),
        ("kind: ConfigMap\nmetadata: {name: a}\n", "apiVersion"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a}\n", "generateName"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "namespace"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../x, namespace: default}\n", "not a Kubernetes name"),
        ("apiVersion: v1/../../x\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\n", "not a Kubernetes name"),
        ("apiVersion: example.org/v1\nkind: Nothing\nmetadata: {name: x}\n", "serves no kind"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: x, namespace: y}\n", "have no namespace"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_read_or_means_nothing_is_refused_before_anything_is_sent(
    tools: ToolClient, control_plane: ControlPlane, manifest: str, words: str
) -> None:
    mark = control_plane.audit.mark()
    assert words in tools.error(APPLY, manifest=manifest)["message"]
    assert not [one for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if one.verb not in ("get", "list")]


def test_a_long_scalar_that_begins_like_a_number_is_read_at_once() -> None:
    digits = "1" * 300_000
    assert documents_of(f"a: {digits}x\nb: {digits}\n")[0]["a"] == f"{digits}x"


def test_yaml_is_read_as_kubernetes_reads_it(tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str) -> None:
    """PyYAML alone would make a date of the first and a number of the second, which the API server refuses or misreads."""
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  day: 2024-01-01\n  ports: 22:22\n  quoted: '1'\n"
    tools(APPLY, manifest=manifest, namespace=fresh_namespace)
    assert config_map(control_plane, fresh_namespace, "c")["data"] == {"day": "2024-01-01", "ports": "22:22", "quoted": "1"}


def crd(plural: str, kind: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1alpha2", "served": True, "storage": True, "schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.apply.example.com"},
        "spec": {
            "group": "apply.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }


def test_a_kind_and_an_object_of_it_can_come_in_one_manifest(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    gadget = {"apiVersion": "apply.example.com/v1alpha2", "kind": "Gadget", "metadata": {"name": "g"}, "spec": {"size": 1}}
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": [gadget, crd("gadgets", "Gadget")]})
    path = f"/apis/apply.example.com/v1alpha2/namespaces/{fresh_namespace}/gadgets/g"
    try:
        tried = tools(APPLY, manifest=manifest, namespace=fresh_namespace, dry_run=True)
        assert [one["action"] for one in tried["objects"]] == ["created", "untried"]
        done = tools(APPLY, manifest=manifest, namespace=fresh_namespace)
        assert [one["kind"] for one in done["objects"]] == ["customresourcedefinitions", "gadgets.apply.example.com"]
        assert control_plane.api.get(path)["spec"] == {"size": 1}
        refused = tools.error(
            PATCH, kind="gadgets.apply.example.com", name="g", namespace=fresh_namespace, patch={"spec": {"size": 2}}
        )
        assert "type=merge" in refused["message"]
        arguments: dict[str, Any] = {"kind": "gadgets.apply.example.com", "name": "g", "namespace": fresh_namespace}
        tools(PATCH, arguments, patch={"spec": {"size": 2}}, type="merge")
        assert control_plane.api.get(path)["spec"] == {"size": 2}
        gone = tools("k8s_delete_resource", kind="crd", name="gadgets.apply.example.com", dry_run=True)
        assert "1 gadgets.apply.example.com" in gone["note"]
        tools("k8s_delete_resource", arguments)
        assert found(control_plane, path) is None
    finally:
        control_plane.api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.apply.example.com")


def test_a_large_answer_is_cut_to_its_budget_and_says_so(tools: ToolClient, fresh_namespace: str) -> None:
    data = {f"key-{number:03d}": "long value " * 60 for number in range(200)}
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": data})
    answer = tools(APPLY, manifest=manifest, namespace=fresh_namespace, dry_run=True, max_tokens=1000)
    assert (answer["before"], answer["after"]) == (None, None)
    assert "before and after are left out" in answer["note"]
    assert "of 202 changes shown (a larger max_tokens shows more)" in answer["note"]
    assert 0 < len(answer["changes"]) < 200
