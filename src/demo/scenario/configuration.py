"""Secrets, RBAC, webhooks, a CustomResourceDefinition with one object, and a Helm release.

The secret values here are made up; they exist so that redaction can be shown and tested.
"""

from __future__ import annotations

import base64
import gzip
from typing import Any

import orjson

from demo.api_status import Json
from demo.identifiers import digest
from demo.scenario.workloads import app_labels
from demo.scenario.world import World, ago

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CANARY = "demo-canary-9f31c27b"
"""The password in a last-applied annotation: nothing but the API itself may ever show it."""


def _encoded(values: Json) -> Json:
    return {key: base64.b64encode(str(value).encode()).decode() for key, value in values.items()}


def _secret(
    world: World, namespace: str, name: str, values: Json, *, type_: str = "Opaque", days: int = 35, **options: Any
) -> None:
    world.add("v1", "Secret", name, namespace=namespace, age=ago(days=days), data=_encoded(values), type=type_, **options)


def _secrets(world: World) -> None:
    plain = {"username": "payments", "password": CANARY}
    applied = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"annotations": {}, "name": "payments-db", "namespace": "payments"},
        "stringData": plain,
    }
    annotations = {LAST_APPLIED: orjson.dumps(applied).decode() + "\n"}
    _secret(world, "payments", "payments-db", plain, annotations=annotations)
    _secret(world, "shop", "checkout-db", {"DB_USER": "checkout", "DB_PASSWORD": "demo-checkout-secret"})
    _secret(world, "data", "postgres", {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": "demo-postgres-secret"}, days=36)
    account = base64.b64encode(b"puller:demo-registry-secret").decode()
    config = orjson.dumps({"auths": {"registry.example.com": {"auth": account}}}).decode()
    _secret(world, "shop", "registry-credentials", {".dockerconfigjson": config}, type_="kubernetes.io/dockerconfigjson")
    pem = "-----BEGIN {0}-----\nbm90IGEgcmVhbCBrZXk=\n-----END {0}-----\n"
    tls = {"tls.crt": pem.format("CERTIFICATE"), "tls.key": pem.format("PRIVATE KEY")}
    _secret(
        world, "shop", "shop-tls", tls, type_="kubernetes.io/tls", annotations={"cert-manager.io/certificate-name": "shop-tls"}
    )


def _helm_release(world: World) -> None:
    """As Helm stores a release: JSON, gzipped, in base64, and that once more for the Secret."""
    chart = {"metadata": {"name": "ingress-nginx", "version": "4.13.2", "appVersion": "1.13.2", "apiVersion": "v2"}}
    when = world.at(ago(days=40)).isoformat()
    info = {"first_deployed": when, "last_deployed": when, "deleted": "", "description": "Install complete", "status": "deployed"}
    release = {
        "name": "ingress-nginx",
        "info": info,
        "chart": chart,
        "config": {"controller": {"replicaCount": 2}},
        "manifest": "",
        "version": 1,
        "namespace": "ingress-nginx",
    }
    payload = base64.b64encode(gzip.compress(orjson.dumps(release), mtime=0)).decode()
    labels = {"name": "ingress-nginx", "owner": "helm", "status": "deployed", "version": "1",
              "modifiedAt": str(int(world.at(ago(days=40)).timestamp()))}  # fmt: skip
    world.add("v1", "Secret", "sh.helm.release.v1.ingress-nginx.v1", namespace="ingress-nginx", age=ago(days=40), labels=labels,
              type="helm.sh/release.v1", data=_encoded({"release": payload}), manager="helm")  # fmt: skip


_READ = ["get", "list", "watch"]
_CLUSTER_ROLES: dict[str, list[Json]] = {
    "cluster-admin": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "view": [{"apiGroups": ["", "apps", "batch"], "resources": ["pods", "services", "deployments", "jobs"], "verbs": _READ}],
    "edit": [{"apiGroups": ["", "apps", "batch"], "resources": ["pods", "services", "deployments", "jobs"],
              "verbs": [*_READ, "create", "update", "patch", "delete"]}],
    "system:coredns": [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ],
    "prometheus": [
        {"apiGroups": [""], "resources": ["nodes", "nodes/metrics", "services", "endpoints", "pods"], "verbs": _READ},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ],
}  # fmt: skip
_CLUSTER_BINDINGS: dict[str, tuple[str, Json]] = {
    "cluster-admin": ("cluster-admin", {"kind": "Group", "name": "system:masters", "apiGroup": "rbac.authorization.k8s.io"}),
    "system:coredns": ("system:coredns", {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}),
    "prometheus": ("prometheus", {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}),
    "shop-developers-view": ("view", {"kind": "Group", "name": "shop-developers", "apiGroup": "rbac.authorization.k8s.io"}),
}  # fmt: skip


def _access(world: World) -> None:
    group = "rbac.authorization.k8s.io"
    for name, rules in _CLUSTER_ROLES.items():
        bootstrap = {"kubernetes.io/bootstrapping": "rbac-defaults"} if name != "prometheus" else None
        world.add(f"{group}/v1", "ClusterRole", name, age=ago(days=41), labels=bootstrap, rules=rules)
    for name, (role, subject) in _CLUSTER_BINDINGS.items():
        reference = {"apiGroup": group, "kind": "ClusterRole", "name": role}
        world.add(f"{group}/v1", "ClusterRoleBinding", name, age=ago(days=41), subjects=[subject], roleRef=reference)
    rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["payments-db"], "verbs": ["get"]}]
    world.add(f"{group}/v1", "Role", "payments-api", namespace="payments", age=ago(days=35), rules=rules)
    reference = {"apiGroup": group, "kind": "Role", "name": "payments-api"}
    subject = {"kind": "ServiceAccount", "name": "payments-api", "namespace": "payments"}
    world.add(
        f"{group}/v1",
        "RoleBinding",
        "payments-api",
        namespace="payments",
        age=ago(days=35),
        subjects=[subject],
        roleRef=reference,
    )


