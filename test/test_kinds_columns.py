"""Columns from which policy and capacity are judged without opening a manifest."""

from __future__ import annotations

from typing import Any

import pytest

from kinds.kind import Kind
from kinds.registry import KINDS
from kinds.storable_check import StorableCheck

META = {"name": "web", "namespace": "shop", "uid": "u1"}
CONTAINER = {
    "name": "app",
    "image": "r/app:1",
    "resources": {"requests": {"cpu": "250m", "memory": "1Gi", "nvidia.com/gpu": "1"}, "limits": {"memory": "2Gi"}},
    "livenessProbe": {"httpGet": {"path": "/healthz", "port": 80}},
    "readinessProbe": None,
    "securityContext": {
        "privileged": False,
        "runAsGroup": 0,
        "seccompProfile": {"type": "Unconfined"},
        "appArmorProfile": {"type": "RuntimeDefault"},
        "seLinuxOptions": {"type": "spc_t"},
        "procMount": "Unmasked",
    },
    "volumeMounts": [{"name": "run", "mountPath": "/run", "readOnly": True}],
    "env": [
        {"name": "PLAIN", "value": "x"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "db", "key": "user"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "app"}}, {"secretRef": {"name": "more"}}],
}
INIT = {"name": "setup", "image": "r/setup:1", "resources": {"requests": {"cpu": "1", "memory": "64Mi"}}}
SIDECAR = {"name": "mesh", "image": "r/mesh:1", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}}
SPEC = {
    "containers": [CONTAINER],
    "initContainers": [SIDECAR, INIT],
    "hostPID": False,
    "hostNetwork": True,
    "securityContext": {"runAsUser": 0, "fsGroup": 7, "seccompProfile": {"type": "RuntimeDefault"}, "sysctls": [{"name": "a"}]},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "volumes": [{"name": "run", "hostPath": {"path": "/run/containerd"}}],
    "overhead": {"cpu": "10m"},
}


def read(kind: str, **parts: Any) -> Any:
    record = KINDS[kind].read({"metadata": META, **parts})
    assert StorableCheck(KINDS[kind]).complaint(record) == ""
    return record


def test_a_pod_says_what_it_may_do() -> None:
    record = read("pods", spec=SPEC)
    assert (record.host_network, record.host_pid, record.host_ipc, record.host_users) == (True, False, None, None)
    assert (record.run_as_user, record.run_as_group, record.fs_group, record.seccomp_profile) == (0, None, 7, "RuntimeDefault")
    assert (record.sysctls, record.share_process_namespace) == ([{"name": "a"}], None)
    app, mesh, setup = record.containers
    assert (app.privileged, app.allow_privilege_escalation, app.run_as_group, app.run_as_user) == (False, None, 0, None)
    assert (app.seccomp_profile, app.apparmor_profile, app.proc_mount) == ("Unconfined", "RuntimeDefault", "Unmasked")
    assert (app.selinux, mesh.selinux) == ({"type": "spc_t"}, None)
    assert (app.liveness_probe, app.readiness_probe, setup.liveness_probe) == (True, False, False)
    assert app.probes == {"liveness": {"httpGet": {"path": "/healthz", "port": 80}}}
    assert app.mounts == [{"name": "run", "mountPath": "/run", "readOnly": True}]
    assert app.env_sources == ["Secret/db", "ConfigMap/app", "Secret/more"]
    assert (mesh.role, setup.role, mesh.env_sources, mesh.probes) == ("sidecar", "init", None, None)


def test_a_pod_says_what_is_reserved_for_it() -> None:
    """The init container beside the sidecar needs more CPU than all that runs later, and less memory."""
    record = read("pods", spec=SPEC)
    assert (record.cpu_request_millicores, record.memory_request_bytes) == (1000 + 100 + 10, 1024**3)
    assert record.ephemeral_request_bytes is None
    assert record.containers[0].requests == {"cpu": "250m", "memory": "1Gi", "nvidia.com/gpu": "1"}
    assert record.overhead == {"cpu": "10m"}


