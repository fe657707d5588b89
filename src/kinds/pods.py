"""Pods, with their containers in a side table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from kinds.booleans import stated
from kinds.kind import Kind, SideTable
from kinds.metadata import common, conditions
from kinds.named_lists import names_of
from kinds.pod_spec import env_sources, reserved, volumes_of
from kinds.pod_status import pod_status
from kinds.quantity import millicores, whole
from kinds.record import Json, Record, SideRecord, Time, column, record
from kinds.times import to_time

_PROBES = (("livenessProbe", "liveness"), ("readinessProbe", "readiness"), ("startupProbe", "startup"))

Role = Literal["main", "init", "sidecar", "ephemeral"]


@record
class ContainerRecord(SideRecord):
    """One container of a pod: what was asked for (spec) beside what is (status)."""

    namespace: str = column("namespace of the pod", index=True)
    pod: str = column("name of the pod", index=True)
    name: str = column("container name")
    role: Role = column("main, init, sidecar (init container with restartPolicy Always) or ephemeral")
    image: str = column("image as written in the spec", index=True)
    image_id: str | None = column("resolved image with digest, from the status")
    image_pull_policy: str | None = column("Always, IfNotPresent or Never")
    ready: bool | None = column("status.ready; null when there is no status yet")
    started: bool | None = column("status.started; null when unknown")
    restarts: int | None = column("restartCount; null when there is no status yet")
    state: str | None = column("running, waiting or terminated")
    reason: str | None = column("reason of that state, e.g. CrashLoopBackOff", index=True)
    message: str | None = column("message of that state")
    exit_code: int | None = column("exit code, when terminated")
    state_since: Time | None = column("when it started running, or when it terminated", tracked=False)
    last_reason: str | None = column("reason of the previous termination, e.g. OOMKilled", index=True)
    last_exit_code: int | None = column("exit code of the previous termination")
    last_finished_at: Time | None = column("when the previous run ended", tracked=False)
    cpu_request: str | None = column("requests.cpu as written")
    cpu_request_millicores: int | None = column("requests.cpu in thousandths of a core", tracked=False)
    cpu_limit: str | None = column("limits.cpu as written")
    cpu_limit_millicores: int | None = column("limits.cpu in thousandths of a core", tracked=False)
    memory_request: str | None = column("requests.memory as written")
    memory_request_bytes: int | None = column("requests.memory in bytes", tracked=False)
    memory_limit: str | None = column("limits.memory as written")
    memory_limit_bytes: int | None = column("limits.memory in bytes", tracked=False)
    ephemeral_request: str | None = column("requests.ephemeral-storage as written")
    ephemeral_request_bytes: int | None = column("requests.ephemeral-storage in bytes", tracked=False)
    ephemeral_limit: str | None = column("limits.ephemeral-storage as written")
    ephemeral_limit_bytes: int | None = column("limits.ephemeral-storage in bytes", tracked=False)
    liveness_probe: bool = column("has a liveness probe")
    readiness_probe: bool = column("has a readiness probe")
    startup_probe: bool = column("has a startup probe")
    privileged: bool | None = column("securityContext.privileged; null when not set")
    allow_privilege_escalation: bool | None = column("securityContext.allowPrivilegeEscalation; null when not set")
    run_as_non_root: bool | None = column("securityContext.runAsNonRoot; null when not set (the pod's may apply)")
    run_as_user: int | None = column("securityContext.runAsUser; null when not set")
    read_only_root: bool | None = column("securityContext.readOnlyRootFilesystem; null when not set")
    added_capabilities: Json | None = column("securityContext.capabilities.add, a JSON list")
    dropped_capabilities: Json | None = column("securityContext.capabilities.drop, a JSON list")
    run_as_group: int | None = column("securityContext.runAsGroup; null when not set")
    seccomp_profile: str | None = column("securityContext.seccompProfile.type; null when not set (the pod's applies)")
    apparmor_profile: str | None = column("securityContext.appArmorProfile.type; null when not set (the pod's applies)")
    selinux: Json | None = column("securityContext.seLinuxOptions, a JSON map")
    proc_mount: str | None = column("securityContext.procMount; null when not set, which means Default")
    requests: Json | None = column("requests of every resource as written, a JSON map: also GPUs and huge pages", tracked=False)
    limits: Json | None = column("limits of every resource as written, a JSON map", tracked=False)
    probes: Json | None = column("its probes as written, a JSON map {liveness, readiness, startup}; null without any")
    mounts: Json | None = column("volumeMounts, a JSON list of {name, mountPath, readOnly, subPath, …}")
    env_sources: Json | None = column("what its environment is taken from, a JSON list of Secret/name and ConfigMap/name")
    ports: Json | None = column("ports, a JSON list of {name, containerPort, protocol, hostPort}")
    env_names: Json | None = column("names of its environment variables, a JSON list; never values")


@record
class PodRecord(Record):
    """What `kubectl get pod -o wide` and `describe` show, ready for SQL."""

    status: str = column("STATUS as kubectl prints it: Running, CrashLoopBackOff, Init:0/2, Terminating …", index=True)
    phase: str | None = column("status.phase: Pending, Running, Succeeded, Failed, Unknown")
    healthy: bool = column("every container ready, or finished with success; not being deleted", index=True)
    ready: str = column("READY as kubectl prints it: ready/total containers")
    ready_containers: int = column("containers that are ready", tracked=False)
    total_containers: int = column("containers that should be ready (main and sidecar)", tracked=False)
    restarts: int = column("RESTARTS as kubectl counts them")
    last_restart_at: Time | None = column(
        "when the latest of these restarts happened, as RESTARTS shows it in brackets", tracked=False
    )
    node: str | None = column("node it is bound to; null when not scheduled", index=True)
    nominated_node: str | None = column("status.nominatedNodeName")
    pod_ip: str | None = column("status.podIP", index=True)
    pod_ips: Json | None = column("all pod IPs, a JSON list", tracked=False)
    host_ip: str | None = column("status.hostIP")
    qos_class: str | None = column("Guaranteed, Burstable or BestEffort")
    priority_class: str | None = column("spec.priorityClassName")
    service_account: str | None = column("spec.serviceAccountName")
    restart_policy: str | None = column("Always, OnFailure or Never")
    scheduler: str | None = column("spec.schedulerName")
    host_network: bool | None = column("spec.hostNetwork; null when not set, which means no")
    host_pid: bool | None = column("spec.hostPID; null when not set, which means no")
    host_ipc: bool | None = column("spec.hostIPC; null when not set, which means no")
    run_as_non_root: bool | None = column("spec.securityContext.runAsNonRoot; null when not set")
    run_as_user: int | None = column("spec.securityContext.runAsUser; null when not set")
    run_as_group: int | None = column("spec.securityContext.runAsGroup; null when not set")
    fs_group: int | None = column("spec.securityContext.fsGroup; null when not set")
    seccomp_profile: str | None = column("spec.securityContext.seccompProfile.type; null when not set")
    apparmor_profile: str | None = column("spec.securityContext.appArmorProfile.type; null when not set")
    selinux: Json | None = column("spec.securityContext.seLinuxOptions, a JSON map")
    sysctls: Json | None = column("spec.securityContext.sysctls, a JSON list of {name, value}")
    share_process_namespace: bool | None = column("spec.shareProcessNamespace; null when not set, which means no")
    host_users: bool | None = column("spec.hostUsers: false has user ids of its own; null when not set, which means true")
    cpu_request_millicores: int | None = column(
        "CPU that the scheduler reserves for it: main containers and sidecars, or an init container if that is more, and "
        "overhead, in thousandths of a core; null when nothing is asked for",
        tracked=False,
    )
    memory_request_bytes: int | None = column("memory that the scheduler reserves for it, likewise, in bytes", tracked=False)
    ephemeral_request_bytes: int | None = column("ephemeral storage that the scheduler reserves, in bytes", tracked=False)
    overhead: Json | None = column("spec.overhead: what its runtime class adds, a JSON map of quantities as written")
    priority: int | None = column("spec.priority", tracked=False)
    runtime_class: str | None = column("spec.runtimeClassName")
    affinity: Json | None = column("spec.affinity, a JSON object")
    topology_spread: Json | None = column("spec.topologySpreadConstraints, a JSON list")
    termination_grace_seconds: int | None = column("spec.terminationGracePeriodSeconds")
    automount_token: bool | None = column("spec.automountServiceAccountToken; null when not set")
    reason: str | None = column("status.reason, e.g. Evicted")
    message: str | None = column("status.message, or why it is not scheduled")
    started_at: Time | None = column("status.startTime")
    conditions: Json = column("condition type -> status, a JSON map")
    node_selector: Json | None = column("spec.nodeSelector, a JSON map")
    tolerations: Json | None = column("spec.tolerations, a JSON list")
    volumes: Json | None = column("volumes, a JSON list of {name, type, source}")
    readiness_gates: Json | None = column("spec.readinessGates, a JSON list of condition types")
    image_pull_secrets: Json | None = column("names of spec.imagePullSecrets, a JSON list")
    images: Json = column("images of all containers, a JSON list without repetitions", tracked=False)
    containers: tuple[ContainerRecord, ...]


def read(pod: dict[str, Any]) -> PodRecord:
    """Redacted API object -> PodRecord."""
    shared = common(pod)
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    security = spec.get("securityContext") or {}
    overhead = spec.get("overhead") or {}
    printed = pod_status(pod)
    states = conditions(pod)
    containers = tuple(_containers(shared, spec, status))
    finished = printed.status == "Completed" or status.get("phase") == "Succeeded"
    all_ready = printed.status == "Running" and printed.ready_containers == printed.total_containers
    return PodRecord(
        **shared,
        status=printed.status,
        phase=status.get("phase"),
        healthy=(finished or all_ready) and shared["deleting_since"] is None,
        ready=f"{printed.ready_containers}/{printed.total_containers}",
        ready_containers=printed.ready_containers,
        total_containers=printed.total_containers,
        restarts=printed.restarts,
        last_restart_at=printed.last_restart_at,
        node=spec.get("nodeName"),
        nominated_node=status.get("nominatedNodeName"),
        pod_ip=status.get("podIP"),
        pod_ips=names_of(status.get("podIPs"), "ip"),
        host_ip=status.get("hostIP"),
        qos_class=status.get("qosClass"),
        priority_class=spec.get("priorityClassName"),
        service_account=spec.get("serviceAccountName"),
        restart_policy=spec.get("restartPolicy"),
        scheduler=spec.get("schedulerName"),
        host_network=stated(spec.get("hostNetwork")),
        host_pid=stated(spec.get("hostPID")),
        host_ipc=stated(spec.get("hostIPC")),
        run_as_non_root=security.get("runAsNonRoot"),
        run_as_user=security.get("runAsUser"),
        run_as_group=security.get("runAsGroup"),
        fs_group=security.get("fsGroup"),
        seccomp_profile=(security.get("seccompProfile") or {}).get("type"),
        apparmor_profile=(security.get("appArmorProfile") or {}).get("type"),
        selinux=security.get("seLinuxOptions"),
        sysctls=security.get("sysctls"),
        share_process_namespace=spec.get("shareProcessNamespace"),
        host_users=spec.get("hostUsers"),
        cpu_request_millicores=reserved(
            [(one.role, one.cpu_request_millicores) for one in containers], millicores(overhead.get("cpu"))
        ),
        memory_request_bytes=reserved(
            [(one.role, one.memory_request_bytes) for one in containers], whole(overhead.get("memory"))
        ),
        ephemeral_request_bytes=reserved(
            [(one.role, one.ephemeral_request_bytes) for one in containers], whole(overhead.get("ephemeral-storage"))
        ),
        overhead=spec.get("overhead"),
        priority=spec.get("priority"),
        runtime_class=spec.get("runtimeClassName"),
        affinity=spec.get("affinity"),
        topology_spread=spec.get("topologySpreadConstraints"),
        termination_grace_seconds=spec.get("terminationGracePeriodSeconds"),
        automount_token=spec.get("automountServiceAccountToken"),
        reason=status.get("reason"),
        message=status.get("message") or _scheduling_message(status),
        started_at=to_time(status.get("startTime")),
        conditions=Json(states),
        node_selector=spec.get("nodeSelector"),
        tolerations=spec.get("tolerations"),
        volumes=volumes_of(spec),
        readiness_gates=names_of(spec.get("readinessGates"), "conditionType"),
        image_pull_secrets=names_of(spec.get("imagePullSecrets"), "name"),
        images=Json(list(dict.fromkeys(one.image for one in containers if isinstance(one.image, str)))),
        containers=containers,
    )


def _scheduling_message(status: dict[str, Any]) -> str | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "") or None
    return None


def _containers(shared: Mapping[str, Any], spec: dict[str, Any], status: dict[str, Any]) -> Iterator[ContainerRecord]:
    for role, wanted, seen in (
        ("main", "containers", "containerStatuses"),
        ("init", "initContainers", "initContainerStatuses"),
        ("ephemeral", "ephemeralContainers", "ephemeralContainerStatuses"),
    ):
        statuses = {s.get("name"): s for s in status.get(seen) or []}
        for container in spec.get(wanted) or []:
            sidecar = role == "init" and container.get("restartPolicy") == "Always"
            yield _container(shared, "sidecar" if sidecar else role, container, statuses.get(container["name"], {}))


def _container(shared: Mapping[str, Any], role: Any, spec: dict[str, Any], status: dict[str, Any]) -> ContainerRecord:
    state_name, state = _state(status.get("state"))
    _, last = _state(status.get("lastState"))
    resources = spec.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    security = spec.get("securityContext") or {}
    capabilities = security.get("capabilities") or {}
    return ContainerRecord(
        namespace=shared["namespace"],
        pod=shared["name"],
        name=spec["name"],
        role=role,
        image=spec.get("image") or "",
        image_id=status.get("imageID"),
        image_pull_policy=spec.get("imagePullPolicy"),
        ready=status.get("ready"),
        started=status.get("started"),
        restarts=status.get("restartCount"),
        state=state_name,
        reason=state.get("reason"),
        message=state.get("message"),
        exit_code=state.get("exitCode"),
        state_since=to_time(state.get("finishedAt") or state.get("startedAt")),
        last_reason=last.get("reason"),
        last_exit_code=last.get("exitCode"),
        last_finished_at=to_time(last.get("finishedAt")),
        cpu_request=requests.get("cpu"),
        cpu_request_millicores=millicores(requests.get("cpu")),
        cpu_limit=limits.get("cpu"),
        cpu_limit_millicores=millicores(limits.get("cpu")),
        memory_request=requests.get("memory"),
        memory_request_bytes=whole(requests.get("memory")),
        memory_limit=limits.get("memory"),
        memory_limit_bytes=whole(limits.get("memory")),
        ephemeral_request=requests.get("ephemeral-storage"),
        ephemeral_request_bytes=whole(requests.get("ephemeral-storage")),
        ephemeral_limit=limits.get("ephemeral-storage"),
        ephemeral_limit_bytes=whole(limits.get("ephemeral-storage")),
        liveness_probe=spec.get("livenessProbe") is not None,
        readiness_probe=spec.get("readinessProbe") is not None,
        startup_probe=spec.get("startupProbe") is not None,
        privileged=security.get("privileged"),
        allow_privilege_escalation=security.get("allowPrivilegeEscalation"),
        run_as_non_root=security.get("runAsNonRoot"),
        run_as_user=security.get("runAsUser"),
        read_only_root=security.get("readOnlyRootFilesystem"),
        added_capabilities=capabilities.get("add"),
        dropped_capabilities=capabilities.get("drop"),
        run_as_group=security.get("runAsGroup"),
        seccomp_profile=(security.get("seccompProfile") or {}).get("type"),
        apparmor_profile=(security.get("appArmorProfile") or {}).get("type"),
        selinux=security.get("seLinuxOptions"),
        proc_mount=security.get("procMount"),
        requests=resources.get("requests"),
        limits=resources.get("limits"),
        probes=_probes(spec),
        mounts=spec.get("volumeMounts"),
        env_sources=env_sources(spec),
        ports=spec.get("ports"),
        env_names=names_of(spec.get("env"), "name"),
    )


def _probes(container: dict[str, Any]) -> Json | None:
    found = {name: probe for field, name in _PROBES if (probe := container.get(field)) is not None}
    return Json(found) if found else None


def _state(states: dict[str, Any] | None) -> tuple[str | None, dict[str, Any]]:
    """`{"waiting": {...}}` -> ("waiting", {...})."""
    for name in ("waiting", "terminated", "running"):
        if states and states.get(name) is not None:
            return name, states[name]
    return None, {}


PODS = Kind(
    name="pods",
    kind="Pod",
    group="",
    version="v1",
    namespaced=True,
    dynamic=True,
    record=PodRecord,
    read=read,
    list_columns=("namespace", "name", "ready", "status", "restarts", "created_at", "pod_ip", "node"),
    filters={"status": "status", "node": "node", "healthy": "healthy", "phase": "phase"},
    side_tables=(SideTable("containers", "containers", ContainerRecord),),
    revision=3,
    aliases=("pod", "po"),
)