def _webhooks(world: World) -> None:
    rule = {
        "apiGroups": ["cert-manager.io"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["*/*"],
        "scope": "*",
    }
    for kind, path in (("MutatingWebhookConfiguration", "/mutate"), ("ValidatingWebhookConfiguration", "/validate")):
        hook = {
            "name": "webhook.cert-manager.io",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "matchPolicy": "Equivalent",
            "timeoutSeconds": 30,
            "rules": [rule],
            "clientConfig": {"service": {"name": "cert-manager-webhook", "namespace": "cert-manager", "path": path, "port": 443}},
        }
        world.add(
            "admissionregistration.k8s.io/v1",
            kind,
            "cert-manager-webhook",
            age=ago(days=40),
            webhooks=[hook],
            labels=app_labels("cert-manager-webhook"),
        )


def _custom_resource(world: World) -> None:
    names = {"plural": "certificates", "singular": "certificate", "kind": "Certificate", "listKind": "CertificateList",
             "shortNames": ["cert", "certs"], "categories": ["cert-manager"]}  # fmt: skip
    columns = [{"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
               {"name": "Secret", "type": "string", "jsonPath": ".spec.secretName"},
               {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]  # fmt: skip
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": schema,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    established = [
        {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    world.add(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "certificates.cert-manager.io",
        age=ago(days=40),
        spec={
            "group": "cert-manager.io",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
            "conversion": {"strategy": "None"},
        },
        status={"acceptedNames": names, "conditions": established, "storedVersions": ["v1"]},
    )
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "Certificate is up to date and has not expired"}
    world.add(
        "cert-manager.io/v1",
        "Certificate",
        "shop-tls",
        namespace="shop",
        age=ago(days=35),
        status={"conditions": [ready]},
        spec={
            "secretName": "shop-tls",
            "dnsNames": ["shop.example.com"],
            "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"},
        },
    )


def add_configuration(world: World) -> None:
    _secrets(world)
    _helm_release(world)
    _access(world)
    _webhooks(world)
    _custom_resource(world)
    settings = {"feature-flags.json": '{"newCheckout": true, "giftCards": false}', "theme": digest("theme")[:8]}
    world.add("v1", "ConfigMap", "storefront-settings", namespace="shop", age=ago(days=35), data=settings)
