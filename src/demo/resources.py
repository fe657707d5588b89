"""The resource table: every kind the simulated API serves, and how a CustomResourceDefinition adds one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from demo.api_status import Json

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource; `key` (plural.group, or plural for the core group) names it in the store."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    printer_columns: tuple[tuple[str, str, str, int], ...] = ()
    """Of a custom resource: (name, type, JSON path, priority)."""

    @property
    def key(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()


def _core(plural: str, kind: str, short: str = "", *, namespaced: bool = True, cat: str = "", sub: str = "") -> Resource:
    return _in("", "v1", plural, kind, short, namespaced=namespaced, cat=cat, sub=sub)


def _in(
    group: str,
    version: str,
    plural: str,
    kind: str,
    short: str = "",
    *,
    namespaced: bool = True,
    cat: str = "",
    sub: str = "",
) -> Resource:
    return Resource(group, version, plural, kind, namespaced, tuple(short.split()), tuple(cat.split()), tuple(sub.split()))


_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"

BUILT_IN: tuple[Resource, ...] = (
    _core("configmaps", "ConfigMap", "cm"),
    _core("endpoints", "Endpoints", "ep"),
    _core("events", "Event", "ev"),
    _core("limitranges", "LimitRange", "limits"),
    _core("namespaces", "Namespace", "ns", namespaced=False, sub="status finalize"),
    _core("nodes", "Node", "no", namespaced=False, sub="status"),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", sub="status"),
    _core("persistentvolumes", "PersistentVolume", "pv", namespaced=False, sub="status"),
    _core("pods", "Pod", "po", cat="all", sub="status log eviction"),
    _core("replicationcontrollers", "ReplicationController", "rc", cat="all", sub="status"),
    _core("resourcequotas", "ResourceQuota", "quota", sub="status"),
    _core("secrets", "Secret"),
    _core("serviceaccounts", "ServiceAccount", "sa"),
    _core("services", "Service", "svc", cat="all", sub="status"),
    _in("apps", "v1", "controllerrevisions", "ControllerRevision"),
    _in("apps", "v1", "daemonsets", "DaemonSet", "ds", cat="all", sub="status"),
    _in("apps", "v1", "deployments", "Deployment", "deploy", cat="all", sub="status scale"),
    _in("apps", "v1", "replicasets", "ReplicaSet", "rs", cat="all", sub="status scale"),
    _in("apps", "v1", "statefulsets", "StatefulSet", "sts", cat="all", sub="status scale"),
    _in("batch", "v1", "cronjobs", "CronJob", "cj", cat="all", sub="status"),
    _in("batch", "v1", "jobs", "Job", cat="all", sub="status"),
    _in("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", cat="all", sub="status"),
    _in("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False),
    _in("networking.k8s.io", "v1", "ingresses", "Ingress", "ing", sub="status"),
    _in("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "netpol"),
    _in("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", sub="status"),
    _in(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _in(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
    _in(_RBAC, "v1", "rolebindings", "RoleBinding"),
    _in(_RBAC, "v1", "roles", "Role"),
    _in("storage.k8s.io", "v1", "storageclasses", "StorageClass", "sc", namespaced=False),
    _in("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    _in("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", "pc", namespaced=False),
    _in("coordination.k8s.io", "v1", "leases", "Lease"),
    _in(_ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration",
        namespaced=False, cat="api-extensions"),
    _in(_ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration",
        namespaced=False, cat="api-extensions"),
    _in("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", "crd crds",
        namespaced=False, cat="api-extensions", sub="status"),
)  # fmt: skip

REVIEWS = {
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "selfsubjectrulesreviews": "SelfSubjectRulesReview",
}
"""Plural -> kind of what is created to be answered, and never stored."""


def of_custom_resource_definition(crd: Json) -> list[Resource]:
    """The resources that a CRD adds: one for each served version."""
    spec = crd["spec"]
    names = spec["names"]
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec.get("scope") == "Namespaced",
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            subresources=("status",) if "status" in version.get("subresources", {}) else (),
            printer_columns=tuple(
                (column["name"], column["type"], column["jsonPath"], column.get("priority", 0))
                for column in version.get("additionalPrinterColumns", ())
            ),
        )
        for version in spec["versions"]
        if version.get("served")
    ]


class ResourceTable:
    """What is served now: the built-in kinds and those of the stored CRDs."""

    def __init__(self) -> None:
        self._custom: dict[str, list[Resource]] = {}
        self._rebuild()

    def _rebuild(self) -> None:
        custom = [resource for resources in self._custom.values() for resource in resources]
        self.all: tuple[Resource, ...] = BUILT_IN + tuple(custom)
        self._by_path = {(r.group, r.version, r.plural): r for r in self.all}
        self._by_kind = {(r.group, r.kind): r for r in self.all}
        self._by_key = {r.key: r for r in self.all}

    def define(self, crd: Json) -> None:
        self._custom[crd["metadata"]["name"]] = of_custom_resource_definition(crd)
        self._rebuild()

    def undefine(self, name: str) -> None:
        self._custom.pop(name, None)
        self._rebuild()

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_path.get((group, version, plural))

    def of(self, obj: Json) -> Resource:
        """The resource of an object that is known to be served; KeyError otherwise."""
        return self._by_kind[(obj["apiVersion"].rpartition("/")[0], obj["kind"])]

    def by_key(self, key: str) -> Resource:
        return self._by_key[key]

    def group_versions(self) -> Iterable[tuple[str, str]]:
        """(group, version) pairs in the order kubectl shows them, the core group first."""
        return dict.fromkeys((r.group, r.version) for r in self.all)
