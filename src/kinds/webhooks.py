"""What validating and mutating webhook configurations have in common: the webhooks, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinds.label_selector import selector_text
from kinds.named_lists import names_of
from kinds.record import Json, Record, SideRecord, column, record


@record
class WebhookRecord(SideRecord):
    """One webhook: what it is asked about, where it answers, and what happens when it does not."""

    configuration: str = column("name of the configuration")
    name: str = column("name of the webhook", index=True)
    failure_policy: str | None = column("Fail: no answer refuses the request; Ignore: lets it pass", index=True)
    timeout_seconds: int | None = column("seconds until no answer counts as failure")
    service_namespace: str | None = column("namespace of the service that answers; null for a url")
    service_name: str | None = column("service that answers: joins services.name; null for a url", index=True)
    service_port: int | None = column("port of the service; null is 443")
    service_path: str | None = column("path at the service")
    url: str | None = column("address outside the cluster; null for a service; redacted")
    ca_bundle: bool = column("clientConfig.caBundle is set; without it the API server's own roots apply")
    rules: Json | None = column("what it is asked about, a JSON list of {operations, apiGroups, apiVersions, resources, scope}")
    namespace_selector: str | None = column("only namespaces with these labels; empty text or null: all of them")
    object_selector: str | None = column("only objects with these labels; empty text or null: all of them")
    match_conditions: Json | None = column("names of matchConditions, a JSON list")
    match_policy: str | None = column("Exact or Equivalent")
    side_effects: str | None = column("None, NoneOnDryRun, Some or Unknown; the latter two refuse dry runs")
    reinvocation_policy: str | None = column("Never or IfNeeded; null for validating webhooks")


@record
class WebhookColumns(Record):
    """Columns of both kinds of configurations."""

    webhook_count: int = column("number of webhooks (WEBHOOKS)")
    fail_closed_count: int = column("how many of them refuse requests when they do not answer")
    max_timeout_seconds: int | None = column("the longest timeout of its webhooks")
    services: Json = column("namespace/name of the services that answer, a JSON list, each once")
    webhooks: tuple[WebhookRecord, ...]


def webhook_columns(configuration: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """-> keyword arguments for the fields of WebhookColumns; `shared` is what `common` returned."""
    rows = tuple(_webhook(shared, webhook) for webhook in configuration.get("webhooks") or [])
    timeouts = [row.timeout_seconds for row in rows if row.timeout_seconds is not None]
    return {
        "webhook_count": len(rows),
        "fail_closed_count": sum(row.failure_policy == "Fail" for row in rows),
        "max_timeout_seconds": max(timeouts, default=None),
        "services": Json(sorted({f"{row.service_namespace}/{row.service_name}" for row in rows if row.service_name})),
        "webhooks": rows,
    }


def _webhook(shared: Mapping[str, Any], webhook: dict[str, Any]) -> WebhookRecord:
    client = webhook.get("clientConfig") or {}
    service = client.get("service") or {}
    return WebhookRecord(
        configuration=shared["name"],
        name=webhook["name"],
        failure_policy=webhook.get("failurePolicy"),
        timeout_seconds=webhook.get("timeoutSeconds"),
        service_namespace=service.get("namespace"),
        service_name=service.get("name"),
        service_port=service.get("port"),
        service_path=service.get("path"),
        url=client.get("url"),
        ca_bundle=bool(client.get("caBundle")),
        rules=webhook.get("rules"),
        namespace_selector=selector_text(webhook.get("namespaceSelector")),
        object_selector=selector_text(webhook.get("objectSelector")),
        match_conditions=names_of(webhook.get("matchConditions")),
        match_policy=webhook.get("matchPolicy"),
        side_effects=webhook.get("sideEffects"),
        reinvocation_policy=webhook.get("reinvocationPolicy"),
    )