@pytest.mark.parametrize(
    ("containers", "init", "millicores"),
    [
        ([None], [], None),
        (["0"], [], 0),
        (["100m", None, "50m"], [], 150),
        (["100m"], [("300m", "init")], 300),
        (["100m"], [("50m", "init"), ("60m", "init")], 100),
        (["100m"], [("300m", "init"), ("50m", "sidecar")], 300),
        (["100m"], [("50m", "sidecar"), ("300m", "init")], 350),
        ([None], [(None, "init"), ("50m", "sidecar")], 50),
    ],
)
def test_requests_add_up_as_the_scheduler_adds_them(containers: Any, init: Any, millicores: int | None) -> None:
    def container(cpu: str | None, role: str = "main") -> dict[str, Any]:
        resources = {} if cpu is None else {"resources": {"requests": {"cpu": cpu}}}
        return {"name": "c", **resources, **({"restartPolicy": "Always"} if role == "sidecar" else {})}

    spec = {"containers": [container(cpu) for cpu in containers], "initContainers": [container(*one) for one in init]}
    assert read("pods", spec=spec).cpu_request_millicores == millicores


WORKLOADS = ("deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs")


def workload(kind: str, spec: dict[str, Any]) -> Any:
    selector = {"matchLabels": {"app": "web"}}
    inner = {"selector": selector, "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}}
    return read(kind, spec={"jobTemplate": {"spec": inner}} if kind == "cronjobs" else inner)


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_workload_says_of_its_template_what_pods_say(kind: str) -> None:
    record = workload(kind, SPEC)
    assert (record.selector, record.selector_map) == ("app=web", {"matchLabels": {"app": "web"}})
    assert record.template_labels == {"app": "web"}
    assert (record.images, record.init_images) == (["r/app:1"], ["r/mesh:1", "r/setup:1"])
    assert [(one["name"], one["role"]) for one in record.resources] == [("app", "main"), ("mesh", "sidecar"), ("setup", "init")]
    assert record.resources[0]["limits"] == {"memory": "2Gi"}
    assert (record.cpu_request_millicores, record.memory_request_bytes, record.ephemeral_request_bytes) == (1110, 1024**3, None)
    assert (record.security["hostNetwork"], record.security["hostPID"], "hostIPC" in record.security) == (True, False, False)
    assert record.security["containers"]["app"]["privileged"] is False
    assert (record.node_selector, record.tolerations) == ({"disk": "ssd"}, [{"key": "gpu", "operator": "Exists"}])
    assert record.volumes == [{"name": "run", "type": "hostPath", "source": "/run/containerd"}]


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_template_that_states_nothing_is_null_not_zero(kind: str) -> None:
    record = workload(kind, {"containers": [{"name": "a", "image": "i"}]})
    assert (record.cpu_request_millicores, record.security, record.volumes, record.node_selector) == (None, None, None, None)
    assert record.resources == [{"name": "a", "role": "main", "requests": None, "limits": None}]


def test_a_node_says_its_ephemeral_storage_and_its_pods_twice() -> None:
    capacity = {"ephemeral-storage": "100Gi", "pods": "110"}
    record = read("nodes", status={"capacity": capacity, "allocatable": {"ephemeral-storage": "90Gi", "pods": "0"}})
    assert (record.ephemeral_capacity_bytes, record.ephemeral_allocatable_bytes) == (100 * 2**30, 90 * 2**30)
    assert (record.pods_capacity, record.pods_allocatable) == (110, 0)
    assert read("nodes").ephemeral_capacity_bytes is None


def test_a_stateful_set_says_what_each_replica_claims() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "fast"}}
    record = read("statefulsets", spec={"volumeClaimTemplates": [claim, {}]})
    assert record.claim_requests[0] == {
        "name": "data", "storage": "10Gi", "storage_bytes": 10 * 2**30, "storage_class": "fast",
    }  # fmt: skip
    assert record.claim_requests[1]["storage_bytes"] is None


def test_a_service_says_who_may_come_in() -> None:
    record = read("services", spec={"loadBalancerSourceRanges": ["192.0.2.0/24"], "publishNotReadyAddresses": False})
    assert (record.load_balancer_source_ranges, record.publish_not_ready) == (["192.0.2.0/24"], False)
    assert read("services").load_balancer_source_ranges is None


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_normalised_form_of_a_quantity_is_no_history_of_its_own(kind: Kind) -> None:
    tables = [kind.columns, *(side.columns for side in kind.side_tables)]
    second = [column for columns in tables for column in columns if column.name.endswith(("_bytes", "_millicores", "_map"))]
    assert [column.name for column in second if column.tracked and column.name != "size_bytes"] == []
