"""All kinds that are known out of the box. A new kind is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from configuration.errors import UnknownKind
from kinds.daemonsets import DAEMONSETS
from kinds.deployments import DEPLOYMENTS
from kinds.events import EVENTS
from kinds.jobs import JOBS
from kinds.kind import Kind
from kinds.namespaces import NAMESPACES
from kinds.nodes import NODES
from kinds.pods import PODS
from kinds.replicasets import REPLICASETS
from kinds.services import SERVICES
from kinds.statefulsets import STATEFULSETS

_ALL = (NAMESPACES, NODES, PODS, SERVICES, DEPLOYMENTS, REPLICASETS, STATEFULSETS, DAEMONSETS, JOBS, EVENTS)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Plural name -> declaration, in the order in which a scan reads them."""


def find_kind(name: str) -> Kind:
    """`pods`, `pod`, `po`, `Pod` -> the declaration. Raises UnknownKind, with the names that are known."""
    wanted = name.strip().lower()
    for kind in _ALL:
        if wanted in (kind.name, kind.kind.lower(), *kind.aliases):
            return kind
    raise UnknownKind(f"unknown kind {name[:60]!r}; known kinds: {', '.join(KINDS)}")
