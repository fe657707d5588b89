"""NetworkPolicies."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.label_selector import selector_text
from kinds.metadata import common
from kinds.record import Json, Record, column, record


@record
class NetworkPolicyRecord(Record):
    """What `kubectl get networkpolicies` and `describe` show, ready for judging isolation.

    A pod that no policy selects for a direction accepts everything there; rules of several policies add up.
    """

    pod_selector: str | None = column("POD-SELECTOR as kubectl prints it; empty text selects every pod of the namespace")
    pod_selector_map: Json | None = column("spec.podSelector, a JSON object {matchLabels, matchExpressions}", tracked=False)
    policy_types: Json | None = column("spec.policyTypes, a JSON list of Ingress and Egress")
    isolates_ingress: bool = column("the selected pods accept only what an ingress rule allows")
    isolates_egress: bool = column("the selected pods reach only what an egress rule allows")
    ingress_rules: int = column("number of ingress rules; 0 while it isolates: nothing comes in")
    egress_rules: int = column("number of egress rules; 0 while it isolates: nothing goes out")
    allows_all_ingress: bool = column("some ingress rule names neither peers nor ports")
    allows_all_egress: bool = column("some egress rule names neither peers nor ports")
    ingress: Json | None = column("spec.ingress, a JSON list of {from, ports}")
    egress: Json | None = column("spec.egress, a JSON list of {to, ports}")


def read(policy: dict[str, Any]) -> NetworkPolicyRecord:
    """Redacted API object -> NetworkPolicyRecord."""
    spec = policy.get("spec") or {}
    ingress, egress = spec.get("ingress") or [], spec.get("egress") or []
    # As the API server fills it in where it is left out: k8s.io/api networking/v1 NetworkPolicySpec.policyTypes
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if egress else [])]
    return NetworkPolicyRecord(
        **common(policy),
        pod_selector=selector_text(spec.get("podSelector")),
        pod_selector_map=spec.get("podSelector"),
        policy_types=spec.get("policyTypes"),
        isolates_ingress="Ingress" in types,
        isolates_egress="Egress" in types,
        ingress_rules=len(ingress),
        egress_rules=len(egress),
        allows_all_ingress=any(not rule.get("from") and not rule.get("ports") for rule in ingress),
        allows_all_egress=any(not rule.get("to") and not rule.get("ports") for rule in egress),
        ingress=spec.get("ingress"),
        egress=spec.get("egress"),
    )


NETWORKPOLICIES = Kind(
    name="networkpolicies",
    kind="NetworkPolicy",
    group="networking.k8s.io",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=NetworkPolicyRecord,
    read=read,
    list_columns=("namespace", "name", "pod_selector", "policy_types", "ingress_rules", "egress_rules", "created_at"),
    filters={"isolates_ingress": "isolates_ingress", "isolates_egress": "isolates_egress"},
    aliases=("networkpolicy", "netpol"),
)
