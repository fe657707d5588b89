"""Objects of every declared kind, ordinary and odd, for a real control plane."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from controlplane.api_client import ApiClient, ApiError, Object
from controlplane.control_plane import ControlPlane
from controlplane.pods import failing
from controlplane.polling import wait_until
from controlplane.stages import FAILING_STATES
from custom_resources import gateway_definitions, installed
from kinds_around_workloads import ALL_KINDS
from mcp_tools.object_forms import form_of

KINDS = {kind.name: kind for kind in ALL_KINDS}
IMAGE = "registry.example/shop/app:1.4.2"
POD = {"containers": [{"name": "app", "image": IMAGE}, {"name": "proxy", "image": "registry.example/proxy:2"}]}
EXPRESSIONS = {
    "matchLabels": {"app": "web"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["z", "a"]},
        {"key": "aaa", "operator": "DoesNotExist"},
        {"key": "app", "operator": "Exists"},
    ],
}
LABELS = {"app": "web", "tier": "a"}


def template(labels: dict[str, str], **spec: Any) -> Object:
    return {"metadata": {"labels": labels}, "spec": POD | spec}


class EveryKindOfObject:
    """Creates them in one namespace; what is cluster-scoped bears the namespace's name and goes with ``remove``."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.control_plane, self.namespace = control_plane, namespace
        self.api: ApiClient = control_plane.api
        self._cluster_scoped: list[str] = []
        self._installed = contextlib.ExitStack()

    def create(self) -> None:
        self._installed.enter_context(installed(self.api, *gateway_definitions()))
        self._workloads()
        self._pods()
        self._traffic()
        self._storage()
        self._policy()
        self._extensions()
        self._gateways()
        self._settle()
        self._bounds()
        wait_until(lambda: self.get("resourcequotas", "shop").get("status", {}).get("used"), "a counted quota")

    def remove(self) -> None:
        with contextlib.suppress(ApiError):
            self.control_plane.pods.release(self.namespace, "held")
        for path in self._cluster_scoped:
            with contextlib.suppress(ApiError):
                self.api.delete(path)
        self._installed.close()

    def post(self, kind: str, name: str, *, meta: Object | None = None, status: Object | None = None, **fields: Any) -> Object:
        """Creates an object; ``status`` is patched in. Cluster-scoped ones get the namespace as prefix of their name."""
        declared = KINDS[kind]
        name = name if declared.namespaced else f"{self.namespace}-{name}"
        body = {"apiVersion": declared.api_version, "kind": declared.kind, "metadata": {"name": name} | (meta or {})} | fields
        if status is not None and declared.optional:  # our definitions have no subresource for it
            body["status"] = status
        made: Object = self.api.post(declared.api_path(self.namespace), body)
        path = declared.api_path(self.namespace, name)
        if not declared.namespaced:
            self._cluster_scoped.append(path)
        if status is not None and not declared.optional:
            made = self.api.patch(f"{path}/status", {"status": status})
        return made

    def real(self, kind: str, namespace: str | None = None) -> list[Object]:
        """The objects of a kind, in the form in which the server reads them."""
        declared = KINDS[kind]
        if kind == "secrets":
            return form_of(declared).event_objects(self.api.get_table(declared.api_path(namespace)))
        items: list[Object] = self.api.get(declared.api_path(namespace))["items"]
        return items

    def get(self, kind: str, name: str) -> Object:
        found: Object = self.api.get(KINDS[kind].api_path(self.namespace, name))
        return found

    def _workloads(self) -> None:
        self.post("deployments", "web", spec={"replicas": 2, "selector": EXPRESSIONS, "template": template(LABELS)})
        nowhere = template({"app": "stuck"}, nodeSelector={"no": "where"})
        self.post("deployments", "stuck", spec={"selector": {"matchLabels": {"app": "stuck"}}, "template": nowhere})
        selector = {"matchLabels": {"app": "db"}}
        self.post(
            "statefulsets",
            "db",
            spec={"replicas": 1, "serviceName": "db", "selector": selector, "template": template({"app": "db"})},
        )
        nodes = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        agent = template({"app": "agent"}, nodeSelector=nodes)
        self.post("daemonsets", "agent", spec={"selector": {"matchLabels": {"app": "agent"}}, "template": agent})
        once = {"spec": POD | {"restartPolicy": "Never"}}
        self.post("jobs", "done", spec={"template": once, "completions": 1})
        self.post("jobs", "queue", spec={"template": once, "parallelism": 3, "suspend": True})
        failed = once | {"metadata": {"annotations": failing("Error")}}
        self.post("jobs", "broken", spec={"template": failed, "backoffLimit": 0})
        job = {"spec": {"template": once}}
        self.post(
            "cronjobs",
            "nightly",
            spec={"schedule": "0 3 * * *", "timeZone": "Europe/Zurich", "jobTemplate": job, "suspend": True},
        )
        active = [{"kind": "Job", "name": "ran-1", "namespace": self.namespace}]
        ran = {"lastScheduleTime": "2026-01-01T00:00:00Z", "active": active}
        self.post("cronjobs", "ran", spec={"schedule": "@yearly", "jobTemplate": job, "suspend": True}, status=ran)
        metrics = [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
            {
                "type": "External",
                "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "30"}},
            },
        ]
        for name, minimum, chosen in (("web", 2, metrics[:1]), ("many", None, metrics), ("external", None, metrics[2:])):
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
            spec = {"minReplicas": minimum, "maxReplicas": 5, "scaleTargetRef": target, "metrics": chosen}
            self.post("horizontalpodautoscalers", name, spec=spec, status=_measured() if name == "many" else None)

    def _pods(self) -> None:
        pods = self.control_plane.pods
        for number, state in enumerate(FAILING_STATES):
            pods.create(self.namespace, f"odd-{number}", state, wait=False)
        two = {"containers": [{"name": "app", "image": IMAGE}, {"name": "log", "image": IMAGE}]}
        pods.create(self.namespace, "half", "OOMKilled", only_container="log", spec=two, wait=False)
        pods.create(self.namespace, "gated", spec={"schedulingGates": [{"name": "later"}]}, wait=False)
        pods.create(
            self.namespace, "waiting-for-ready", spec={"readinessGates": [{"conditionType": "balancer/ready"}]}, wait=False
        )
        sidecar = {"name": "mesh", "image": IMAGE, "restartPolicy": "Always"}
        setup = {"name": "setup", "image": IMAGE}
        pods.create(self.namespace, "meshed", spec={"initContainers": [sidecar, setup], "schedulerName": "nobody"}, wait=False)
        self.api.patch(f"/api/v1/namespaces/{self.namespace}/pods/meshed/status", {"status": _meshed_status()})
        pods.create(self.namespace, "unscheduled", spec={"nodeSelector": {"no": "where"}}, wait=False)
        pods.create_terminating(self.namespace, "held")

    def _traffic(self) -> None:
        ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]
        self.post("services", "web", spec={"selector": LABELS, "ports": ports, "externalIPs": ["192.0.2.7"]})
        self.post("services", "headless", spec={"clusterIP": "None", "selector": {"app": "db"}})
        self.post("services", "node", spec={"type": "NodePort", "ports": ports})
        self.post("services", "pending", spec={"type": "LoadBalancer", "ports": ports[:1]})
        points = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"hostname": "lb.example"}, {"ip": "192.0.2.10"}]}}
        self.post(
            "services", "balanced", spec={"type": "LoadBalancer", "ports": ports[:1], "externalIPs": ["192.0.2.8"]}, status=points
        )
        self.post("services", "elsewhere", spec={"type": "ExternalName", "externalName": "db.example"})
        many = [{"addresses": [f"10.1.0.{number}"]} for number in range(5)]
        self.post(
            "endpointslices",
            "many",
            addressType="IPv4",
            endpoints=many,
            ports=[{"name": f"p{n}", "port": 80 + n} for n in range(4)],
        )
        self.post("endpointslices", "empty", addressType="FQDN", endpoints=[])
        backend = {"service": {"name": "web", "port": {"number": 80}}}
        rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        hosts = [rule | {"host": f"{name}.example.org"} for name in "abcd"]
        self.post("ingresses", "three", spec={"rules": [*hosts[:2], rule, hosts[2]], "ingressClassName": "nginx"})
        self.post("ingresses", "four", spec={"rules": [*hosts, rule], "tls": [{"hosts": ["a.example.org"]}]}, status=points)
        self.post("ingresses", "default", spec={"defaultBackend": backend})
        self.post("networkpolicies", "everyone", spec={"podSelector": {}, "egress": [{}]})
        self.post("networkpolicies", "some", spec={"podSelector": EXPRESSIONS, "policyTypes": ["Ingress"]})

    def _storage(self) -> None:
        self.post("storageclasses", "plain", provisioner="disk.example")
        marked = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
        slow = {"reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True}
        self.post("storageclasses", "fast", meta=marked, provisioner="disk.example", **slow)
        size = {"storage": "1536Mi"}
        volume = {"capacity": size, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "hostPath": {"path": "/data"}}
        self.post("persistentvolumes", "free", spec=volume | {"accessModes": ["ReadOnlyMany"], "storageClassName": "other"})
        name = f"{self.namespace}-used"
        claimed = {"claimRef": {"namespace": self.namespace, "name": "bound"}, "persistentVolumeReclaimPolicy": "Delete"}
        self.post("persistentvolumes", "used", spec=volume | claimed | {"mountOptions": ["ro"]})
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        self.post("persistentvolumeclaims", "bound", spec=wanted | {"volumeName": name, "storageClassName": ""})
        self.post("persistentvolumeclaims", "pending", spec=wanted | {"storageClassName": "missing", "volumeMode": "Block"})

    def _policy(self) -> None:
        self.post("configmaps", "settings", data={"a": "1", "b": "2"}, binaryData={"c": "AAAA"}, immutable=True)
        self.post("secrets", "plain", data={"a": "MQ==", "b": "Mg=="}, stringData={"c": "3"})
        self.post("secrets", "empty", type="example.com/nothing", immutable=True)
        labels = {"owner": "helm", "name": "shop", "version": "2", "status": "deployed", "modifiedAt": "1767225600"}
        release = {"release": "SDRzSUFBQUFBQUFBLw=="}
        self.post("secrets", "sh.helm.release.v1.shop.v2", meta={"labels": labels}, type="helm.sh/release.v1", data=release)
        self.post("serviceaccounts", "runner", automountServiceAccountToken=False, imagePullSecrets=[{"name": "registry"}])
        rules = [{"apiGroups": ["", "apps"], "resources": ["pods", "deployments"], "verbs": ["get"]}]
        self.post("roles", "reader", rules=rules)
        self.post("clusterroles", "reader", rules=[*rules, {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}])
        group = "rbac.authorization.k8s.io"
        subjects = [
            {"kind": "User", "name": "ada", "apiGroup": group},
            {"kind": "User", "name": "bob", "apiGroup": group},
            {"kind": "Group", "name": "ops", "apiGroup": group},
            {"kind": "ServiceAccount", "name": "runner", "namespace": self.namespace},
        ]
        for kind, role in (("rolebindings", "Role"), ("clusterrolebindings", "ClusterRole")):
            reference = {"apiGroup": group, "kind": role, "name": "reader"}
            self.post(kind, "readers", roleRef=reference, subjects=subjects)
            self.post(kind, "nobody", roleRef=reference)
        self.post("poddisruptionbudgets", "web", spec={"minAvailable": 1, "selector": EXPRESSIONS})
        self.post("poddisruptionbudgets", "db", spec={"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "db"}}})

    def _bounds(self) -> None:
        """After the pods: they state no limits, which a quota on limits refuses."""
        self.post(
            "resourcequotas", "shop", spec={"hard": {"requests.cpu": "2500m", "limits.memory": "8Gi", "count/configmaps": "50"}}
        )
        self.post("limitranges", "shop", spec={"limits": [{"type": "Container", "max": {"cpu": "4"}, "default": {"cpu": "1"}}]})

    def _extensions(self) -> None:
        group = f"{self.namespace}.example"
        names = {"plural": "orders", "singular": "order", "kind": "Order", "shortNames": ["ord"]}
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        declared = KINDS["customresourcedefinitions"]
        body = {
            "metadata": {"name": f"orders.{group}"},
            "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
        }
        self.api.post(declared.api_path(), body)
        self._cluster_scoped.append(declared.api_path(None, f"orders.{group}"))
        hook = {
            "name": "gate.shop.example",
            "clientConfig": {"service": {"namespace": self.namespace, "name": "gate"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": ["never.example"], "apiVersions": ["v1"], "resources": ["things"]}],
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        for kind in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
            self.post(kind, "gate", webhooks=[hook])

    def _gateways(self) -> None:
        accepted = {"type": "Accepted", "status": "True", "reason": "Accepted"}
        programmed = {"type": "Programmed", "status": "True", "reason": "Programmed"}
        resolved = {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs"}
        missing = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "service gone is not there"}
        self.post(
            "gatewayclasses",
            "edge",
            spec={"controllerName": "example.com/edge", "description": "at the edge"},
            status={"conditions": [accepted]},
        )
        self.post("gatewayclasses", "nobody", spec={"controllerName": "example.com/nobody"})
        listeners = [
            {"name": "http", "port": 80, "protocol": "HTTP"},
            {
                "name": "https",
                "port": 443,
                "protocol": "HTTPS",
                "hostname": "*.example.org",
                "tls": {"certificateRefs": [{"name": "cert"}, {"name": "other", "namespace": "certs"}]},
                "allowedRoutes": {"namespaces": {"from": "All"}},
            },
        ]
        told = [
            {"name": "http", "attachedRoutes": 2, "conditions": [programmed, resolved]},
            {"name": "https", "attachedRoutes": 1, "conditions": [programmed, resolved]},
        ]
        addresses = [{"type": "IPAddress", "value": "192.0.2.20"}, {"type": "IPAddress", "value": "192.0.2.21"}]
        status = {"addresses": addresses, "conditions": [accepted, programmed], "listeners": told}
        spec = {"gatewayClassName": f"{self.namespace}-edge", "listeners": listeners}
        self.post("gateways", "public", spec=spec, status=status)
        self.post("gateways", "pending", spec=spec | {"listeners": listeners[:1]})
        parent = {"name": "public", "sectionName": "https"}
        backends = [{"name": "web", "port": 80, "weight": 9}, {"name": "gone", "namespace": "elsewhere", "port": 80, "weight": 0}]
        rules = [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends},
            {"backendRefs": backends[:1]},
        ]
        whole = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": self.namespace} | parent
        said = {"parents": [{"parentRef": whole, "controllerName": "example.com/edge", "conditions": [accepted, missing]}]}
        self.post(
            "httproutes", "shop", spec={"parentRefs": [parent], "hostnames": ["a.example.org"], "rules": rules}, status=said
        )
        self.post("httproutes", "waiting", spec={"parentRefs": [{"name": "pending"}]})
        well = {"parents": [{"parentRef": parent, "controllerName": "example.com/edge", "conditions": [accepted, resolved]}]}
        self.post("grpcroutes", "orders", spec={"parentRefs": [parent], "rules": rules[1:]}, status=well)
        grant = {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}],
            "to": [{"group": "", "kind": "Service"}],
        }
        self.post("referencegrants", "shop", spec=grant)

    def _settle(self) -> None:
        """Waits for what the controllers make of it, so that the cells are worth comparing."""
        for what, done in {
            "a rollout": lambda: self.get("deployments", "web")["status"].get("readyReplicas") == 2,
            "a finished job": lambda: self.get("jobs", "done")["status"].get("succeeded") == 1,
            "a failed job": lambda: _has(self.get("jobs", "broken"), "Failed"),
            "a bound claim": lambda: self.get("persistentvolumeclaims", "bound")["status"]["phase"] == "Bound",
            "a budget": lambda: self.get("poddisruptionbudgets", "web")["status"].get("disruptionsAllowed") == 1,
            "the odd pods": lambda: all(self._has_status(f"odd-{n}") for n in range(len(FAILING_STATES))),
            "an unscheduled pod": lambda: self.get("pods", "unscheduled")["status"].get("conditions"),
        }.items():
            wait_until(done, what, timeout_seconds=60, interval_seconds=0.1)

    def _has_status(self, pod: str) -> bool:
        return "startTime" in self.get("pods", pod)["status"]


def _has(obj: Object, condition: str, status: str = "True") -> bool:
    return any(c["type"] == condition and c["status"] == status for c in obj.get("status", {}).get("conditions", []))


def _measured() -> Object:
    """What a metrics server would have led to; the controller replaces it after 15 s, at its first look."""
    cpu = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "120m"}}}
    rps = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "current": {"averageValue": "2500m"}}}
    return {"currentReplicas": 3, "desiredReplicas": 3, "currentMetrics": [cpu, rps]}


def _meshed_status() -> Object:
    """A started sidecar that restarted, after an init container that restarted too and was done."""

    def ended(at: str) -> Object:
        return {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": at}}

    base = {"image": IMAGE, "imageID": IMAGE}
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {
        "phase": "Running",
        "conditions": [{"type": "Initialized", "status": "True"}],
        "initContainerStatuses": [
            base
            | {
                "name": "mesh",
                "ready": True,
                "started": True,
                "restartCount": 2,
                "state": running,
                "lastState": ended("2026-01-01T00:00:00Z"),
            },
            base | {"name": "setup", "ready": True, "restartCount": 5, "state": done, "lastState": ended("2026-01-02T00:00:00Z")},
        ],
        "containerStatuses": [base | {"name": "app", "ready": True, "started": True, "restartCount": 0, "state": running}],
    }


@contextlib.contextmanager
def every_kind_of_object(control_plane: ControlPlane, namespace: str) -> Iterator[EveryKindOfObject]:
    objects = EveryKindOfObject(control_plane, namespace)
    try:
        objects.create()
        yield objects
    finally:
        objects.remove()
