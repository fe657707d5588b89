"""The kinds around workloads, stored: what reads back, what SQL can ask of them, and what their history keeps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, scan, staged
from kinds.clusterroles import CLUSTERROLES
from kinds.endpointslices import ENDPOINTSLICES
from kinds.horizontalpodautoscalers import HORIZONTALPODAUTOSCALERS
from kinds.ingresses import INGRESSES
from kinds.kind import Kind, row
from kinds.list_query import ListQuery
from kinds.registry import KINDS
from kinds.resourcequotas import RESOURCEQUOTAS
from kinds.rolebindings import ROLEBINDINGS
from kinds_around_workloads import KINDS_AROUND_WORKLOADS

EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
PODS_ONLY = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}


def api_object(kind: Kind, name: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    namespace = {"namespace": "shop"} if kind.namespaced else {}
    return {"metadata": {"name": name, "uid": f"{kind.name}-{name}", "resourceVersion": str(version)} | namespace} | fields


def query(manager: CacheManager, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(manager.path)) as connection:
        return connection.execute(sql).fetchall()


def changes(manager: CacheManager) -> list[tuple[object, ...]]:
    return query(manager, "SELECT field, old, new FROM changes ORDER BY field")


@pytest.mark.parametrize("kind", KINDS_AROUND_WORKLOADS, ids=lambda kind: kind.name)
def test_every_kind_reads_back_as_the_live_row(kind: Kind, manager: CacheManager, reader: CacheReader) -> None:
    page = staged(kind, api_object(kind, "a"), api_object(kind, "b"))
    scan(manager, kind, page)
    assert reader.list(CLUSTER, ListQuery(kind)).rows == [row(kind, item.record) for item in page]


def test_one_join_says_who_may_read_pods(manager: CacheManager) -> None:
    roles = {"all": [EVERYTHING], "pods": [PODS_ONLY], "other": [PODS_ONLY | {"resources": ["secrets"]}]}
    scan(
        manager,
        CLUSTERROLES,
        staged(CLUSTERROLES, *(api_object(CLUSTERROLES, name, rules=rules) for name, rules in roles.items())),
    )
    bindings = [
        api_object(
            ROLEBINDINGS,
            f"b-{name}",
            roleRef={"kind": "ClusterRole", "name": name},
            subjects=[{"kind": "User", "name": f"user-{name}"}],
        )
        for name in roles
    ]
    scan(manager, ROLEBINDINGS, staged(ROLEBINDINGS, *bindings))
    found = query(
        manager,
        """SELECT s.namespace, s.subject_name FROM rolebinding_subjects s JOIN clusterrole_rules r ON r.role = s.role_name
        WHERE s.role_kind = 'ClusterRole' AND r.api_group IN ('', '*') AND r.resource IN ('pods', '*')
        AND EXISTS (SELECT 1 FROM json_each(r.verbs) WHERE value IN ('get', '*')) ORDER BY 2""",
    )
    assert found == [("shop", "user-all"), ("shop", "user-pods")]


def test_one_join_finds_ingress_paths_that_lead_nowhere(manager: CacheManager) -> None:
    def path(service: str) -> dict[str, Any]:
        return {"path": f"/{service}", "backend": {"service": {"name": service, "port": {"name": "http"}}}}

    rules = [{"host": "shop.example", "http": {"paths": [path("web"), path("gone")]}}]
    scan(manager, INGRESSES, staged(INGRESSES, api_object(INGRESSES, "shop", spec={"rules": rules})))
    scan(manager, "services", staged("services", api_object(KINDS["services"], "web")))
    found = query(
        manager,
        """SELECT p.ingress, p.host, p.path FROM ingress_paths p LEFT JOIN services s
        ON (s.cluster, s.namespace, s.name) = (p.cluster, p.namespace, p.service)
        WHERE p.service IS NOT NULL AND s.uid IS NULL""",
    )
    assert found == [("shop", "shop.example", "/gone")]


def test_history_follows_an_endpoint_by_its_address_wherever_it_stands_in_the_slice(manager: CacheManager) -> None:
    def slice_(version: int, *endpoints: tuple[str, bool]) -> dict[str, Any]:
        listed = [{"addresses": [address], "conditions": {"ready": ready}} for address, ready in endpoints]
        return api_object(ENDPOINTSLICES, "web-1", version, endpoints=listed)

    scan(manager, ENDPOINTSLICES, staged(ENDPOINTSLICES, slice_(1, ("10.0.0.1", True), ("10.0.0.2", True), ("10.0.0.3", False))))
    scan(manager, ENDPOINTSLICES, staged(ENDPOINTSLICES, slice_(2, ("10.0.0.3", True), ("10.0.0.2", True))))
    assert changes(manager) == [
        ("slice_endpoints[10.0.0.1]", "present", None),
        ("slice_endpoints[10.0.0.3].ready", "false", "true"),
        ("total_endpoints", "3", "2"),
    ]


def test_history_says_which_permission_was_added_and_no_more(manager: CacheManager) -> None:
    scan(manager, CLUSTERROLES, staged(CLUSTERROLES, api_object(CLUSTERROLES, "reader", 1, rules=[PODS_ONLY])))
    scan(manager, CLUSTERROLES, staged(CLUSTERROLES, api_object(CLUSTERROLES, "reader", 2, rules=[EVERYTHING, PODS_ONLY])))
    assert changes(manager) == [
        ('clusterrole_rules[* * ["*"]]', None, "present"),
        ("rule_count", "1", "2"),
        ("wildcard", "false", "true"),
    ]


def test_measurements_that_never_rest_are_no_history(manager: CacheManager) -> None:
    def autoscaler(version: int, percent: int, replicas: int) -> dict[str, Any]:
        cpu = {"name": "cpu", "target": {"averageUtilization": 80}, "current": {"averageUtilization": percent}}
        metrics = [{"type": "Resource", "resource": cpu}]
        status = {"currentMetrics": metrics, "desiredReplicas": replicas}
        return api_object(HORIZONTALPODAUTOSCALERS, "web", version, spec={"metrics": metrics}, status=status)

    for version, percent, replicas in ((1, 40, 2), (2, 41, 2), (3, 95, 3)):
        kind = HORIZONTALPODAUTOSCALERS
        scan(manager, kind, staged(kind, autoscaler(version, percent, replicas)))
    assert changes(manager) == [("desired_replicas", "2", "3")]


def test_a_raised_quota_is_history_and_its_use_is_not(manager: CacheManager) -> None:
    def quota(version: int, hard: str, used: str) -> dict[str, Any]:
        return api_object(
            RESOURCEQUOTAS, "shop", version, status={"hard": {"requests.cpu": hard}, "used": {"requests.cpu": used}}
        )

    for version, hard, used in ((1, "2", "500m"), (2, "2", "700m"), (3, "4", "700m")):
        scan(manager, RESOURCEQUOTAS, staged(RESOURCEQUOTAS, quota(version, hard, used)))
    assert changes(manager) == [("quota_resources[requests.cpu].hard", "2", "4")]
