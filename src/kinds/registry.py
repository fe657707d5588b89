"""All kinds that are known out of the box. A new kind is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from configuration.errors import UnknownKind
from kinds.clusterrolebindings import CLUSTERROLEBINDINGS
from kinds.clusterroles import CLUSTERROLES
from kinds.configmaps import CONFIGMAPS
from kinds.cronjobs import CRONJOBS
from kinds.customresourcedefinitions import CUSTOMRESOURCEDEFINITIONS
from kinds.daemonsets import DAEMONSETS
from kinds.deployments import DEPLOYMENTS
from kinds.endpointslices import ENDPOINTSLICES
from kinds.events import EVENTS
from kinds.gatewayclasses import GATEWAYCLASSES
from kinds.gateways import GATEWAYS
from kinds.grpcroutes import GRPCROUTES
from kinds.horizontalpodautoscalers import HORIZONTALPODAUTOSCALERS
from kinds.httproutes import HTTPROUTES
from kinds.ingresses import INGRESSES
from kinds.jobs import JOBS
from kinds.kind import Kind
from kinds.limitranges import LIMITRANGES
from kinds.mutatingwebhookconfigurations import MUTATINGWEBHOOKCONFIGURATIONS
from kinds.namespaces import NAMESPACES
from kinds.networkpolicies import NETWORKPOLICIES
from kinds.nodes import NODES
from kinds.persistentvolumeclaims import PERSISTENTVOLUMECLAIMS
from kinds.persistentvolumes import PERSISTENTVOLUMES
from kinds.poddisruptionbudgets import PODDISRUPTIONBUDGETS
from kinds.pods import PODS
from kinds.referencegrants import REFERENCEGRANTS
from kinds.replicasets import REPLICASETS
from kinds.resourcequotas import RESOURCEQUOTAS
from kinds.rolebindings import ROLEBINDINGS
from kinds.roles import ROLES
from kinds.secrets import SECRETS
from kinds.serviceaccounts import SERVICEACCOUNTS
from kinds.services import SERVICES
from kinds.statefulsets import STATEFULSETS
from kinds.storageclasses import STORAGECLASSES
from kinds.validatingwebhookconfigurations import VALIDATINGWEBHOOKCONFIGURATIONS

_ALL = (
    NAMESPACES, NODES, PODS, SERVICES, ENDPOINTSLICES, INGRESSES, NETWORKPOLICIES,
    DEPLOYMENTS, REPLICASETS, STATEFULSETS, DAEMONSETS, JOBS, CRONJOBS, HORIZONTALPODAUTOSCALERS, PODDISRUPTIONBUDGETS,
    CONFIGMAPS, SECRETS, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES, RESOURCEQUOTAS, LIMITRANGES,
    SERVICEACCOUNTS, ROLES, ROLEBINDINGS, CLUSTERROLES, CLUSTERROLEBINDINGS,
    GATEWAYCLASSES, GATEWAYS, HTTPROUTES, GRPCROUTES, REFERENCEGRANTS,
    CUSTOMRESOURCEDEFINITIONS, VALIDATINGWEBHOOKCONFIGURATIONS, MUTATINGWEBHOOKCONFIGURATIONS, EVENTS,
)  # fmt: skip

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Plural name -> declaration, in the order in which a scan reads them."""


def find_kind(name: str) -> Kind:
    """`pods`, `pod`, `po`, `Pod`, `deployments.apps` -> the declaration. Raises UnknownKind, with the names that are known."""
    kind = declared_kind(name)
    if kind is None:
        raise UnknownKind(f"unknown kind {name[:60]!r}; known kinds: {', '.join(KINDS)}")
    return kind


def counted_kind(number: int, name: str) -> str:
    """`1 pod`, `2 pods`, `1 networkpolicy`. Of a kind that is not declared here only the plural is known."""
    return f"{number} {noun_for(number, name)}"


def noun_for(number: int, name: str) -> str:
    """The noun alone."""
    return KINDS[name].kind.lower() if number == 1 and name in KINDS else name


def declared_kind(name: str) -> Kind | None:
    """The same; None for a kind that is not declared here."""
    wanted = name.strip().lower()
    for kind in _ALL:
        full_name = f"{kind.resource}.{kind.group}" if kind.group else kind.resource
        if wanted in (kind.name, kind.kind.lower(), full_name, *kind.aliases):
            return kind
    return None
