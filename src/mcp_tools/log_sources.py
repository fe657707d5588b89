"""Which containers' logs are meant, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from configuration.errors import InvalidArguments, NotFound, NotPermitted
from kinds.counted import counted
from kinds.label_selector import parse
from kinds.registry import KINDS
from mcp_tools.k8s_api import AnswerTooLarge, ClusterApi
from mcp_tools.list_pages import decode_item, decode_page

EVERY_CONTAINER = "*"
MOST_PODS = 10
MOST_SOURCES = 20
_NAMED = 3
"""Of the pods that are not read."""
_MOST_PAGES = 20
_PODS = KINDS["pods"]
_PAGE = 500
_LAST_LINE_BYTES = 256 * 1024
_FIELDS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class LogSource:
    """One container of one pod. `container` "": the API server decides."""

    pod: str
    container: str


@dataclass(frozen=True, slots=True, order=True)
class _Pod:
    """In the order in which pods are read; `containers` are the names by their field in the spec."""

    ready: bool
    name: str
    containers: dict[str, list[str]] = field(compare=False)


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


async def sources_of_selector(api: ClusterApi, namespace: str, selector: str, wanted: str, offset: int = 0) -> ChosenSources:
    """Of at most MOST_PODS pods after the first `offset`, those that are not ready first, then by name.

    Raises NotFound when none fits, InvalidSelector, InvalidArguments when no pod has the container or none is so far on.
    """
    parse(selector)
    pods, complete = await _pods(api, namespace, selector)
    if not pods:
        raise NotFound(f"no pod in namespace {namespace} fits label_selector {selector[:200]!r}; k8s_list_pods shows their names")
    having = [found for pod in sorted(pods) if (found := _of_many(pod, wanted))]
    if not having:
        raise InvalidArguments(f"of {counted(len(pods), 'pod')} none has a container {wanted!r}")
    if offset >= len(having):
        raise InvalidArguments(
            f"offset={offset} is past the last of {counted(len(having), 'pod')}; leave offset out for the first ones"
        )
    count = _fitting_pods(having[offset:])
    sources = [source for of_pod in having[offset : offset + count] for source in of_pod]
    left_out = _not_read(having, offset, count, complete=complete)
    return _bounded(sources, len(having), left_out)


async def _pods(api: ClusterApi, namespace: str, selector: str) -> tuple[list[_Pod], bool]:
    """-> the pods that fit, and whether these are all: of a very large number not."""
    doing = f"list pods in namespace {namespace} with {selector[:200]}"
    query: list[tuple[str, str | int]] = [("labelSelector", selector), ("limit", _PAGE)]
    found: list[_Pod] = []
    token = ""
    for _ in range(_MOST_PAGES):
        asked = [*query, ("continue", token)] if token else query
        page = decode_page((await api.get(_PODS.api_path(namespace), doing=doing, query=asked)).body, doing)
        found += [_pod_of(decode_item(raw)) for raw in page.items or []]
        token = page.metadata.continue_token
        if not token:
            return found, True
    return found, False


def _pod_of(pod: dict[str, Any]) -> _Pod:
    return _Pod(_is_ready(pod), str(pod["metadata"]["name"]), _containers(pod))


def _fitting_pods(pods: Sequence[Sequence[LogSource]]) -> int:
    """How many of them are read: whole ones, and one in any case."""
    total = 0
    for count, sources in enumerate(pods[:MOST_PODS]):
        total += len(sources)
        if total > MOST_SOURCES and count:
            return count
    return min(len(pods), MOST_PODS)


def _not_read(pods: Sequence[Sequence[LogSource]], offset: int, count: int, *, complete: bool) -> str:
    """What to say about pods that are not read, and how to get at them; "" when all are."""
    after = offset + count
    if after >= len(pods) and not offset and complete:
        return ""
    total = f"{len(pods)}{'' if complete else '+'}"
    said = (
        f"pods {offset + 1} to {after} of {total} read, those that are not ready first"
        if offset
        else (f"{count} of {total} pods read, those that are not ready first")
    )
    rest = [sources[0].pod for sources in pods[after:]]
    if rest:
        names = ", ".join(rest[:_NAMED]) + (" …" if len(rest) > _NAMED else "")
        said += f"; not read: {names}: repeat with offset={after}"
    return said if complete else f"{said}; there are more pods than that: narrow label_selector"


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


def _of_many(pod: _Pod, wanted: str) -> list[LogSource]:
    """Of several pods the main containers unless one is named; a pod without that one has nothing to say."""
    known = [name for names in pod.containers.values() for name in names]
    chosen = (
        known if wanted == EVERY_CONTAINER else [wanted] if wanted in known else [] if wanted else pod.containers["containers"]
    )
    return [LogSource(pod.name, name) for name in chosen]


def _bounded(sources: list[LogSource], pods: int, left_out: str) -> ChosenSources:
    if len(sources) > MOST_SOURCES:
        reason = f"{MOST_SOURCES} of {len(sources)} containers read: name one in `container`"
        left_out = f"{left_out}; {reason}" if left_out else reason
    return ChosenSources(tuple(sources[:MOST_SOURCES]), pods, left_out)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
