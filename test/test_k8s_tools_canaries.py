"""Secrets planted in a real cluster, in every form and place; every tool called in every view; nothing may come out.

The same search with a redactor that does nothing has to find leaks at each channel: else this test could not fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from helm_records import release, store
from kinds.registry import KINDS
from mcp_tools.all_tools import ALL_TOOLS
from secret_canaries import TEXT_FORMS, leaks
from server_fixtures import ToolClient

STRUCTURED = {
    "env value": "cnry-env-value",
    "env number": "7301942",
    "flag and value in args": "cnry-arg-value",
    "flag= in args": "cnry-arg-flag",
    "http header of a probe": "cnry-probe-header",
    "annotation": "cnry-annotation",
    "last applied": "cnry-env-value",
    "event message": "cnry-event-message",
    "log": "cnry-log-line",
    "condition message": "cnry-condition-message",
    "secret data": "cnry-secret-data",
}
PAYLOAD = "cnry-secret-payload"
"""Of a Secret that nobody applied: its value is in its data, and nowhere else."""
SCRIPT = "\n".join(canary.text for canary in TEXT_FORMS)


class NoRedactor:
    """What the product must not be without."""

    version = "none"
    key_id = "none"

    def redact_object(self, obj: dict[str, Any]) -> dict[str, Any]:
        return obj

    def redact_text(self, text: str) -> str:
        return text


def pod_template() -> dict[str, Any]:
    header = {"name": "Authorization", "value": f"Bearer {STRUCTURED['http header of a probe']}"}
    container = {
        "name": "app",
        "image": "example/app:1",
        "command": ["sh", "-c", SCRIPT],
        "args": ["--api-token", STRUCTURED["flag and value in args"], f"--password={STRUCTURED['flag= in args']}"],
        "env": [
            {"name": "GREETING", "value": STRUCTURED["env value"]},
            {"name": "PIN_PASSWORD", "value": STRUCTURED["env number"]},
        ],
        "livenessProbe": {"httpGet": {"path": "/", "port": 80, "httpHeaders": [header]}},
    }
    annotations = {"example.com/db-password": STRUCTURED["annotation"], "example.com/script": SCRIPT}
    return {"metadata": {"labels": {"app": "canary"}, "annotations": annotations}, "spec": {"containers": [container]}}


def manifest(api_version: str, kind: str, name: str, metadata: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} | (metadata or {}), **fields}


@pytest.fixture(scope="module")
def planted(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace full of secrets, applied by kubectl (which adds its own copy of everything)."""
    name = control_plane.create_namespace("canaries")
    control_plane.api.patch(
        f"/api/v1/namespaces/{name}", {"metadata": {"annotations": {"example.com/db-password": STRUCTURED["annotation"]}}}
    )
    template = pod_template()
    labels = {"matchLabels": {"app": "canary"}}
    notes = {"annotations": template["metadata"]["annotations"]}
    once = template | {"spec": template["spec"] | {"restartPolicy": "Never"}}
    items = [
        manifest("v1", "Secret", "s", stringData={"k": STRUCTURED["secret data"], "script": SCRIPT}),
        manifest("apps/v1", "Deployment", "web", spec={"selector": labels, "template": template}),
        manifest("apps/v1", "StatefulSet", "db", spec={"serviceName": "db", "selector": labels, "template": template}),
        manifest("apps/v1", "DaemonSet", "agent", spec={"selector": labels, "template": template}),
        manifest("batch/v1", "Job", "job", spec={"suspend": True, "template": once}),
        manifest("v1", "Service", "web", notes, spec={"ports": [{"port": 80}]}),
        manifest("v1", "Pod", "bare", notes, spec=template["spec"]),
    ]
    control_plane.kubectl("apply", "-n", name, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    payload = manifest("v1", "Secret", "payload", stringData={"k": PAYLOAD})
    control_plane.api.post(f"/api/v1/namespaces/{name}/secrets", payload)
    bare = control_plane.pods.wait(name, "bare", lambda pod: pod["status"].get("startTime"))
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": name, "name": "bare", "uid": bare["metadata"]["uid"]}
    message = f"password: {STRUCTURED['event message']}\n{SCRIPT}"[:1000]
    control_plane.api.post(
        f"/api/v1/namespaces/{name}/events",
        {"metadata": {"name": "bare.1"}, "involvedObject": about, "reason": "Failed", "type": "Warning", "message": message},
    )
    control_plane.logs.set(name, "bare", f"token={STRUCTURED['log']}\n{SCRIPT}", previous=f"token={STRUCTURED['log']}")
    condition = {"type": "Example", "status": "False", "message": f"password={STRUCTURED['condition message']}"}
    control_plane.api.patch(f"/api/v1/namespaces/{name}/pods/bare/status", {"status": {"conditions": [condition]}}, "strategic")
    written = {"token": SCRIPT, "password": STRUCTURED["annotation"], "env": {"GREETING": STRUCTURED["env value"]}}
    values = written | {"script": SCRIPT, "list": [canary.text for canary in TEXT_FORMS]}
    documents = [json.dumps(item).replace(STRUCTURED["env value"], "cnry-env-before") for item in items]
    texts = {"manifest": "\n---\n".join(documents), "notes": SCRIPT, "description": SCRIPT}
    store(control_plane.api, release(name, "canary", config=values, values=values, **texts))
    yield name
    control_plane.delete_namespace(name)


def every_view(namespace: str) -> dict[str, list[dict[str, Any]]]:
    """Arguments for each tool: every kind, every place where text comes from the cluster, errors that quote arguments too."""
    names = {
        "pods": "bare",
        "deployments": "web",
        "statefulsets": "db",
        "daemonsets": "agent",
        "jobs": "job",
        "services": "web",
        "events": "bare.1",
    }
    objects = [{"kind": kind, "name": name, "namespace": namespace} for kind, name in names.items()]
    new = {"name": "new", "namespace": namespace, "image": "example/x", "dry_run": True}
    secret = "password=cnry-log-line"
    return {
        "k8s_get_cluster_info": [{"check_permissions": True}, {"context": secret}],
        "k8s_list_contexts": [{}],
        "k8s_list_api_resources": [{}, {"name": secret}],
        "k8s_helm": [
            {"namespace": namespace},
            *(
                {"what": what, "release": "canary", "namespace": namespace, "max_tokens": 100_000}
                for what in ("status", "history", "values", "all_values", "manifest", "notes", "drift")
            ),
            {"what": "values", "release": "canary", "namespace": namespace, "only": secret},
            {"what": "values", "release": secret},
        ],
        "k8s_inspect_secret": [
            {"name": "s", "namespace": namespace},
            {"name": "payload", "namespace": namespace},
            {"name": secret, "namespace": namespace},
        ],
        "k8s_explain": [
            {"path": "pods.spec"},
            {"path": "secrets", "recursive": True},
            {"path": secret},
            {"path": f"pods.{secret}"},
        ],
        "k8s_auth_can_i": [{}, {"verb": "get", "resource": "secrets"}, {"verb": secret}, {"verb": "get", "resource": secret}],
        "k8s_list_namespaces": [{}, {"label_selector": f"({secret}"}],
        "k8s_list_nodes": [{}],
        "k8s_list_pods": [{"namespace": namespace, "limit": 1000}, {"namespace": namespace, "healthy": False}],
        "k8s_list_services": [{"namespace": namespace}],
        "k8s_list_resources": [{"kind": kind, "limit": 1000} for kind in KINDS] + [{"kind": secret}],
        "k8s_get_resource": [
            *objects,
            {"kind": "namespaces", "name": namespace},
            {"kind": "pods", "name": secret},
            {"kind": "secrets", "name": "s", "namespace": namespace},
            {"kind": "secrets", "name": "payload", "namespace": namespace},
        ],
        "k8s_get_pod_logs": [
            {"name": "bare", "namespace": namespace, "tail_lines": 5000, "max_tokens": 100_000, "fold": False},
            {"name": "bare", "namespace": namespace, "previous": True, "timestamps": True},
            {"name": "bare", "namespace": namespace, "grep": "cnry"},
            {"name": "bare", "namespace": namespace, "container": "nope"},
            {"label_selector": "example.com/any=nothing", "namespace": namespace},
            {"name": "bare", "namespace": namespace, "container": "*", "level": "warning"},
        ],
        "k8s_describe": [
            *(one | {"max_tokens": 100_000} for one in objects),
            {"kind": "namespaces", "name": namespace},
            {"kind": "secrets", "name": "s", "namespace": namespace},
            {"kind": "secrets", "name": "payload", "namespace": namespace},
            {"kind": secret, "name": secret},
        ],
        "k8s_list_events": [
            {"namespace": namespace, "max_tokens": 100_000},
            {"namespace": namespace, "reason": secret, "kind": secret},
        ],
        "k8s_top": [{"namespace": namespace}, {"kind": "nodes"}, {"label_selector": f"({secret}"}],
        "k8s_export_page": [{"kind": kind, "namespace": "" if kind in ("nodes", "namespaces") else namespace} for kind in KINDS],
        "k8s_list_changes": [
            {"watches": [{"kind": kind, "namespace": namespace, "cursor": "1"} for kind in ("events", "pods", "configmaps")]},
            {"watches": [{"kind": secret, "cursor": "1"}, {"kind": "pods", "namespace": secret, "cursor": "1"}]},
        ],
        "k8s_count_objects": [{"counts": [{"kind": kind} for kind in KINDS] + [{"kind": secret}]}],
        "k8s_api_usage": [{}],
        "k8s_permitted_namespaces": [{"kinds": list(KINDS)}, {"kinds": [secret]}, {"kinds": ["pods"], "namespaces": [secret]}],
        "k8s_create_deployment": [
            new | {"env": {"GREETING": STRUCTURED["env value"]}},
            new | {"labels": {"token": secret}},
        ],
        "k8s_delete_resource": [one | {"dry_run": True} for one in objects],
    }


def test_every_tool_is_searched() -> None:
    assert set(every_view("x")) == {declaration.name for declaration in ALL_TOOLS}


def found_in(tools: ToolClient, tool: str, namespace: str) -> set[str]:
    """Names of the canaries that came out of the tool, with the form they had."""
    found = set()
    for arguments in every_view(namespace)[tool]:
        result = tools.result(tool, arguments)
        output = (
            json.dumps(result.structured_content, ensure_ascii=False) + "\n" + "\n".join(block.text for block in result.content)
        )
        values = {canary.form: canary.value for canary in TEXT_FORMS} | STRUCTURED
        found |= {f"{name} ({form})" for name, value in values.items() for form in leaks(output, value)}
    return found


@pytest.mark.parametrize("tool", [declaration.name for declaration in ALL_TOOLS])
def test_no_planted_secret_comes_out_of_a_tool(tools: ToolClient, planted: str, tool: str) -> None:
    assert found_in(tools, tool, planted) == set()


CHANNELS = {
    "k8s_helm": {"env value", "annotation", "private key", "jwt", "sentence"},
    "k8s_get_cluster_info": {"log"},
    "k8s_list_resources": {"event message", "log"},
    "k8s_get_resource": {
        "env value",
        "env number",
        "annotation",
        "last applied",
        "condition message",
        "event message",
        "flag= in args",
    },
    "k8s_get_pod_logs": {"log", "private key", "jwt"},
    "k8s_describe": {"annotation", "condition message", "event message"},
    "k8s_list_events": {"event message"},
    "k8s_export_page": {
        "env value",
        "http header of a probe",
        "flag and value in args",
        "private key",
        "event message",
        "secret data",
    },
    "k8s_create_deployment": {"env value"},
    "k8s_delete_resource": {"env value", "annotation"},
}


@pytest.mark.parametrize(("tool", "expected"), CHANNELS.items(), ids=list(CHANNELS))
def test_without_the_redactor_the_search_finds_the_secrets(
    control_plane: ControlPlane, tool_client: Callable[..., ToolClient], planted: str, tool: str, expected: set[str]
) -> None:
    bare = tool_client(control_plane.kubeconfig, redactor=NoRedactor())
    found = found_in(bare, tool, planted)
    assert {f"{name} (raw)" for name in expected} <= found


@pytest.mark.parametrize("redactor", [None, NoRedactor()], ids=["redacting", "not redacting"])
def test_the_payload_of_a_secret_is_not_even_fetched(
    control_plane: ControlPlane, tool_client: Callable[..., ToolClient], planted: str, redactor: NoRedactor | None
) -> None:
    """Without the redactor too: it is not what keeps the values back. (That requests ask for tables: test_secrets_*.py.)"""
    tools = tool_client(control_plane.kubeconfig, **({"redactor": redactor} if redactor else {}))
    mark = control_plane.audit.mark()
    seen = ""
    for tool, views in every_view(planted).items():
        for arguments in views:
            seen += str(tools.result(tool, arguments))
    assert "payload" in seen
    assert not leaks(seen, PAYLOAD)
    requests = [one for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if one.resource == "secrets"]
    assert {one.verb for one in requests} - {"watch"} == {"get", "list"}
