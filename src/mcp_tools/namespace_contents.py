"""What goes with a Namespace: how many objects of each kind are in it, custom resources too, and what could not be counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from configuration.errors import K8sMcpError
from kinds.kind import Kind
from kinds.registry import KINDS, counted_kind
from mcp_tools.at_most import at_most
from mcp_tools.discovery import Discovery, kind_of
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.owned_objects import count_in
from mcp_tools.server_policy import SERVED_TWICE

MOST_FURTHER_KINDS = 200
"""A request each. Clusters with many operators serve more kinds, most of which have no objects anywhere."""
COUNTING_SECONDS = 15.0
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Contents:
    """`counts`: kind -> objects, without those that are not there. `uncounted`: kinds and groups of which that is not known."""

    counts: dict[str, int] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()

    def told(self) -> str:
        """For the note of a deletion; "" for nothing. All numbers are told; of what was not counted as many names as fit."""
        parts = []
        if self.counts:
            parts.append(
                "everything in it goes with it: " + ", ".join(counted_kind(count, name) for name, count in self.counts.items())
            )
        if self.uncounted:
            more = f" and {len(self.uncounted) - _SHOWN} more" if len(self.uncounted) > _SHOWN else ""
            parts.append(f"there may be more, could not be counted: {', '.join(self.uncounted[:_SHOWN])}{more}")
        return "; ".join(parts)


async def namespace_contents(
    api: ClusterApi, discovery: Discovery, namespace: str, *, seconds: float = COUNTING_SECONDS, most: int = MOST_FURTHER_KINDS
) -> Contents:
    """Bounded in requests and time. Raises nothing that comes from the cluster: what is not known is named."""
    further, unknown = await _further_kinds(api, discovery, seconds)
    kinds = [*(kind for kind in KINDS.values() if kind.namespaced), *further[:most]]
    counts: dict[str, int | None] = {}

    async def count(kind: Kind) -> None:
        try:
            counts[kind.name] = await count_in(api, kind, namespace) or 0
        except K8sMcpError:
            counts[kind.name] = None

    try:
        async with asyncio.timeout(seconds):
            await at_most(kinds, count)
    except TimeoutError:
        pass  # what is not in `counts` has not answered in time
    names = [kind.name for kind in (*kinds, *further[most:])]
    return Contents(
        {name: found for name in names if (found := counts.get(name))},
        (*unknown, *(name for name in names if counts.get(name) is None)),
    )


async def _further_kinds(api: ClusterApi, discovery: Discovery, seconds: float) -> tuple[Sequence[Kind], tuple[str, ...]]:
    """Namespaced kinds that are not declared here and can be listed; and the groups that nobody answers for."""
    try:
        async with asyncio.timeout(seconds):
            served = await discovery.served(api)
    except (K8sMcpError, TimeoutError):
        return (), ("custom resources (the API server does not say which kinds there are)",)
    declared = {(kind.group, kind.resource) for kind in KINDS.values()}
    further = [
        kind_of(one)
        for one in served.resources
        if one.namespaced
        and "list" in one.verbs
        and (one.group, one.name) not in declared
        and (one.group, one.name) not in SERVED_TWICE
    ]
    return further, tuple(f"all of {group}" for group in served.unknown_groups)
