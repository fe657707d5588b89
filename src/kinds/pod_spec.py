"""Parts of a pod's spec that pods and the templates of workloads read alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kinds.quantity import millicores, whole
from kinds.record import Json

_ENV_SOURCES = {"secretKeyRef": "Secret", "secretRef": "Secret", "configMapKeyRef": "ConfigMap", "configMapRef": "ConfigMap"}
_PLACES = (("main", "containers"), ("init", "initContainers"), ("ephemeral", "ephemeralContainers"))


def containers_of(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """-> (main, init, sidecar or ephemeral; the container), main ones first."""
    for role, place in _PLACES:
        for container in spec.get(place) or []:
            yield "sidecar" if role == "init" and container.get("restartPolicy") == "Always" else role, container


def volumes_of(spec: dict[str, Any]) -> Json | None:
    """-> [{name, type, source}]; source is the name of the claim, config map, secret or host path, when it has one."""
    volumes = spec.get("volumes")
    return None if volumes is None else Json([_volume(volume) for volume in volumes])


def _volume(volume: dict[str, Any]) -> dict[str, Any]:
    type_ = next((key for key in volume if key != "name"), None)
    detail = volume.get(type_) if type_ else None
    detail = detail if isinstance(detail, dict) else {}
    source = next((detail[key] for key in ("claimName", "secretName", "name", "path", "driver") if key in detail), None)
    return {"name": volume.get("name"), "type": type_, "source": source}


def env_sources(container: dict[str, Any]) -> Json | None:
    """`["Secret/db", "ConfigMap/app"]`: what its environment is taken from, each once; None for nothing."""
    refs = [one["valueFrom"] for one in container.get("env") or () if one.get("valueFrom")]
    refs += container.get("envFrom") or ()
    found = dict.fromkeys(
        f"{kind}/{ref[field].get('name')}" for ref in refs for field, kind in _ENV_SOURCES.items() if ref.get(field)
    )
    return Json(list(found)) if found else None


def resources_by_container(spec: dict[str, Any]) -> Json:
    """-> [{name, role, requests, limits}], quantities as written; null where nothing is stated."""
    rows = []
    for role, container in containers_of(spec):
        stated = container.get("resources") or {}
        row = {"name": container.get("name"), "role": role, "requests": stated.get("requests"), "limits": stated.get("limits")}
        rows.append(row)
    return Json(rows)


def security_by_container(spec: dict[str, Any]) -> Json | None:
    """-> {hostNetwork, hostPID, hostIPC, pod, containers: {name: securityContext}}: what is stated of them; None for nothing."""
    stated = {name: spec[name] for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name) is not None}
    if spec.get("securityContext"):
        stated["pod"] = spec["securityContext"]
    each = {str(one.get("name")): one["securityContext"] for _, one in containers_of(spec) if one.get("securityContext")}
    if each:
        stated["containers"] = each
    return Json(stated) if stated else None


def requested(spec: dict[str, Any], resource: str) -> int | None:
    """What the scheduler reserves for one pod of this spec, in millicores for `cpu` and bytes otherwise."""
    unit = millicores if resource == "cpu" else whole
    amounts = [
        (role, unit(((container.get("resources") or {}).get("requests") or {}).get(resource)))
        for role, container in containers_of(spec)
    ]
    return reserved(amounts, unit((spec.get("overhead") or {}).get(resource)))


def reserved(amounts: Sequence[tuple[str, int | None]], overhead: int | None) -> int | None:
    """The same from (role, amount) of its containers; None when none of them asks for anything.

    Main containers and sidecars at once, or one init container beside the sidecars before it, whichever is more; plus
    overhead. Source: k8s.io/component-helpers resource/helpers.go, PodRequests.
    """
    running = sidecars = most = 0
    asked = False
    for role, amount in amounts:
        if amount is None or role == "ephemeral":
            continue
        asked = True
        if role == "main":
            running += amount
        elif role == "sidecar":
            sidecars += amount
        else:
            most = max(most, sidecars + amount)
    return max(running + sidecars, most) + (overhead or 0) if asked else None
