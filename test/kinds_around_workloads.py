"""The kinds of network, storage, policy and extension, and all declared kinds together."""

from __future__ import annotations

from kinds.kind import Kind
from kinds.registry import KINDS

_WORKLOADS = frozenset(
    {"namespaces", "nodes", "pods", "services", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "events"}
)
ALL_KINDS: tuple[Kind, ...] = tuple(KINDS.values())
KINDS_AROUND_WORKLOADS: tuple[Kind, ...] = tuple(kind for kind in ALL_KINDS if kind.name not in _WORKLOADS)
