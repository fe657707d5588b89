"""Rollouts of Deployments, DaemonSets and StatefulSets: how far they are, their revisions, and the patch back to one.

Pure, and in kubectl's own words where it has some. Source: k8s.io/kubectl pkg/polymorphichelpers (rollout_status.go, history.go,
rollback.go).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kinds.counted import counted
from mcp_tools.redaction import Redactor

Manifest = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_HASH = "pod-template-hash"
_CALLED = {"deployments": "deployment", "daemonsets": "daemon set", "statefulsets": "statefulset"}
"""What kubectl calls them."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`words` begin as the line of `kubectl rollout status` does, without its dots; `failed` when it will not get further by
    itself. Where kubectl has no answer (OnDelete), `done` is that every pod is updated and runs."""

    done: bool
    words: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """One entry of the history. `template` is its pod template, `patch` what a ControllerRevision holds."""

    number: int
    name: str
    created_at: str
    change_cause: str
    images: tuple[str, ...]
    template: Manifest


def progress(kind: str, manifest: Manifest) -> Progress:
    """`kind` is the plural: deployments, daemonsets or statefulsets."""
    name = str(manifest["metadata"]["name"])
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    observed = _number(status, "observedGeneration")
    if _number(manifest["metadata"], "generation") > observed or (kind == "statefulsets" and not observed):
        return Progress(False, f"Waiting for {_CALLED[kind]} spec update to be observed by its controller")
    if kind == "deployments":
        return _deployment(name, spec, status)
    if kind == "daemonsets":
        return _daemonset(name, spec, status)
    return _statefulset(name, spec, status)


def _deployment(name: str, spec: Manifest, status: Manifest) -> Progress:
    conditions = {one.get("type"): one for one in status.get("conditions") or [] if isinstance(one, dict)}
    if (conditions.get("Progressing") or {}).get("reason") == "ProgressDeadlineExceeded":
        why = str(conditions["Progressing"].get("message") or "")
        return Progress(False, f'deployment "{name}" exceeded its progress deadline: {why}', failed=True)
    wanted, now = _number(spec, "replicas", 1), _number(status, "replicas")
    updated, available = _number(status, "updatedReplicas"), _number(status, "availableReplicas")
    paused = "; it is paused: k8s_rollout action=resume lets it go on" if spec.get("paused") else ""
    start = f'Waiting for deployment "{name}" rollout to finish:'
    if updated < wanted:
        return Progress(False, f"{start} {updated} out of {wanted} new replicas have been updated{paused}")
    if now > updated:
        return Progress(False, f"{start} {now - updated} old replicas are pending termination{paused}")
    if available < updated:
        return Progress(False, f"{start} {available} of {updated} updated replicas are available{paused}")
    return Progress(True, f'deployment "{name}" successfully rolled out')


def _daemonset(name: str, spec: Manifest, status: Manifest) -> Progress:
    wanted = _number(status, "desiredNumberScheduled")
    updated, available = _number(status, "updatedNumberScheduled"), _number(status, "numberAvailable")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return _by_hand(f'daemon set "{name}"', wanted, updated, available, "available")
    start = f'Waiting for daemon set "{name}" rollout to finish:'
    if updated < wanted:
        return Progress(False, f"{start} {updated} out of {wanted} new pods have been updated")
    if available < wanted:
        return Progress(False, f"{start} {available} of {wanted} updated pods are available")
    return Progress(True, f'daemon set "{name}" successfully rolled out')


def _statefulset(name: str, spec: Manifest, status: Manifest) -> Progress:
    """The API server gives every RollingUpdate a partition, 0 by default: kubectl calls each of them partitioned."""
    strategy = spec.get("updateStrategy") or {}
    wanted, ready, updated = _number(spec, "replicas", 1), _number(status, "readyReplicas"), _number(status, "updatedReplicas")
    old, new = status.get("currentRevision"), status.get("updateRevision")
    if strategy.get("type") == "OnDelete":
        return _by_hand(f'stateful set "{name}"', wanted, updated, ready, "ready")
    if ready < wanted:
        return Progress(False, f"Waiting for {wanted - ready} pods to be ready")
    rolling = strategy.get("rollingUpdate")
    if rolling is None and new != old:
        return Progress(False, f"waiting for statefulset rolling update to complete {updated} pods at revision {new}")
    if rolling is None:
        current = _number(status, "currentReplicas")
        return Progress(True, f"statefulset rolling update complete {current} pods at revision {old}")
    partition = _number(rolling, "partition")
    if updated < wanted - partition:
        rest = f"{updated} out of {wanted - partition} new pods have been updated"
        return Progress(False, f"Waiting for partitioned roll out to finish: {rest}")
    held = wanted - updated if partition else 0
    kept = f"; partition {partition} keeps {counted(held, 'pod')} at an older revision" if held > 0 and new != old else ""
    return Progress(True, f"partitioned roll out complete: {updated} new pods have been updated{kept}")


def _by_hand(what: str, wanted: int, updated: int, up: int, called: str) -> Progress:
    """OnDelete, of which kubectl says only that it cannot tell."""
    start = f"{what} has the update strategy OnDelete: {updated} of {wanted} pods have been updated, {up} are {called}"
    if updated < wanted:
        return Progress(False, f"{start}; the others change only when somebody deletes them")
    return Progress(up >= wanted, start)


def _number(mapping: Mapping[str, Any], key: str, default: int = 0) -> int:
    value = mapping.get(key, default)
    return int(value) if isinstance(value, (int, float)) else default


# --- revisions ---


def revisions(kind: str, owner: Manifest, kept: Iterable[Manifest]) -> list[Revision]:
    """The oldest first, from the ReplicaSets (of a Deployment) or ControllerRevisions that the object owns."""
    uid = owner["metadata"]["uid"]
    own = [one for one in kept if any(o.get("uid") == uid for o in one["metadata"].get("ownerReferences") or [])]
    found = [_of_replica_set(one) if kind == "deployments" else _of_controller_revision(one) for one in own]
    return sorted((one for one in found if one.number), key=lambda one: one.number)


def _of_replica_set(one: Manifest) -> Revision:
    annotations = one["metadata"].get("annotations") or {}
    number = str(annotations.get(REVISION) or "")
    template = copy.deepcopy((one.get("spec") or {}).get("template") or {})
    (template.get("metadata") or {}).get("labels", {}).pop(_HASH, None)
    return _revision(one, int(number) if number.isdecimal() else 0, template)


def _of_controller_revision(one: Manifest) -> Revision:
    number = one.get("revision")
    return _revision(
        one, number if isinstance(number, int) else 0, ((one.get("data") or {}).get("spec") or {}).get("template") or {}
    )


def _revision(one: Manifest, number: int, template: Manifest) -> Revision:
    metadata = one["metadata"]
    containers = (template.get("spec") or {}).get("containers") or []
    return Revision(
        number, str(metadata["name"]), str(metadata.get("creationTimestamp") or ""),
        str((metadata.get("annotations") or {}).get(CHANGE_CAUSE) or ""),
        tuple(str(container.get("image")) for container in containers), template,
    )  # fmt: skip


def redacted_template(redactor: Redactor, revision: Revision) -> Manifest:
    """The pod template as it may be shown: redacted as that of a ReplicaSet, wherever it was kept."""
    template = {key: value for key, value in copy.deepcopy(revision.template).items() if key != "$patch"}
    whole = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": revision.name}, "spec": {"template": template}}
    shown: Manifest = redactor.redact_object(whole)["spec"]["template"]
    return shown


def rollback_patch(owner: Manifest, revision: Revision) -> list[dict[str, Any]]:
    """A JSON patch that puts the pod template back, and with it the reason that was noted for that revision.

    Made of what the API server holds, secrets included, which is why it goes there and nowhere else.
    """
    template = copy.deepcopy(revision.template)
    template.pop("$patch", None)  # a ControllerRevision says so to a strategic merge patch
    operations: list[dict[str, Any]] = [{"op": "replace", "path": "/spec/template", "value": template}]
    cause, path = (
        (owner["metadata"].get("annotations") or {}).get(CHANGE_CAUSE),
        "/metadata/annotations/kubernetes.io~1change-cause",
    )
    if revision.change_cause and owner["metadata"].get("annotations"):
        operations.append({"op": "add", "path": path, "value": revision.change_cause})
    elif cause and not revision.change_cause:
        operations.append({"op": "remove", "path": path})
    return operations


def same_template(owner: Manifest, revision: Revision) -> bool:
    """Whether there is nothing to put back."""
    then = copy.deepcopy(revision.template)
    then.pop("$patch", None)
    return bool((owner.get("spec") or {}).get("template") == then)
