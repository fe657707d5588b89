"""MutatingWebhookConfigurations, with their webhooks in a side table."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind, SideTable
from kinds.metadata import common
from kinds.record import record
from kinds.webhooks import WebhookColumns, WebhookRecord, webhook_columns


@record
class MutatingWebhookConfigurationRecord(WebhookColumns):
    """What `kubectl get mutatingwebhookconfigurations` shows, and what happens when a webhook does not answer."""


def read(configuration: dict[str, Any]) -> MutatingWebhookConfigurationRecord:
    """Redacted API object -> MutatingWebhookConfigurationRecord."""
    shared = common(configuration)
    return MutatingWebhookConfigurationRecord(**shared, **webhook_columns(configuration, shared))


MUTATINGWEBHOOKCONFIGURATIONS = Kind(
    name="mutatingwebhookconfigurations",
    kind="MutatingWebhookConfiguration",
    group="admissionregistration.k8s.io",
    version="v1",
    namespaced=False,
    dynamic=False,
    record=MutatingWebhookConfigurationRecord,
    read=read,
    list_columns=("name", "webhook_count", "fail_closed_count", "max_timeout_seconds", "services", "created_at"),
    side_tables=(SideTable("mutating_webhooks", "webhooks", WebhookRecord),),
    aliases=("mutatingwebhookconfiguration",),
)
