"""One small object of each kind that a test cluster does not have by itself, as the API server accepts it."""

from __future__ import annotations

from typing import Any

_CONTAINER = {"name": "app", "image": "registry.example/app:1"}
POD_TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [_CONTAINER]}}


def namespaced_objects() -> dict[str, dict[str, Any]]:
    """Kind name -> body; created with POST to the kind's collection in a namespace."""
    template = POD_TEMPLATE | {"spec": POD_TEMPLATE["spec"] | {"restartPolicy": "Never"}}
    selector = {"matchLabels": {"app": "x"}}
    rule = {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": _backend()}]}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "ingresses": {"spec": {"rules": [rule]}},
        "networkpolicies": {"spec": {"podSelector": selector}},
        "cronjobs": {"spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}}},
        "horizontalpodautoscalers": {"spec": {"maxReplicas": 3, "scaleTargetRef": target}},
        "poddisruptionbudgets": {"spec": {"minAvailable": 1, "selector": selector}},
        "configmaps": {"data": {"colour": "green"}},
        "persistentvolumeclaims": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        "resourcequotas": {"spec": {"hard": {"pods": "50"}}},
        "limitranges": {"spec": {"limits": [{"type": "Container", "max": {"memory": "4Gi"}}]}},
        "serviceaccounts": {},
        "roles": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        "rolebindings": {"roleRef": _role("Role", "every-kind"), "subjects": [{"kind": "User", "name": "somebody"}]},
    }


def cluster_objects() -> dict[str, dict[str, Any]]:
    """The same for kinds without a namespace. Whoever creates them removes them again."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "persistentvolumes": {
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}
        },
        "storageclasses": {"provisioner": "example.com/none"},
        "clusterroles": {"rules": []},
        "clusterrolebindings": {"roleRef": _role("ClusterRole", "every-kind"), "subjects": []},
        "customresourcedefinitions": {
            "metadata": {"name": "widgets.every-kind.example"},
            "spec": {"group": "every-kind.example", "names": names, "scope": "Namespaced", "versions": [version]},
        },
        "validatingwebhookconfigurations": {"webhooks": []},
        "mutatingwebhookconfigurations": {"webhooks": []},
    }


def _backend() -> dict[str, Any]:
    return {"service": {"name": "web", "port": {"number": 80}}}


def _role(kind: str, name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
