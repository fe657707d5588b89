"""The kinds around workloads: what their columns say of hand-written objects, and of objects that say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from cache.kind_tables import kind_tables
from kinds.clusterroles import CLUSTERROLES
from kinds.configmaps import CONFIGMAPS
from kinds.cronjobs import CRONJOBS
from kinds.customresourcedefinitions import CUSTOMRESOURCEDEFINITIONS
from kinds.endpointslices import ENDPOINTSLICES
from kinds.horizontalpodautoscalers import HORIZONTALPODAUTOSCALERS
from kinds.ingresses import INGRESSES
from kinds.kind import Kind, row
from kinds.limitranges import LIMITRANGES
from kinds.mutatingwebhookconfigurations import MUTATINGWEBHOOKCONFIGURATIONS
from kinds.networkpolicies import NETWORKPOLICIES
from kinds.persistentvolumeclaims import PERSISTENTVOLUMECLAIMS
from kinds.persistentvolumes import PERSISTENTVOLUMES
from kinds.poddisruptionbudgets import PODDISRUPTIONBUDGETS
from kinds.resource_units import normalised, unit_of
from kinds.resourcequotas import RESOURCEQUOTAS
from kinds.rolebindings import ROLEBINDINGS
from kinds.roles import ROLES
from kinds.serviceaccounts import SERVICEACCOUNTS
from kinds.storable_check import StorableCheck
from kinds.storageclasses import STORAGECLASSES
from kinds.validatingwebhookconfigurations import VALIDATINGWEBHOOKCONFIGURATIONS
from kinds_around_workloads import ALL_KINDS, KINDS_AROUND_WORKLOADS

META = {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z"}
FIXED_TABLES = {
    "clusters", "cache_metadata", "kind_tables", "labels", "annotations", "deleted_objects", "changes", "findings",
    "refresh_requests", "scanner",
}  # fmt: skip
SQL_WORDS = {"group", "order", "limit", "default", "values", "references", "index", "to", "from", "check", "select", "table"}


def read(kind: Kind, *, meta: dict[str, Any] | None = None, **fields: Any) -> Any:
    record = kind.read({"metadata": META | (meta or {})} | fields)
    assert StorableCheck(kind).complaint(record) == ""
    return record


# --- every kind ---


@pytest.mark.parametrize("kind", KINDS_AROUND_WORKLOADS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "body", [{}, dict.fromkeys(("spec", "status", "rules", "subjects", "roleRef", "webhooks", "data", "endpoints"))]
)
def test_an_object_that_says_nothing_is_read_and_can_be_stored(kind: Kind, body: dict[str, Any]) -> None:
    record = kind.read({"metadata": {"name": "x", "uid": "u"}} | body)
    assert (record.name, record.uid, record.created_at) == ("x", "u", None)
    assert StorableCheck(kind).complaint(record) == ""
    assert all(getattr(record, side.attribute) == () for side in kind.side_tables)


@pytest.mark.parametrize("kind", KINDS_AROUND_WORKLOADS, ids=lambda kind: kind.name)
def test_declarations_speak_of_columns_that_exist_and_explain_every_one(kind: Kind) -> None:
    assert set(kind.list_columns) <= set(kind.columns_by_name)
    assert set(kind.filters.values()) <= set(kind.columns_by_name)
    assert all(column.doc for column in kind.columns)
    assert all(column.doc for side in kind.side_tables for column in side.columns)
    assert all(kind.columns_by_name[name].index for name in kind.filters.values() if name in ("status", "healthy", "node"))


@pytest.mark.parametrize("kind", KINDS_AROUND_WORKLOADS, ids=lambda kind: kind.name)
def test_columns_can_be_written_in_sql_without_quotes_and_collide_with_none_of_the_caches_own(kind: Kind) -> None:
    tables = kind_tables(kind)
    for table in (tables.main, *tables.sides.values()):
        names = [column.name for column in table.columns]
        assert len(names) == len(set(names))
        assert not SQL_WORDS & set(names)


def test_tables_aliases_and_kinds_are_named_once() -> None:
    tables = [name for kind in ALL_KINDS for name in (kind.name, *(side.name for side in kind.side_tables))]
    assert len(tables) == len(set(tables))
    assert not FIXED_TABLES & set(tables)
    aliases = [alias for kind in ALL_KINDS for alias in kind.aliases]
    assert len(aliases) == len(set(aliases))


@pytest.mark.parametrize(
    ("obj", "kind"),
    [
        ({"status": {"phase": "Ascended"}}, PERSISTENTVOLUMECLAIMS),
        ({"status": {"disruptionsAllowed": -3, "currentHealthy": -1}}, PODDISRUPTIONBUDGETS),
        ({"metadata": {"annotations": {"note": "x" * 1_000_000}, "creationTimestamp": "2199-01-01T00:00:00Z"}}, CONFIGMAPS),
        ({"data": {"ключ": "值", "": "\udce4"}}, CONFIGMAPS),
        (
            {"spec": {"metrics": [{"type": "Novel", "novel": {"target": {"type": "Value", "value": "3"}}}]}},
            HORIZONTALPODAUTOSCALERS,
        ),
        ({"spec": {"accessModes": ["ReadWriteNever"]}}, PERSISTENTVOLUMES),
        ({"status": {"conditions": [{"status": "True"}, {"type": "Established"}]}}, CUSTOMRESOURCEDEFINITIONS),
        ({"spec": {"rules": [{"host": "a.example"}, {}]}}, INGRESSES),
    ],
)
def test_surprising_objects_are_kept_with_what_can_be_read(obj: dict[str, Any], kind: Kind) -> None:
    read(kind, **({"meta": obj.pop("metadata", None)} | obj))


# --- traffic ---


def test_a_slice_counts_unknown_readiness_as_ready_and_keeps_it_null_in_its_rows() -> None:
    record = read(
        ENDPOINTSLICES,
        meta={"labels": {"kubernetes.io/service-name": "api"}},
        addressType="IPv4",
        endpoints=[
            {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "api-0", "uid": "p0"}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": False, "serving": True, "terminating": True}, "nodeName": "n1"},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": False}},
            {"addresses": ["10.0.0.4"], "conditions": {"ready": True}},
        ],
        ports=[{"name": "http", "port": 8080}, {"name": "any"}, {}, {"port": 1}],
    )
    assert (record.service, record.total_endpoints, record.ready_endpoints) == ("api", 4, 2)
    assert (record.serving_endpoints, record.terminating_endpoints) == (3, 1)
    assert record.endpoints == "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more..."
    assert record.ports == "8080,any,* + 1 more..."
    assert [endpoint.ready for endpoint in record.endpoint_rows] == [None, False, False, True]
    assert (record.endpoint_rows[0].target_uid, record.endpoint_rows[1].node) == ("p0", "n1")


def ingress_rule(host: str | None, service: str = "web") -> dict[str, Any]:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}
    return {"http": {"paths": [path]}} | ({"host": host} if host else {})


def test_ingress_paths_join_services_and_say_which_hosts_tls_covers() -> None:
    record = read(
        INGRESSES,
        spec={
            "ingressClassName": "nginx",
            "rules": [ingress_rule("a.example.org"), ingress_rule("deep.b.example.org", "api"), ingress_rule(None)],
            "tls": [{"hosts": ["*.example.org"], "secretName": "wildcard"}],
            "defaultBackend": {"resource": {"kind": "Bucket", "name": "static"}},
        },
    )
    shown = [
        (path.host, path.service, path.service_port, path.tls, path.tls_secret, path.default_backend) for path in record.paths
    ]
    assert shown == [
        ("a.example.org", "web", "80", True, "wildcard", False),
        ("deep.b.example.org", "api", "80", False, None, False),
        (None, "web", "80", False, None, False),
        (None, None, None, False, None, True),
    ]
    assert (record.tls_for_all_hosts, record.default_backend) == (False, "Bucket/static")
    assert record.host_list == ["a.example.org", "deep.b.example.org"]


def test_tls_without_hosts_covers_every_host() -> None:
    assert read(INGRESSES, spec={"rules": [ingress_rule("a.example")], "tls": [{}]}).tls_for_all_hosts
    assert not read(INGRESSES, spec={"rules": [ingress_rule("a.example")]}).tls_for_all_hosts


@pytest.mark.parametrize(
    ("spec", "isolates", "rules", "all_ingress"),
    [
        ({"podSelector": {}}, (True, False), (0, 0), False),
        ({"podSelector": {}, "policyTypes": ["Egress"]}, (False, True), (0, 0), False),
        ({"podSelector": {}, "egress": [{}]}, (True, True), (0, 1), False),
        ({"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}, (True, False), (1, 0), True),
        ({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}], "policyTypes": ["Ingress"]}, (True, False), (1, 0), False),
    ],
)
def test_network_policies_say_what_they_isolate(spec: Any, isolates: Any, rules: Any, all_ingress: bool) -> None:
    record = read(NETWORKPOLICIES, spec=spec)
    assert (record.isolates_ingress, record.isolates_egress) == isolates
    assert (record.ingress_rules, record.egress_rules, record.allows_all_ingress) == (*rules, all_ingress)
    assert record.pod_selector == ""


# --- workloads ---


@pytest.mark.parametrize(
    ("status", "healthy"),
    [
        ({}, True),
        ({"lastScheduleTime": "2026-01-01T00:00:00Z"}, False),
        ({"lastScheduleTime": "2026-01-01T00:00:00Z", "active": [{"name": "run"}]}, True),
        ({"lastScheduleTime": "2026-01-02T00:00:00Z", "lastSuccessfulTime": "2026-01-01T00:00:09Z"}, False),
        ({"lastScheduleTime": "2026-01-02T00:00:00Z", "lastSuccessfulTime": "2026-01-02T00:00:09Z"}, True),
    ],
)
def test_a_cronjob_is_healthy_while_its_latest_run_has_not_failed(status: dict[str, Any], healthy: bool) -> None:
    assert read(CRONJOBS, status=status).healthy is healthy


def test_a_cronjob_shows_the_template_of_its_jobs() -> None:
    template = {"spec": {"containers": [{"name": "run", "image": "r/run:1"}], "serviceAccountName": "runner"}}
    record = read(CRONJOBS, spec={"schedule": "@daily", "jobTemplate": {"spec": {"template": template, "backoffLimit": 2}}})
    assert (record.images, record.service_account, record.backoff_limit, record.suspended) == (["r/run:1"], "runner", 2, False)


@pytest.mark.parametrize(
    ("metric", "measured", "targets"),
    [
        (
            {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "20m"}}},
            "cpu: 12%/80%",
        ),
        ({"type": "Resource", "resource": {"name": "memory", "target": {"averageValue": "1Gi"}}}, None, "memory: <unknown>/1Gi"),
        (
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "app", "target": {}}},
            None,
            "cpu: <unknown>/<auto>",
        ),
        (
            {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"averageValue": "10"}}},
            {"type": "Pods", "pods": {"current": {"averageValue": "0"}}},
            "0/10",
        ),
        (
            {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"averageValue": "30"}}},
            {"type": "External", "external": {"current": {"value": "5", "averageValue": "2500m"}}},
            "2500m/30 (avg)",
        ),
        (
            {"type": "Object", "object": {"metric": {"name": "hits"}, "target": {"value": "2k"}}},
            {"type": "Object", "object": {"current": {"value": "1k"}}},
            "1k/2k",
        ),
        ({"type": "Novel"}, None, "<unknown type>"),
    ],
)
def test_targets_of_an_autoscaler_read_as_kubectl_prints_them(metric: Any, measured: Any, targets: str) -> None:
    status = {"currentMetrics": [measured] if measured else None}
    assert read(HORIZONTALPODAUTOSCALERS, spec={"metrics": [metric]}, status=status).targets == targets


def test_an_autoscaler_shows_two_targets_and_keeps_all() -> None:
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}
    record = read(HORIZONTALPODAUTOSCALERS, spec={"metrics": [metric] * 3})
    assert record.targets == "cpu: <unknown>/80%, cpu: <unknown>/80% + 1 more..."
    assert record.metrics == [{"type": "Resource", "name": "cpu", "current": None, "target": "80%"}] * 3
    assert read(HORIZONTALPODAUTOSCALERS).targets == "<none>"


@pytest.mark.parametrize(
    ("active", "healthy", "reason"),
    [
        ({"status": "True"}, True, None),
        ({"status": "False", "reason": "FailedGetResourceMetric"}, False, "FailedGetResourceMetric"),
        ({"status": "False", "reason": "ScalingDisabled"}, True, None),
    ],
)
def test_an_autoscaler_is_healthy_when_it_can_scale_and_sees_its_metrics(active: Any, healthy: bool, reason: Any) -> None:
    conditions = [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive"} | active]
    record = read(HORIZONTALPODAUTOSCALERS, status={"conditions": conditions})
    assert (record.healthy, record.reason) == (healthy, reason)


def test_an_autoscaler_that_has_not_reported_is_not_called_healthy() -> None:
    assert not read(HORIZONTALPODAUTOSCALERS).healthy


def test_a_budget_keeps_zero_apart_from_not_set_and_trusts_no_stale_status() -> None:
    def budget(**status: Any) -> Any:
        return read(PODDISRUPTIONBUDGETS, meta={"generation": 2}, spec={"minAvailable": 0}, status=status)

    record = budget(observedGeneration=2, currentHealthy=1, desiredHealthy=1)
    assert (record.min_available, record.max_unavailable, record.healthy) == ("0", None, True)
    assert not budget(observedGeneration=1, currentHealthy=1, desiredHealthy=1).healthy
    assert not budget(observedGeneration=2, currentHealthy=0, desiredHealthy=1).healthy
    failed = [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed"}]
    assert not budget(observedGeneration=2, conditions=failed).healthy


# --- storage ---


def test_a_claim_shows_what_was_asked_for_beside_what_there_is() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}, "volumeName": "pv-1"}
    status = {"phase": "Bound", "capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}
    bound = read(PERSISTENTVOLUMECLAIMS, spec=spec, status=status)
    assert (bound.status, bound.healthy, bound.capacity, bound.access_modes) == ("Bound", True, "8Gi", "RWO,RWX")
    assert (bound.capacity_bytes, bound.requested_bytes) == (8 * 1024**3, 10 * 1024**3)
    pending = read(PERSISTENTVOLUMECLAIMS, spec=spec | {"volumeName": ""}, status={"phase": "Pending"})
    assert (pending.healthy, pending.capacity, pending.capacity_bytes, pending.access_modes) == (False, None, None, None)
    going = read(PERSISTENTVOLUMECLAIMS, meta={"deletionTimestamp": "2026-01-02T03:04:05Z"}, spec=spec, status=status)
    assert (going.status, going.phase, going.healthy) == ("Terminating", "Bound", False)


def test_no_storage_class_the_default_one_and_a_named_one_are_three_things() -> None:
    classes = [
        read(PERSISTENTVOLUMECLAIMS, spec=spec).storage_class
        for spec in ({"storageClassName": ""}, {}, {"storageClassName": "fast"})
    ]
    assert classes == ["", None, "fast"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"csi": {"driver": "ebs.csi.example", "volumeHandle": "vol-1"}}, ("csi", "ebs.csi.example", "vol-1", None)),
        ({"nfs": {"server": "nas", "path": "/export"}}, ("nfs", None, None, "nas:/export")),
        ({"hostPath": {"path": "/data"}}, ("hostPath", None, None, "/data")),
        ({}, (None, None, None, None)),
    ],
)
def test_a_volume_says_where_its_data_lies(source: Any, expected: Any) -> None:
    record = read(PERSISTENTVOLUMES, spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **source})
    assert (record.source_type, record.driver, record.volume_handle, record.location) == expected


@pytest.mark.parametrize(("phase", "healthy"), [("Available", True), ("Bound", True), ("Released", False), ("Failed", False)])
def test_a_volume_that_nobody_can_use_is_not_healthy(phase: str, healthy: bool) -> None:
    claim = {"namespace": "shop", "name": "data", "uid": "c1"}
    record = read(PERSISTENTVOLUMES, spec={"claimRef": claim}, status={"phase": phase})
    assert (record.healthy, record.claim, record.claim_uid) == (healthy, "shop/data", "c1")


def test_a_storage_class_keeps_not_set_apart_from_no() -> None:
    record = read(STORAGECLASSES, provisioner="p", meta={"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}})
    assert (record.is_default, record.allow_volume_expansion, record.reclaim_policy) == (True, None, "Delete")
    assert read(STORAGECLASSES, allowVolumeExpansion=False).allow_volume_expansion is False


# --- policy ---


def test_a_config_map_shows_keys_and_sizes_and_never_a_value() -> None:
    record = read(
        CONFIGMAPS,
        data={"b": "größe", "a": "", "password": "‹redacted:0123456789ab›", "url": "postgres://u:‹redacted:0123456789ab›@db"},
        binaryData={"logo.png": "‹redacted:0123456789ab›"},
    )
    assert (record.data_count, record.data_keys, record.binary_keys) == (5, ["a", "b", "password", "url"], ["logo.png"])
    assert record.data_sizes == {"a": 0, "b": 7, "password": None, "url": None}
    assert (record.size_bytes, record.redacted_keys) == (7, ["password", "url", "logo.png"])
    assert record.immutable is None
    assert not any(text in repr(record) for text in ("größe", "postgres", "redacted:0"))


def test_a_service_account_keeps_not_set_apart_from_no() -> None:
    assert read(SERVICEACCOUNTS).automount_token is None
    assert read(SERVICEACCOUNTS, automountServiceAccountToken=False).automount_token is False
    assert read(SERVICEACCOUNTS, imagePullSecrets=[{"name": "registry"}]).image_pull_secrets == ["registry"]


def test_rules_become_a_row_for_each_group_and_resource_and_for_each_url() -> None:
    rules = [
        {"apiGroups": ["", "apps"], "resources": ["pods", "pods/exec"], "verbs": ["get", "create"], "resourceNames": ["db"]},
        {"nonResourceURLs": ["/metrics", "/healthz"], "verbs": ["get"]},
    ]
    record = read(CLUSTERROLES, rules=rules, aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"to": "admin"}}]})
    shown = [(rule.api_group, rule.resource, rule.url, rule.resource_names) for rule in record.rule_rows]
    assert shown == [
        ("", "pods", None, ["db"]),
        ("", "pods/exec", None, ["db"]),
        ("apps", "pods", None, ["db"]),
        ("apps", "pods/exec", None, ["db"]),
        (None, None, "/metrics", None),
        (None, None, "/healthz", None),
    ]
    assert (record.rule_count, record.wildcard, record.aggregates) == (2, False, ["to=admin"])
    assert record.rule_rows[0].verbs == ["get", "create"]


def test_a_role_that_allows_everything_is_marked() -> None:
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    assert read(ROLES, rules=[everything]).wildcard
    assert not read(ROLES, rules=[everything | {"resourceNames": ["one"]}]).wildcard
    assert not read(ROLES, rules=[everything | {"verbs": ["get"]}]).wildcard


def test_a_binding_shows_its_subjects_as_kubectl_prints_them_and_as_rows() -> None:
    record = read(
        ROLEBINDINGS,
        roleRef={"kind": "ClusterRole", "name": "view"},
        subjects=[
            {"kind": "User", "name": "ada"},
            {"kind": "ServiceAccount", "name": "ci", "namespace": "build"},
            {"kind": "User", "name": "bob"},
        ],
    )
    assert (record.role, record.users, record.groups, record.service_accounts) == (
        "ClusterRole/view",
        "ada, bob",
        None,
        "build/ci",
    )
    ci = record.subject_rows[1]
    assert (ci.namespace, ci.role_name, ci.subject_kind, ci.subject_namespace) == ("shop", "view", "ServiceAccount", "build")


@pytest.mark.parametrize(
    ("resource", "unit"),
    [
        ("cpu", "millicores"), ("requests.cpu", "millicores"), ("limits.cpu", "millicores"), ("limits.memory", "bytes"),
        ("requests.storage", "bytes"), ("gold.storageclass.storage.k8s.io/requests.storage", "bytes"),
        ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", "count"), ("requests.hugepages-2Mi", "bytes"),
        ("requests.ephemeral-storage", "bytes"), ("pods", "count"), ("count/jobs.batch", "count"),
        ("requests.nvidia.com/gpu", "count"), ("requests.example.org/cpu", "count"),
    ],
)  # fmt: skip
def test_resources_count_in_their_own_unit(resource: str, unit: str) -> None:
    assert unit_of(resource) == unit


def test_quantities_are_normalised_by_the_resource_that_they_are_of() -> None:
    assert [normalised("cpu", "1"), normalised("memory", "1Ki"), normalised("pods", "3"), normalised("pods", None)] == [
        1000,
        1024,
        3,
        None,
    ]


def test_a_quota_shows_what_is_left_raw_and_normalised() -> None:
    hard = {"requests.cpu": "2", "limits.memory": "1Gi", "pods": "10", "secrets": "0"}
    used = {"requests.cpu": "500m", "limits.memory": "1Gi", "pods": "0"}
    record = read(RESOURCEQUOTAS, spec={"hard": hard}, status={"hard": hard, "used": used})
    assert record.requests == "pods: 0/10, requests.cpu: 500m/2, secrets: 0/0"
    assert (record.limits, record.used_percent, record.exhausted) == ("limits.memory: 1Gi/1Gi", 100.0, ["limits.memory"])
    rows = {row.resource: (row.hard_normalised, row.used_normalised, row.unit, row.used_percent) for row in record.resources}
    assert rows["requests.cpu"] == (2000, 500, "millicores", 25.0)
    assert rows["pods"] == (10, 0, "count", 0.0)
    assert rows["secrets"] == (0, None, "count", None)


def test_a_limit_range_keeps_a_bound_of_zero_apart_from_none() -> None:
    limits = [{"type": "Container", "min": {"cpu": "0"}, "default": {"cpu": "500m", "memory": "1Gi"}}, {"type": "Pod"}]
    rows = read(LIMITRANGES, spec={"limits": limits}).limit_rows
    assert [(row.type, row.resource, row.minimum, row.minimum_normalised) for row in rows] == [
        ("Container", "cpu", "0", 0),
        ("Container", "memory", None, None),
    ]
    assert [(row.default_limit_normalised, row.unit) for row in rows] == [(500, "millicores"), (1024**3, "bytes")]


# --- extensions ---


def test_a_definition_says_what_is_served_and_whether_it_works() -> None:
    versions = [
        {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}},
        {"name": "v1beta1", "served": False, "storage": False, "deprecated": True},
    ]
    spec = {"group": "shop.example", "names": {"kind": "Order", "plural": "orders"}, "scope": "Namespaced", "versions": versions}

    def definition(*conditions: str) -> Any:
        return read(
            CUSTOMRESOURCEDEFINITIONS,
            spec=spec,
            status={"conditions": [{"type": type_, "status": "True"} for type_ in conditions]},
        )

    record = definition("Established", "NamesAccepted")
    assert (record.healthy, record.served_versions, record.storage_version) == (True, ["v1"], "v1")
    assert [(v.version, v.served, v.deprecated, v.status_subresource) for v in record.versions] == [
        ("v1", True, False, True),
        ("v1beta1", False, True, False),
    ]
    assert not definition("NamesAccepted").healthy
    assert not definition("Established", "NamesAccepted", "Terminating").healthy


@pytest.mark.parametrize("kind", [VALIDATINGWEBHOOKCONFIGURATIONS, MUTATINGWEBHOOKCONFIGURATIONS], ids=lambda kind: kind.name)
def test_a_webhook_says_who_answers_and_what_happens_without_an_answer(kind: Kind) -> None:
    service = {"namespace": "policy", "name": "gate", "path": "/check"}
    record = read(
        kind,
        webhooks=[
            {
                "name": "a",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "clientConfig": {"service": service, "caBundle": "‹redacted:0›"},
            },
            {"name": "b", "failurePolicy": "Ignore", "clientConfig": {"url": "https://gate.example"}, "objectSelector": {}},
        ],
    )
    assert (record.webhook_count, record.fail_closed_count, record.max_timeout_seconds) == (2, 1, 10)
    assert record.services == ["policy/gate"]
    first, second = record.webhooks
    assert (first.service_name, first.service_port, first.ca_bundle, first.object_selector) == ("gate", None, True, None)
    assert (second.service_name, second.url, second.ca_bundle, second.object_selector) == (
        None,
        "https://gate.example",
        False,
        "",
    )


@pytest.mark.parametrize("kind", KINDS_AROUND_WORKLOADS, ids=lambda kind: kind.name)
def test_list_rows_are_json_and_hold_no_side_rows(kind: Kind) -> None:
    shown = row(kind, read(kind))
    assert tuple(shown) == kind.list_columns
    assert all(value is None or isinstance(value, (str, int, float, list, dict)) for value in shown.values())
