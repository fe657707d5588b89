"""Which containers' logs are meant, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configuration.errors import InvalidArguments, NotFound, NotPermitted
from kinds.label_selector import parse
from kinds.registry import KINDS
from mcp_tools.k8s_api import AnswerTooLarge, ClusterApi
from mcp_tools.list_pages import decode_item, decode_page

EVERY_CONTAINER = "*"
MOST_PODS = 10
MOST_SOURCES = 20
_PODS = KINDS["pods"]
_PAGE = 500
_LAST_LINE_BYTES = 256 * 1024
_FIELDS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class LogSource:
    """One container of one pod. `container` "": the API server decides."""

    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class ChosenSources:
    """`pods_found` fit the selector (at least so many); `left_out` says which of them are not read, "" for none."""

    sources: tuple[LogSource, ...]
    pods_found: int
    left_out: str = ""


async def sources_of_pod(api: ClusterApi, namespace: str, pod: str, wanted: str) -> ChosenSources:
    """The container that was named, all of them, or the only one. Without permission to read the pod the API server decides."""
    try:
        answer = await api.get(_PODS.api_path(namespace, pod), doing=f"get Pod {namespace}/{pod}")
    except NotPermitted:
        if wanted == EVERY_CONTAINER:
            raise
        return ChosenSources((LogSource(pod, wanted),), 1)
    return _bounded(_named(namespace, pod, _containers(decode_item(answer.body)), wanted), 1, "")


async def sources_of_selector(api: ClusterApi, namespace: str, selector: str, wanted: str) -> ChosenSources:
    """Of at most MOST_PODS pods, those that are not ready first. Raises NotFound when none fits, InvalidSelector."""
    parse(selector)
    doing = f"list pods in namespace {namespace} with {selector[:200]}"
    query: list[tuple[str, str | int]] = [("labelSelector", selector), ("limit", _PAGE)]
    page = decode_page((await api.get(_PODS.api_path(namespace), doing=doing, query=query)).body, doing)
    pods = sorted((decode_item(raw) for raw in page.items or []), key=lambda pod: (_is_ready(pod), str(pod["metadata"]["name"])))
    if not pods:
        raise NotFound(f"no pod in namespace {namespace} fits label_selector {selector[:200]!r}; k8s_list_pods shows their names")
    sources = [source for pod in pods[:MOST_PODS] for source in _of_many(pod, wanted)]
    if not sources:
        raise InvalidArguments(f"none of the {len(pods)} pods has a container {wanted!r}")
    more = f"{len(pods)}{'+' if page.metadata.continue_token else ''}"
    names = ", ".join(str(pod["metadata"]["name"]) for pod in pods[MOST_PODS : MOST_PODS + 3])
    left_out = f"{MOST_PODS} of {more} pods read, those that are not ready first; not read: {names} …" if names else ""
    return _bounded(sources, len(pods), left_out)


async def read_source(
    api: ClusterApi, namespace: str, source: LogSource, query: Sequence[tuple[str, str | int]], tail: int, *, max_bytes: int
) -> tuple[bytes, int]:
    """The last `tail` lines with timestamps, or fewer when they are too long, and how many that were asked for.

    `limitBytes` would cut off the newest ones.
    """
    doing = f"read the logs of Pod {namespace}/{source.pod}"
    path = f"{_PODS.api_path(namespace, source.pod)}/log"
    asked: list[tuple[str, str | int]] = [("container", source.container)] if source.container else []
    asked += [("timestamps", "true"), *query]
    while tail > 1:
        try:
            answer = await api.get(path, doing=doing, query=[*asked, ("tailLines", tail)], max_bytes=max_bytes)
        except AnswerTooLarge:
            tail //= 4
        else:
            return answer.body, tail
    last = [*asked, ("tailLines", 1), ("limitBytes", _LAST_LINE_BYTES)]
    return (await api.get(path, doing=doing, query=last)).body, 1


def _containers(pod: dict[str, Any]) -> dict[str, list[str]]:
    spec = pod.get("spec") or {}
    return {field: [str(item["name"]) for item in spec.get(field) or []] for field in _FIELDS}


def _named(namespace: str, pod: str, groups: dict[str, list[str]], wanted: str) -> list[LogSource]:
    known = [name for names in groups.values() for name in names]
    if wanted == EVERY_CONTAINER:
        return [LogSource(pod, name) for name in known]
    if wanted in known:
        return [LogSource(pod, wanted)]
    if not wanted and len(groups["containers"]) == 1:
        return [LogSource(pod, groups["containers"][0])]
    complaint = f"has no container {wanted!r}" if wanted else "has several containers: name one in `container`, or * for all"
    others = [f"{name} (init)" for name in groups["initContainers"]]
    others += [f"{name} (ephemeral)" for name in groups["ephemeralContainers"]]
    raise InvalidArguments(f"Pod {namespace}/{pod} {complaint}; it has: {', '.join(groups['containers'] + others)}")


def _of_many(pod: dict[str, Any], wanted: str) -> list[LogSource]:
    """Of several pods the main containers unless one is named; a pod without that one has nothing to say."""
    groups = _containers(pod)
    known = [name for names in groups.values() for name in names]
    chosen = known if wanted == EVERY_CONTAINER else [wanted] if wanted in known else [] if wanted else groups["containers"]
    return [LogSource(str(pod["metadata"]["name"]), name) for name in chosen]


def _bounded(sources: list[LogSource], pods: int, left_out: str) -> ChosenSources:
    if len(sources) > MOST_SOURCES:
        reason = f"{MOST_SOURCES} of {len(sources)} containers read: name one in `container`"
        left_out = f"{left_out}; {reason}" if left_out else reason
    return ChosenSources(tuple(sources[:MOST_SOURCES]), pods, left_out)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
