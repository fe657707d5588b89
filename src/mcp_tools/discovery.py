"""Which kinds a cluster serves, and which of them a name means.

Asked of aggregated discovery (two requests), of servers before 1.26 group by group. Kept for five minutes per context, as
kubectl and informers do. Source: kubernetes.io/docs/concepts/overview/kubernetes-api, k8s.io/api/apidiscovery/v2.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from configuration.errors import ClusterError, KindNotServed, NotFound, UnknownKind
from kinds.generic import generic_kind
from kinds.kind import Kind
from kinds.registry import KINDS, declared_kind
from mcp_tools.at_most import at_most
from mcp_tools.k8s_api import JSON, ClusterApi
from mcp_tools.list_pages import decode_item

KEPT_SECONDS = 300.0
VERSION_KEPT_SECONDS = 3600.0
"""For the version of a kind that is declared here in another one: that changes with an upgrade of the cluster."""
ASKED_AGAIN_SECONDS = 10.0
"""For a name that is not known: it may have been installed since."""
AGGREGATED = ",".join(
    [*(f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")), JSON]
)


_PATH_PART = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One kind that a cluster serves, in the version that the API server prefers."""

    name: str
    """Plural, as in a path: `deployments`."""
    kind: str
    group: str
    """"" for the core group."""
    version: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    singular: str = ""

    @property
    def full_name(self) -> str:
        """`deployments.apps`; the plural alone in the core group."""
        return f"{self.name}.{self.group}" if self.group else self.name

    def is_called(self, name: str) -> bool:
        """Whether a person may mean this one: plural, singular, short name, kind, or the full name. Lower case."""
        return name in (self.name, self.full_name, self.kind.lower(), self.singular, *self.short_names)


@dataclass(frozen=True, slots=True)
class Served:
    """What a cluster serves. `unknown_groups` did not answer: aggregated APIs whose server is down."""

    resources: tuple[ApiResource, ...]
    unknown_groups: tuple[str, ...] = ()


@dataclass
class Discovery:
    """What each context serves, asked at most every five minutes, and forgotten with its API. Used from one event loop."""

    clock: Callable[[], float] = time.monotonic
    _known: WeakKeyDictionary[ClusterApi, tuple[float, Served]] = field(default_factory=WeakKeyDictionary)
    _asking: WeakKeyDictionary[ClusterApi, asyncio.Lock] = field(default_factory=WeakKeyDictionary)

    async def served(self, api: ClusterApi, *, at_most_seconds_old: float = KEPT_SECONDS) -> Served:
        """Raises ClusterError."""
        async with self._asking.setdefault(api, asyncio.Lock()):
            asked_at, served = self._known.get(api, (float("-inf"), Served(())))
            if self.clock() - asked_at > at_most_seconds_old:
                asked_at = self.clock()
                served = await _ask(api)
                api.learn_without_namespaces((one.group, one.name) for one in served.resources if not one.namespaced)
                self._known[api] = asked_at, served
            return served

    async def kind(self, api: ClusterApi, name: str) -> Kind:
        """`pods`, `po`, `deployments.apps`, `widgets.example.com`, `widgets`, `wd` -> the kind; declared ones without asking,
        except those of a group that not every cluster has: they come in the version that this one serves.

        Raises UnknownKind for a name that means nothing or several, KindNotServed for `plural.group` that is not installed.
        """
        if (declared := declared_kind(name)) is not None:
            return await self._as_served(api, declared) if declared.optional else declared
        wanted = name.strip().lower()
        served = await self.served(api)
        found = _called(served, wanted)
        if not found:
            served = await self.served(api, at_most_seconds_old=ASKED_AGAIN_SECONDS)
            found = _called(served, wanted)
        if len(found) == 1:
            return kind_of(found[0])
        raise _not_one(api.context, wanted, found, served)

    async def _as_served(self, api: ClusterApi, declared: Kind) -> Kind:
        """The declared kind in the version that the API server prefers; as declared when discovery does not know it."""
        try:
            served = await self.served(api, at_most_seconds_old=VERSION_KEPT_SECONDS)
        except ClusterError:
            return declared
        for one in served.resources:
            if (one.group, one.name) == (declared.group, declared.resource) and one.version != declared.version:
                return replace(declared, version=one.version)
        return declared


def kind_of(resource: ApiResource) -> Kind:
    """The declared kind when there is one, else a generic one."""
    declared = declared_kind(resource.full_name)
    if declared is not None:
        return declared
    return generic_kind(resource.full_name, resource.group, resource.version, resource.kind, resource.namespaced)


def not_served(context: str, kind: Kind, error: NotFound) -> KindNotServed:
    """For a LIST that was answered with 404: no namespace and no object can be what is missing."""
    where = f"{kind.api_version} {kind.resource}"
    return KindNotServed(
        f"context {context} does not serve {where}: the API group is not installed there, or not in this version; "
        "k8s_list_api_resources says what is",
        status=404,
        reason=error.reason or "KindNotServed",
    )


def _called(served: Served, wanted: str) -> list[ApiResource]:
    """An exact full name or plural wins over short names and kinds, as for kubectl."""
    named = [one for one in served.resources if wanted == one.full_name]
    return named or [one for one in served.resources if one.is_called(wanted) and "list" in one.verbs]


