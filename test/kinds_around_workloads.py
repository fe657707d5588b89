"""The kinds of network, storage, policy and extension, and all declared kinds together."""

from __future__ import annotations

from kinds.clusterrolebindings import CLUSTERROLEBINDINGS
from kinds.clusterroles import CLUSTERROLES
from kinds.configmaps import CONFIGMAPS
from kinds.cronjobs import CRONJOBS
from kinds.customresourcedefinitions import CUSTOMRESOURCEDEFINITIONS
from kinds.endpointslices import ENDPOINTSLICES
from kinds.horizontalpodautoscalers import HORIZONTALPODAUTOSCALERS
from kinds.ingresses import INGRESSES
from kinds.kind import Kind
from kinds.limitranges import LIMITRANGES
from kinds.mutatingwebhookconfigurations import MUTATINGWEBHOOKCONFIGURATIONS
from kinds.networkpolicies import NETWORKPOLICIES
from kinds.persistentvolumeclaims import PERSISTENTVOLUMECLAIMS
from kinds.persistentvolumes import PERSISTENTVOLUMES
from kinds.poddisruptionbudgets import PODDISRUPTIONBUDGETS
from kinds.registry import KINDS
from kinds.resourcequotas import RESOURCEQUOTAS
from kinds.rolebindings import ROLEBINDINGS
from kinds.roles import ROLES
from kinds.serviceaccounts import SERVICEACCOUNTS
from kinds.storageclasses import STORAGECLASSES
from kinds.validatingwebhookconfigurations import VALIDATINGWEBHOOKCONFIGURATIONS

KINDS_AROUND_WORKLOADS: tuple[Kind, ...] = (
    ENDPOINTSLICES, INGRESSES, NETWORKPOLICIES, CRONJOBS, CONFIGMAPS, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES,
    HORIZONTALPODAUTOSCALERS, PODDISRUPTIONBUDGETS, SERVICEACCOUNTS, ROLES, ROLEBINDINGS, CLUSTERROLES, CLUSTERROLEBINDINGS,
    RESOURCEQUOTAS, LIMITRANGES, CUSTOMRESOURCEDEFINITIONS, VALIDATINGWEBHOOKCONFIGURATIONS, MUTATINGWEBHOOKCONFIGURATIONS,
)  # fmt: skip
ALL_KINDS: tuple[Kind, ...] = tuple(({kind.name: kind for kind in KINDS_AROUND_WORKLOADS} | dict(KINDS)).values())
