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


@dataclass(frozen=True, slots=True)
class Progress:
    """`words` as `kubectl rollout status` prints them; `failed` when it will not get further by itself."""

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
    if int(manifest["metadata"].get("generation") or 0) > int(status.get("observedGeneration") or 0):
        return Progress(False, f"waiting for {name}: its controller has not seen the latest spec yet")
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
    paused = ", and it is paused: k8s_rollout action=resume lets it go on" if spec.get("paused") else ""
    start = f'waiting for deployment "{name}" rollout to finish:'
    if updated < wanted:
        return Progress(False, f"{start} {updated} out of {wanted} new replicas have been updated{paused}")
    if now > updated:
        return Progress(False, f"{start} {now - updated} old replicas are pending termination{paused}")
    if available < updated:
        return Progress(False, f"{start} {available} of {updated} updated replicas are available{paused}")
    return Progress(True, f'deployment "{name}" successfully rolled out')


def _daemonset(name: str, spec: Manifest, status: Manifest) -> Progress:
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Progress(True, f'daemon set "{name}" has the update strategy OnDelete: its pods change when somebody deletes them')
    wanted = _number(status, "desiredNumberScheduled")
    updated, available = _number(status, "updatedNumberScheduled"), _number(status, "numberAvailable")
    start = f'waiting for daemon set "{name}" rollout to finish:'
    if updated < wanted:
        return Progress(False, f"{start} {updated} out of {wanted} new pods have been updated")
    if available < wanted:
        return Progress(False, f"{start} {available} of {wanted} updated pods are available")
    return Progress(True, f'daemon set "{name}" successfully rolled out')


def _statefulset(name: str, spec: Manifest, status: Manifest) -> Progress:
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return Progress(
            True, f'stateful set "{name}" has the update strategy OnDelete: its pods change when somebody deletes them'
        )
    wanted, ready, updated = _number(spec, "replicas", 1), _number(status, "readyReplicas"), _number(status, "updatedReplicas")
    start = f'waiting for stateful set "{name}" rollout to finish:'
    if ready < wanted:
        return Progress(False, f"{start} {wanted - ready} of {wanted} pods are not ready")
    partition = _number(strategy.get("rollingUpdate") or {}, "partition")
    if partition and updated < wanted - partition:
        return Progress(
            False, f"{start} {updated} out of {wanted - partition} new pods have been updated (partition {partition})"
        )
    if not partition and status.get("updateRevision") != status.get("currentRevision"):
        return Progress(False, f"{start} {counted(updated, 'pod')} at revision {status.get('updateRevision')}")
    return Progress(True, f'stateful set "{name}" successfully rolled out, ' + counted(wanted, "pod"))


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
