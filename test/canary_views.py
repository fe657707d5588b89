"""Arguments for every tool of our server that make it show, and quote, as much as it can of a namespace full of secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

from kinds.registry import KINDS
from planted_canaries import GROUP, PAYLOAD, STRUCTURED, WRITTEN

_BOUND = {"max_tokens": 100_000}


_CONTAINER = "/spec/template/spec/containers/0"


def moving_patches(namespace: str) -> list[dict[str, Any]]:
    """Patches that would bring a secret from where it is redacted to where it is not, or compare it with a guess."""
    at = "/metadata/annotations/note"
    secret = {"kind": "secrets", "name": "payload", "namespace": namespace}
    places = [
        (secret, "/data/k", base64.b64encode(PAYLOAD.encode()).decode()),
        (secret, "/data", {"k": base64.b64encode(PAYLOAD.encode()).decode()}),
        (_web(namespace), f"{_CONTAINER}/env/0/value", STRUCTURED["env value"]),
        (_web(namespace), f"{_CONTAINER}/args/1", STRUCTURED["flag and value in args"]),
        (_web(namespace), "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", "cnry-env-before"),
    ]
    return [
        about | {"patch": operations}
        for about, path, value in places
        for operations in (
            [{"op": "copy", "from": path, "path": at}],
            [{"op": "move", "from": path, "path": at}],
            [{"op": "test", "path": path, "value": value}, {"op": "add", "path": "/metadata/labels/x", "value": "y"}],
        )
    ]


def unmasking_patches(namespace: str) -> list[dict[str, Any]]:
    """Patches that leave a secret where it is, and change what stands beside it and tells that it is one."""
    operations = [
        {"op": "replace", "path": f"{_CONTAINER}/args/0", "value": "--note"},
        {"op": "remove", "path": f"{_CONTAINER}/args/0"},
        {"op": "replace", "path": f"{_CONTAINER}/env/1/name", "value": "PORT"},
        {"op": "replace", "path": f"{_CONTAINER}/livenessProbe/httpGet/httpHeaders/0/name", "value": "X-Note"},
    ]
    return [_web(namespace) | {"patch": [operation]} for operation in operations]


def removing_patches(namespace: str) -> list[dict[str, Any]]:
    """Patches that take a secret away: the answer says what was there."""
    vessel = {"kind": f"vessels.{GROUP}", "name": "vessel", "namespace": namespace}
    return [
        _web(namespace) | {"patch": [{"op": "remove", "path": f"{_CONTAINER}/env/0"}]},
        _web(namespace) | {"patch": [{"op": "remove", "path": "/spec/template/metadata/annotations"}]},
        vessel | {"patch": [{"op": "remove", "path": "/spec/form0"}]},
    ]


def _web(namespace: str) -> dict[str, Any]:
    return {"kind": "deployments", "name": "web", "namespace": namespace}


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
        "configmaps": "settings",
        f"vessels.{GROUP}": "vessel",
    }
    objects = [{"kind": kind, "name": name, "namespace": namespace} for kind, name in names.items()]
    new = {"name": "new", "namespace": namespace, "image": "example/x", "dry_run": True}
    secret = "password=cnry-log-line"
    web = {"name": "web", "namespace": namespace, "dry_run": True}
    written = {"metadata": {"annotations": {"example.com/db-password": STRUCTURED["annotation"], "example.com/x": WRITTEN}}}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "data": {"a": WRITTEN},
        "metadata": written["metadata"] | {"name": "settings"},
    }
    emptied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"all.conf": "x"}}
    return {
        "k8s_get_cluster_info": [{"check_permissions": True}, {"context": secret}],
        "k8s_list_contexts": [{}],
        "k8s_list_api_resources": [{}, {"name": secret}, {"group": secret}],
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
        "k8s_list_nodes": [{}, {"label_selector": f"({secret}"}],
        "k8s_list_pods": [
            {"namespace": namespace, "limit": 1000},
            {"namespace": namespace, "healthy": False},
            {"namespace": secret},
        ],
        "k8s_list_services": [{"namespace": namespace}, {"namespace": secret}],
        "k8s_list_resources": [
            *({"kind": kind, "limit": 1000} for kind in [*KINDS, f"vessels.{GROUP}"]),
            {"kind": "events", "namespace": namespace, "limit": 1000, "view": "rows", **_BOUND},
            {"kind": f"vessels.{GROUP}", "namespace": namespace, "view": "rows", **_BOUND},
            {"kind": secret},
        ],
        "k8s_get_resource": [
            *(one | _BOUND for one in objects),
            {"kind": "configmaps", "name": "settings", "namespace": namespace, "path": "data"},
            {"kind": f"vessels.{GROUP}", "name": "vessel", "namespace": namespace, "path": "spec"},
            {"kind": "pods", "name": "bare", "namespace": namespace, "path": secret},
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
        "k8s_export_page": [
            {"kind": kind, "namespace": "" if kind in ("nodes", "namespaces") else namespace}
            for kind in [*KINDS, f"vessels.{GROUP}"]
        ],
        "k8s_list_changes": [
            {"watches": [{"kind": kind, "namespace": namespace, "cursor": "1"} for kind in ("events", "pods", "configmaps")]},
            {"watches": [{"kind": secret, "cursor": "1"}, {"kind": "pods", "namespace": secret, "cursor": "1"}]},
        ],
        "k8s_count_objects": [
            {"counts": [{"kind": kind} for kind in KINDS]},
            {"counts": [{"kind": kind} for kind in KINDS] + [{"kind": secret}]},
        ],
        "k8s_api_usage": [{}],
        "k8s_permitted_namespaces": [{"kinds": list(KINDS)}, {"kinds": [secret]}, {"kinds": ["pods"], "namespaces": [secret]}],
        "k8s_create_deployment": [
            new,
            new | {"env": {"GREETING": STRUCTURED["env value"]}},
            new | {"labels": {"token": secret}},
        ],
        "k8s_delete_resource": [one | {"dry_run": True} | _BOUND for one in objects],
        "k8s_apply_manifest": [
            {"manifest": json.dumps(config), "namespace": namespace, "dry_run": True, "force": True, **_BOUND},
            {"manifest": json.dumps(emptied), "namespace": namespace, "dry_run": True, "force": True, **_BOUND},
            {"manifest": json.dumps(config | {"kind": secret}), "namespace": namespace, "dry_run": True},
            {"manifest": f"password: cnry-log-line\n\t{WRITTEN}", "dry_run": True},
        ],
        "k8s_patch_resource": [
            *(one | {"patch": written, "type": "merge", "dry_run": True} | _BOUND for one in objects),
            objects[0] | {"patch": {"spec": {"nodeName": secret}}, "dry_run": True},
            objects[0] | {"patch": [{"op": "test", "path": "/metadata/name", "value": secret}], "type": "json", "dry_run": True},
            *(one | {"type": "json", "dry_run": True} | _BOUND for one in moving_patches(namespace)),
            *(one | {"type": "json", "dry_run": True} | _BOUND for one in removing_patches(namespace)),
            *(one | {"type": "json", "dry_run": True} | _BOUND for one in unmasking_patches(namespace)),
        ],
        "k8s_scale": [
            web | {"kind": "deployments", "replicas": 2} | _BOUND,
            {"kind": secret, "name": secret, "replicas": 1, "dry_run": True},
        ],
        "k8s_rollout_status": [{"name": "web", "namespace": namespace}, {"name": secret, "namespace": namespace}],
        "k8s_rollout": [
            *(web | {"action": action} | _BOUND for action in ("restart", "pause", "resume", "undo")),
            {"action": "restart", "name": secret, "namespace": namespace, "dry_run": True},
        ],
        "k8s_node": [
            *({"name": "node-1", "action": action, "dry_run": True} | _BOUND for action in ("cordon", "uncordon", "drain")),
            {"name": "node-1", "action": "drain", "force": True, "delete_emptydir_data": True, "dry_run": True} | _BOUND,
            {"name": secret, "action": "cordon", "dry_run": True},
        ],
        "k8s_exec": [
            {"name": "bare", "namespace": namespace, "command": ["env"], "dry_run": True},
            {"name": "bare", "namespace": namespace, "command": ["sh", "-c", WRITTEN], "dry_run": True},
            {"name": "bare", "namespace": namespace, "command": ["mysql", "-pcnry-log-line"], "dry_run": True},
            {"name": "bare", "namespace": namespace, "command": ["sh"], "container": secret},
        ],
    }