def _not_one(context: str, wanted: str, found: list[ApiResource], served: Served) -> UnknownKind | KindNotServed:
    shown = wanted[:100]
    if found:
        names = ", ".join(one.full_name for one in found)
        return UnknownKind(f"kind {shown!r} is ambiguous in context {context}: say which of {names}")
    plural, _, group = wanted.partition(".")
    unanswered = f"; these groups did not answer: {', '.join(served.unknown_groups)}" if served.unknown_groups else ""
    if plural and group:
        return KindNotServed(
            f"context {context} serves no {plural[:63]!r} in API group {group[:200]!r}{unanswered}; k8s_list_api_resources says "
            "what it serves",
            status=404,
            reason="KindNotServed",
        )
    return UnknownKind(
        f"unknown kind {shown!r}; known kinds: {', '.join(KINDS)}; nor is it a plural, singular, short name or kind among the "
        f"{len(served.resources)} that context {context} serves{unanswered}"
    )


# --- asking ---


async def _ask(api: ClusterApi) -> Served:
    core, named = await asyncio.gather(_answer(api, "/api", AGGREGATED), _answer(api, "/apis", AGGREGATED))
    resources: list[ApiResource] = []
    unknown: list[str] = []
    for root, answer in (("/api", core), ("/apis", named)):
        if answer.get("kind") == "APIGroupDiscoveryList":
            for item in _dicts(answer.get("items")):
                _read_group(item, resources, unknown)
        else:
            await _ask_each(api, root, answer, resources, unknown)
    return Served(tuple(sorted(resources, key=lambda one: (one.group, one.name))), tuple(unknown))


async def _answer(api: ClusterApi, path: str, accept: str = JSON) -> dict[str, Any]:
    doing = f"ask which kinds are served ({path})"
    try:
        return decode_item((await api.get(path, doing=doing, accept=accept)).body)
    except (TypeError, ValueError) as error:
        raise ClusterError(f"cannot {doing}: the answer is no JSON object ({type(error).__name__}); try again") from None


def _read_group(item: dict[str, Any], resources: list[ApiResource], unknown: list[str]) -> None:
    """One APIGroupDiscovery; its versions come in the order of preference."""
    group = str((item.get("metadata") or {}).get("name") or "")
    seen: set[str] = set()
    for version in _dicts(item.get("versions")):
        if version.get("freshness") == "Stale":
            unknown.append(f"{group}/{version.get('version')}")
        for one in _dicts(version.get("resources")):
            name, kind = one.get("resource"), (one.get("responseKind") or {}).get("kind")
            if not isinstance(name, str) or not isinstance(kind, str) or name in seen:
                continue
            found = ApiResource(
                name, kind, group, str(version.get("version")), one.get("scope") == "Namespaced",
                _texts(one.get("verbs")), _texts(one.get("shortNames")), str(one.get("singularResource") or ""),
            )  # fmt: skip
            if _stays_in_its_path(found):
                seen.add(name)
                resources.append(found)


async def _ask_each(api: ClusterApi, root: str, answer: dict[str, Any], resources: list[ApiResource], unknown: list[str]) -> None:
    """APIVersions (of /api) or APIGroupList (of /apis): one more request for each group and version."""
    if root == "/api":
        groups = [("", [str(version) for version in answer.get("versions") or []])]
    else:
        groups = [(str(group.get("name")), _versions(group)) for group in _dicts(answer.get("groups"))]
    asked = [(group, version) for group, versions in groups for version in versions]

    async def ask(one: tuple[str, str]) -> dict[str, Any] | None:
        group, version = one
        try:
            return await _answer(api, f"{root}/{group}/{version}" if group else f"{root}/{version}")
        except ClusterError:
            return None

    answers = await at_most(asked, ask)
    seen: set[tuple[str, str]] = set()
    for (group, version), listed in zip(asked, answers, strict=True):
        if listed is None:
            unknown.append(f"{group}/{version}")
            continue
        for one in _dicts(listed.get("resources")):
            name, kind = one.get("name"), one.get("kind")
            if not isinstance(name, str) or not isinstance(kind, str) or (group, name) in seen:
                continue
            found = ApiResource(
                name, kind, group, version, bool(one.get("namespaced")),
                _texts(one.get("verbs")), _texts(one.get("shortNames")), str(one.get("singularName") or ""),
            )  # fmt: skip
            if _stays_in_its_path(found):  # subresources ("pods/log") do not
                seen.add((group, name))
                resources.append(found)


def _stays_in_its_path(resource: ApiResource) -> bool:
    """The parts become a URL path, and they come from any server that an administrator put behind the API server."""
    parts = resource.name, resource.group or "core", resource.version
    return all(_PATH_PART.fullmatch(part) for part in parts) and "." not in resource.name + resource.version


def _versions(group: dict[str, Any]) -> list[str]:
    """The preferred one first."""
    preferred = str((group.get("preferredVersion") or {}).get("version") or "")
    others = [str(one.get("version")) for one in _dicts(group.get("versions"))]
    return list(dict.fromkeys([preferred, *others])) if preferred else others


def _dicts(value: object) -> Iterable[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
