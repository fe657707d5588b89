"""ValidatingWebhookConfigurations, with their webhooks in a side table."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.record import record
from kinds.webhooks import WebhookColumns, WebhookRecord, webhook_columns


@record
class ValidatingWebhookConfigurationRecord(WebhookColumns):
    """What `kubectl get validatingwebhookconfigurations` shows, and what happens when a webhook does not answer."""


def read(configuration: dict[str, Any]) -> ValidatingWebhookConfigurationRecord:
    """Redacted API object -> ValidatingWebhookConfigurationRecord."""
    shared = common(configuration)
    return ValidatingWebhookConfigurationRecord(**shared, **webhook_columns(configuration, shared))


VALIDATINGWEBHOOKCONFIGURATIONS = Kind(
    name="validatingwebhookconfigurations",
    kind="ValidatingWebhookConfiguration",
    group="admissionregistration.k8s.io",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=ValidatingWebhookConfigurationRecord,
    read=read,
    list_columns=("name", "webhook_count", "fail_closed_count", "max_timeout_seconds", "services", "created_at"),
    side_tables=(SideTable("validating_webhooks", "webhooks", WebhookRecord),),
    aliases=("validatingwebhookconfiguration",),
)
